"""A load generator that counts every request: answered by status, refused at the door, or lost."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from dataclasses import dataclass, field

ANSWER_S = 60.0


@dataclass
class Tally:
    """What became of the requests sent."""

    outcomes: Counter[str] = field(default_factory=Counter)
    latencies_s: dict[str, list[float]] = field(default_factory=dict)
    without_retry_after: int = 0

    def note(self, outcome: str, seconds: float) -> None:
        self.outcomes[outcome] += 1
        self.latencies_s.setdefault(outcome, []).append(seconds)

    def percentile(self, outcome: str, share: float) -> float:
        """Return the latency that ``share`` of the requests with that outcome did not exceed."""
        ordered = sorted(self.latencies_s.get(outcome, [math.nan]))
        return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]

    def __str__(self) -> str:
        return ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.outcomes.items()))


class Refused(Exception):
    """Nobody listens: the request was not sent."""


class Client:
    """One kept-alive connection, opened when needed."""

    def __init__(self, port: int, request: bytes) -> None:
        self._port = port
        self._request = request
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, tally: Tally, since: float | None = None) -> str:
        """Send one request and note its outcome: the status, ``lost``, or ``refused`` (not sent)."""
        since = time.monotonic() if since is None else since
        try:
            async with asyncio.timeout(ANSWER_S):
                outcome = await self._exchange(tally)
        except Refused:
            outcome = "refused"
        except (OSError, EOFError, TimeoutError):
            self.close()
            outcome = "lost"
        tally.note(outcome, time.monotonic() - since)
        return outcome

    async def _exchange(self, tally: Tally) -> str:
        if self._streams is None:
            try:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            except ConnectionRefusedError as error:
                raise Refused from error
        reader, writer = self._streams
        writer.write(self._request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))
        status = head.split()[1].decode()
        if status == "503" and b"retry-after:" not in head:
            tally.without_retry_after += 1
        if b"connection: close" in head:
            self.close()
        return status

    def close(self) -> None:
        if self._streams:
            self._streams[1].close()
            self._streams = None


async def closed_loop(port: int, request: bytes, n_clients: int, until: asyncio.Event) -> Tally:
    """Keep every client waiting for an answer, until the event, or until the server refuses all."""
    tally = Tally()

    async def run() -> None:
        client = Client(port, request)
        while not until.is_set() and await client.ask(tally) != "refused":
            continue
        client.close()

    await asyncio.gather(*(run() for _ in range(n_clients)))
    return tally


async def open_loop(port: int, request: bytes, per_second: float, seconds: float, most_clients: int) -> Tally:
    """Send at a constant rate, however fast the answers come; latency counts from when it was due."""
    tally = Tally()
    idle = [Client(port, request) for _ in range(most_clients)]
    pending: set[asyncio.Task[None]] = set()

    async def run(client: Client, due: float) -> None:
        await client.ask(tally, due)
        idle.append(client)

    start = time.monotonic()
    for number in range(int(per_second * seconds)):
        due = start + number / per_second
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        if not idle:
            tally.note("no client free", 0.0)
            continue
        task = asyncio.create_task(run(idle.pop(), due))
        pending.add(task)
        task.add_done_callback(pending.discard)
    await asyncio.gather(*pending)
    for client in idle:
        client.close()
    return tally


def post(path: str, body: bytes) -> bytes:
    """Write a JSON request."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body
