"""Load on a service from a process of its own, and what it saw.

As a program (``python -m benchmarks.dependability.load``) it sends prepared requests over and
over until its standard input is closed, then writes what it saw as JSON lines. With ``--rate`` the
requests leave at fixed times whether or not earlier ones were answered (open loop), and the time of
each counts from when it should have left; else each connection waits for its answer (closed loop).

HTTP is spoken by hand: a client library would be the slowest part of the measurement.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from benchmarks.dependability.processes import HOST, REPOSITORY

_LOST = 0
"""In the place of a status: the connection was refused or broke, or no answer came."""
_UNSENT = -1
"""In the place of a status: so many were under way that this one was not sent."""
_SECONDS_TO_ANSWER = 60.0
_MOST_CONNECTIONS = 2000


@dataclass(frozen=True)
class Seen:
    """What a load saw: a value a request.

    Attributes
    ----------
    start:
        When it left or should have left, seconds of the wall clock.
    seconds:
        Until the whole answer was there.
    status:
        Of the answer; 0: there was none.
    """

    start: np.ndarray
    seconds: np.ndarray
    status: np.ndarray

    def between(self, begin: float, end: float) -> Seen:
        """The requests that left in a span of the wall clock."""
        inside = (self.start >= begin) & (self.start < end)
        return Seen(self.start[inside], self.seconds[inside], self.status[inside])

    def __len__(self) -> int:
        return len(self.start)

    def during(self, spans: Iterable[tuple[float, float]]) -> Seen:
        """The same of several spans."""
        parts = [self.between(begin, end) for begin, end in spans]
        return Seen(
            np.concatenate([part.start for part in parts]),
            np.concatenate([part.seconds for part in parts]),
            np.concatenate([part.status for part in parts]),
        )

    @property
    def failed(self) -> int:
        """How many were answered by anything but success."""
        return int((self.status != 200).sum())

    @property
    def statuses(self) -> dict[str, int]:
        """How many answers of each status."""
        counted = Counter(int(status) for status in self.status)
        names = {_LOST: "lost", _UNSENT: "unsent"}
        return {names.get(status, str(status)): n for status, n in sorted(counted.items())}

    def milliseconds(self, quantile: float, status: int | None = 200) -> float:
        """A quantile of the times."""
        seconds = self.seconds if status is None else self.seconds[self.status == status]
        return float(1e3 * np.quantile(seconds, quantile)) if len(seconds) else float("nan")


class Load:
    """A load on a service; use as a context manager, then ask what it `saw`.

    Parameters
    ----------
    vectors:
        What is searched for, one after the other, over and over, (m, d).
    connections:
        In closed loop: how many; in open loop: ignored.
    rate:
        Requests a second, in open loop.
    """

    def __init__(
        self,
        port: int,
        path: str,
        vectors: np.ndarray,
        folder: Path,
        *,
        connections: int = 4,
        rate: float | None = None,
        name: str = "load",
    ) -> None:
        self._output = folder / f"{name}.jsonl"
        body = folder / f"{name}.f32"
        body.write_bytes(vectors.astype("<f4").tobytes())
        self._command = [
            sys.executable, "-m", "benchmarks.dependability.load", "--port", str(port),
            "--path", path, "--body", str(body), "--width", str(4 * vectors.shape[1]),
            "--output", str(self._output), "--connections", str(connections),
            *(["--rate", str(rate)] if rate else []),
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        self._saw: Seen | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        # It says when the first answer has come or been refused.
        self._process.stdout.readline()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None
        try:
            self._process.communicate(timeout=_SECONDS_TO_ANSWER + 30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise
        if error is None:
            with self._output.open(encoding="utf-8") as file:
                rows = np.array([json.loads(line) for line in file], dtype=float).reshape(-1, 3)
            self._saw = Seen(rows[:, 0], rows[:, 1], rows[:, 2].astype(int))

    @property
    def saw(self) -> Seen:
        """All requests, once the load has ended."""
        assert self._saw is not None
        return self._saw


class _Connection(asyncio.Protocol):
    """One connection: a request out, an answer back, and the next."""

    def __init__(self) -> None:
        self._rest = b""
        self._need: int | None = None
        self._status = _LOST
        self._answer: asyncio.Future[int] | None = None
        self._transport: Any = None
        self.open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        self._settle(_LOST)

    def data_received(self, data: bytes) -> None:
        self._rest += data
        if self._need is None:
            head, found, rest = self._rest.partition(b"\r\n\r\n")
            if not found:
                return
            lines = head.lower().split(b"\r\n")
            self._status = int(lines[0].split(b" ")[1])
            lengths = [line[15:] for line in lines if line.startswith(b"content-length:")]
            self._need, self._rest = int(lengths[0]), rest
            if b"connection: close" in lines:
                self.open = False
        if len(self._rest) >= self._need:
            self._rest, self._need = b"", None
            self._settle(self._status)

    async def ask(self, request: bytes) -> int:
        """The status of the answer to a request."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await asyncio.wait_for(self._answer, _SECONDS_TO_ANSWER)
        except TimeoutError:
            self.close()
            return _LOST

    def close(self) -> None:
        """Give it up."""
        self.open = False
        self._transport.abort()

    def _settle(self, status: int) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(status)


