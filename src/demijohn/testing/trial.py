"""A contract on trial: every claim is tried, and those that are broken are raised, all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

from demijohn.errors import ConfigurationError

from .subject import Finding, NotTried, told

OnTrial = TypeVar("OnTrial")


class Breach(NamedTuple):
    """One broken claim."""

    claim: str  #: Name of the check.
    where: str  #: A method, an attribute, an input.
    expected: str
    received: str

    def __str__(self) -> str:
        """Say it in one line."""
        where = f" ({self.where})" if self.where else ""
        return f"{self.claim}{where}: expected {self.expected}, received {self.received}"


class ContractBroken(AssertionError):
    """Something does not do what all of its kind claim; ``breaches`` are all that was found."""

    def __init__(self, whose: str, breaches: tuple[Breach, ...]) -> None:
        super().__init__("\n".join([f"The {whose} breaks its contract:", *map(str, breaches)]))
        self.breaches = breaches


def try_all(
    whose: str,
    checks: Sequence[Callable[[OnTrial], Iterable[Finding]]],
    foundations: Sequence[Callable[[OnTrial], Iterable[Finding]]],
    subject: OnTrial,
) -> dict[str, str]:
    """Try every check.

    Args:
        whose: What is on trial, for people.
        checks: Named as the claims.
        foundations: Those without which the others cannot be tried.
        subject: What the checks get.

    Returns:
        Why a claim does not concern it, by the name of the check.

    Raises:
        ContractBroken: with every claim that does not hold.
        ConfigurationError: there is nothing to try it with.
    """
    breaches: list[Breach] = []
    not_tried: dict[str, str] = {}
    for check in checks:
        name = check.__name__
        try:
            found = [Breach(name, *finding) for finding in _findings(check, subject)]
        except NotTried as why:
            not_tried[name] = str(why)
            continue
        breaches += found
        if found and check in foundations:
            break
    if breaches:
        raise ContractBroken(whose, tuple(breaches))
    return not_tried


def _findings(check: Callable[[OnTrial], Iterable[Finding]], subject: OnTrial) -> list[Finding]:
    found: list[Finding] = []
    try:
        found.extend(check(subject))
    except (NotTried, ConfigurationError):
        raise
    except Exception as error:  # noqa: BLE001  - foreign code: a check that is stopped by it has not held
        found.append(Finding("", "no error", told(error)))
    return found
