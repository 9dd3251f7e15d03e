"""A load generator: a process of its own, sockets and nothing else, so that it costs little.

python -m benchmarks.http_load PORT  < task.json  > result.json

A task names requests (path, headers, files of bodies are in the task itself, base64), connections
and seconds. Each connection sends its next request when it has the answer to the last.
"""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import uvloop


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent: a path, a content type, and a body."""

    path: str
    body: bytes
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Load:
    """What came of a load.

    Attributes
    ----------
    seconds:
        How long it took.
    statuses:
        How many answers had which status.
    latencies:
        Seconds of each answer with the status 200, by the number of its stream.
    slowest:
        Seconds of the slowest answer of any status.
    """

    seconds: float
    statuses: dict[str, int]
    latencies: list[list[float]]
    slowest: float

    @property
    def rate(self) -> float:
        """Answers with the status 200 a second."""
        return self.statuses.get("200", 0) / self.seconds


def load(
    port: int,
    streams: Sequence[Sequence[Request]],
    *,
    connections: int,
    seconds: float,
) -> Load:
    """Load a service from another process, for so many seconds.

    Parameters
    ----------
    streams:
        Lists of requests; a connection takes them in turn, one of each list after the other, so
        that what is compared is measured at the same time.
    """
    task = {
        "streams": [
            [[one.path, one.content_type, base64.b64encode(one.body).decode()] for one in stream]
            for stream in streams
        ],
        "connections": connections,
        "seconds": seconds,
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.http_load", str(port)],
        input=json.dumps(task).encode(),
        stdout=subprocess.PIPE,
        check=True,
    )
    return Load(**json.loads(done.stdout))


class _Worker:
    """One connection."""

    def __init__(self, port: int, streams: list[list[bytes]], first: int) -> None:
        self._port = port
        self._streams = streams
        self._next = first
        self.statuses: dict[str, int] = {}
        self.latencies: list[list[float]] = [[] for _ in streams]
        self.slowest = 0.0

    async def run(self, end: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 22)
        try:
            while time.perf_counter() < end:
                for number, stream in enumerate(self._streams):
                    start = time.perf_counter()
                    writer.write(stream[self._next % len(stream)])
                    head = await reader.readuntil(b"\r\n\r\n")
                    await reader.readexactly(_length(head))
                    took = time.perf_counter() - start
                    status = head[9:12].decode()
                    self.statuses[status] = self.statuses.get(status, 0) + 1
                    self.slowest = max(self.slowest, took)
                    if status == "200":
                        self.latencies[number].append(took)
                self._next += 1
        finally:
            writer.close()


def _length(head: bytes) -> int:
    place = head.lower().index(b"content-length:") + 15
    return int(head[place : head.index(b"\r", place)])


async def _run(port: int, task: dict[str, Any]) -> dict[str, Any]:
    streams = [
        [_bytes(path, kind, base64.b64decode(body)) for path, kind, body in stream]
        for stream in task["streams"]
    ]
    workers = [_Worker(port, streams, 61 * number) for number in range(task["connections"])]
    start = time.perf_counter()
    await asyncio.gather(*(worker.run(start + task["seconds"]) for worker in workers))
    seconds = time.perf_counter() - start
    statuses: dict[str, int] = {}
    latencies: list[list[float]] = [[] for _ in streams]
    for worker in workers:
        for status, count in worker.statuses.items():
            statuses[status] = statuses.get(status, 0) + count
        for mine, theirs in zip(latencies, worker.latencies, strict=True):
            mine += theirs
    slowest = max(worker.slowest for worker in workers)
    return {"seconds": seconds, "statuses": statuses, "latencies": latencies, "slowest": slowest}


def _bytes(path: str, kind: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


if __name__ == "__main__":
    answer = uvloop.run(_run(int(sys.argv[1]), json.load(sys.stdin)))
    json.dump(answer, sys.stdout)