class _Generator:
    """Sends requests over and over, and notes what comes of each."""

    def __init__(self, port: int, requests: list[bytes]) -> None:
        self._port = port
        self._requests = cycle(requests)
        self._idle: list[_Connection] = []
        self.rows: list[tuple[float, float, int]] = []
        self.end = asyncio.Event()

    async def closed(self, connections: int) -> None:
        await asyncio.gather(*(self._one_after_the_other() for _ in range(connections)))

    async def open(self, rate: float) -> None:
        begin, number = time.monotonic(), 0
        running: set[asyncio.Task[None]] = set()
        while not self.end.is_set():
            due = begin + number / rate
            wait = due - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            number += 1
            if len(running) >= _MOST_CONNECTIONS:
                self.rows.append((time.time(), _SECONDS_TO_ANSWER, _UNSENT))
                continue
            task = asyncio.ensure_future(self._once(due))
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.gather(*running)

    async def _one_after_the_other(self) -> None:
        while not self.end.is_set():
            status = await self._once(time.monotonic())
            if status == _LOST:
                await asyncio.sleep(0.01)

    async def _once(self, due: float) -> int:
        start = time.time() - (time.monotonic() - due)
        status = _LOST
        try:
            connection = self._idle.pop() if self._idle else await self._connect()
            while not connection.open:
                connection = self._idle.pop() if self._idle else await self._connect()
            status = await connection.ask(next(self._requests))
            if connection.open:
                self._idle.append(connection)
        except OSError:
            pass
        self.rows.append((start, time.monotonic() - due, status))
        return status

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_connection(_Connection, HOST, self._port)
        return protocol


async def _run(arguments: argparse.Namespace) -> None:
    content, width = arguments.body.read_bytes(), arguments.width
    head = (
        f"POST {arguments.path} HTTP/1.1\r\nHost: {HOST}:{arguments.port}\r\n"
        f"Content-Type: application/octet-stream\r\nContent-Length: {width}\r\n\r\n"
    ).encode()
    bodies = [content[begin : begin + width] for begin in range(0, len(content), width)]
    generator = _Generator(arguments.port, [head + body for body in bodies])
    loop = asyncio.get_running_loop()
    loop.run_in_executor(None, _until_closed, loop, generator.end)
    work = generator.open(arguments.rate) if arguments.rate else None
    running = asyncio.ensure_future(work or generator.closed(arguments.connections))
    while not generator.rows and not generator.end.is_set():
        await asyncio.sleep(0.005)
    print("running", flush=True)
    await running
    with arguments.output.open("w", encoding="utf-8") as file:
        for start, seconds, status in generator.rows:
            file.write(f"[{start:.6f}, {seconds:.6f}, {status}]\n")


def _until_closed(loop: asyncio.AbstractEventLoop, end: asyncio.Event) -> None:
    sys.stdin.buffer.read()
    loop.call_soon_threadsafe(end.set)


def main() -> None:
    """Send until standard input is closed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--body", type=Path, required=True)
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--rate", type=float)
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
