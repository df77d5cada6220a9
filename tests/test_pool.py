"""Names, versions and aliases, each leading to who answers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demijohn.config import Settings
from demijohn.errors import ConfigurationError, ModelNotFound, VersionNotFound
from demijohn.lifecycle import Lifecycle
from demijohn.pool import Pool, check_name, rank
from demijohn.predictor import Predictor
from demijohn.runtimes import wrap


def _double(x: float) -> float:
    return 2 * x


def predictor(name: str, version: str = "1") -> Predictor:
    return Predictor(name, version, wrap(_double), Settings(), Lifecycle())


@pytest.fixture
def pool() -> Pool:
    pool = Pool()
    for version in ("9", "10", "2"):
        pool.put(predictor("iris", version))
    return pool


def test_the_highest_version_is_the_default_one_and_ten_is_higher_than_nine(pool: Pool) -> None:
    assert pool.find("iris").version == "10"
    assert pool.entry("iris").latest.version == "10"


def test_a_version_and_an_alias_lead_to_theirs(pool: Pool) -> None:
    pool.alias("iris", "champion", "9")
    assert pool.find("iris", "2").version == "2"
    assert pool.find("iris", alias="champion").version == "9"


def test_an_alias_moves(pool: Pool) -> None:
    pool.alias("iris", "champion", "9")
    pool.alias("iris", "champion", "2")
    assert pool.find("iris", alias="champion").version == "2"


def test_an_alias_stands_for_a_version_that_there_is(pool: Pool) -> None:
    with pytest.raises(VersionNotFound):
        pool.alias("iris", "champion", "3")
    with pytest.raises(ModelNotFound):
        pool.alias("nobody", "champion", "3")
    with pytest.raises(ConfigurationError):
        pool.alias("iris", "no/name", "9")


def test_what_is_not_there_is_said_with_what_is(pool: Pool) -> None:
    with pytest.raises(ModelNotFound, match="models: iris"):
        pool.find("nobody")
    with pytest.raises(VersionNotFound, match="2, 9, 10"):
        pool.find("iris", "3")
    with pytest.raises(VersionNotFound, match="it has: none"):
        pool.find("iris", alias="champion")
    with pytest.raises(ModelNotFound, match="no model is served"):
        Pool().find("iris")


def test_a_name_that_a_client_wrote_does_not_come_back_to_it(pool: Pool) -> None:
    for attempt in (
        lambda: pool.find("<b>"),
        lambda: pool.find("iris", "<b>"),
        lambda: pool.find("iris", alias="<b>"),
    ):
        with pytest.raises((ModelNotFound, VersionNotFound)) as raised:
            attempt()
        assert "<b>" not in raised.value.detail


def test_the_only_model_is_the_default_one(pool: Pool) -> None:
    assert pool.find(None).name == "iris"


def test_of_several_models_none_is_the_default_until_one_is_named(pool: Pool) -> None:
    pool.put(predictor("price"))
    with pytest.raises(ModelNotFound, match="models: iris, price"):
        pool.find(None)
    pool.default = "price"
    assert pool.find(None).name == "price"


def test_a_pool_without_models_has_no_default() -> None:
    with pytest.raises(ModelNotFound, match="no model is served"):
        Pool().find(None)


def test_a_pool_lists_its_models_in_the_order_in_which_they_came(pool: Pool) -> None:
    pool.put(predictor("apple"))
    assert list(pool) == ["iris", "apple"]
    assert len(pool) == 2
    assert "apple" in pool
    assert "pear" not in pool
    assert [(p.name, p.version) for p in pool.predictors()] == [
        ("iris", "2"),
        ("iris", "9"),
        ("iris", "10"),
        ("apple", "1"),
    ]


def test_a_version_is_swapped_and_who_holds_the_old_one_keeps_it(pool: Pool) -> None:
    old, generation = pool.find("iris", "9"), pool.generation
    pool.alias("iris", "champion", "9")
    pool.put(predictor("iris", "9"))
    assert pool.find("iris", alias="champion") is pool.find("iris", "9") is not old
    assert pool.generation == generation + 2
    assert old.state == "ready"


def test_versions_are_told_in_their_order_and_not_in_that_of_their_arrival(pool: Pool) -> None:
    for version in ("11", "1", "beta"):
        pool.put(predictor("iris", version))
    assert list(pool.entry("iris").versions) == ["beta", "1", "2", "9", "10", "11"]
    with pytest.raises(VersionNotFound, match="it has: beta, 1, 2, 9, 10, 11"):
        pool.find("iris", "3")


def test_a_version_goes_with_its_aliases_and_the_last_one_with_the_model(pool: Pool) -> None:
    pool.alias("iris", "champion", "9")
    pool.alias("iris", "fallback", "2")
    pool.remove("iris", "9")
    assert dict(pool.entry("iris").aliases) == {"fallback": "2"}
    assert list(pool.entry("iris").versions) == ["2", "10"]
    pool.remove("iris", "10")
    pool.remove("iris", "2")
    assert list(pool) == []


def test_what_was_read_does_not_change_under_the_reader(pool: Pool) -> None:
    entry = pool.entry("iris")
    names = iter(pool)
    pool.put(predictor("apple"))
    pool.put(predictor("iris", "11"))
    assert entry.latest.version == "10"
    assert list(names) == ["iris"]


versions = st.text("0123456789abc.-", min_size=1, max_size=5)


@given(versions, versions, versions)
def test_versions_have_one_order(a: str, b: str, c: str) -> None:
    assert (rank(a) == rank(b)) == (a == b)
    assert (rank(a) < rank(b)) + (rank(b) < rank(a)) == (a != b)
    if rank(a) <= rank(b) <= rank(c):
        assert rank(a) <= rank(c)


@given(st.integers(0), st.integers(0))
def test_numbers_are_ordered_by_value_and_above_texts(a: int, b: int) -> None:
    assert (rank(str(a)) < rank(str(b))) == (a < b)
    assert rank("9a") < rank(str(a))
    assert rank("²") < rank("0")


@pytest.mark.parametrize("name", ["a", "0", "iris-2.1_b", "A" * 128])
def test_a_name_is_made_of_what_needs_no_escape(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "-a", "_a", "a/b", "a b", "a\n", "é", "a\x00", "A" * 129, "%2e", "a\\b", "ａ", "а\u200b"],
)
def test_any_other_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot name a version"):
        check_name(name, "version")


@pytest.mark.parametrize("name", [2, 2.0, None, b"2"])
def test_what_is_no_text_names_nothing(name: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name!r} cannot name a version"):
        check_name(name, "version")
