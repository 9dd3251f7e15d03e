"""The service under load from another process: what diffusion, and what many clients cost.

python -m benchmarks.http [--rows 100000] [--seconds 10] [--rounds 3]

Latencies of one client, diffusion and plain kNN in turn on one connection; throughput of 32
connections beside a plain service of one file that gives the same answers (benchmarks/http_plain);
where the time of a search goes; what the cache saves.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import finish
from benchmarks.http_gallery import prepared
from benchmarks.http_load import Load, Request, load

K = 10
CONNECTIONS = 32
RAW = "application/octet-stream"
STAGES = ("wait", "decode", "filter", "knn", "combine", "encode")


def main() -> None:
    """Start both services, load them in turn, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    folder = prepared(given.rows)
    queries = np.load(folder / "queries.npy")
    results: list[dict[str, Any]] = []
    with kinfold_service(folder, cache="off") as port, plain_service(folder) as plain:
        alike = same_answers(port, plain, queries[:200])
        for engine in ("exact", "hnsw"):
            results += latencies(port, engine, queries, given.seconds)
        stages = [row for engine in ("exact", "hnsw") for row in stage_costs(port, engine, queries)]
        results += throughput(port, plain, queries, given.seconds, given.rounds)
    with kinfold_service(folder, cache="memory") as port:
        results += cached(port, queries, given.seconds / 2)
    title = f"HTTP, {given.rows:,} × {queries.shape[1]}, k = {K}; p50 and p99 in ms, rate a second"
    finish("http", title, results, same_answers=f"{alike:.1%}")
    finish("http-stages", "Stages of a search, one client, mean µs", stages)


def latencies(port: int, engine: str, queries: np.ndarray, seconds: float) -> list[dict[str, Any]]:
    """Of one client that asks for diffusion and for kNN in turn."""
    rows = []
    for what, asked in (("JSON", as_json), ("raw", as_raw)):
        streams = [asked(engine, queries, model) for model in ("default", "knn")]
        load(port, streams, connections=1, seconds=1)
        got = load(port, streams, connections=1, seconds=seconds)
        ours, knn = (row_of(latency) for latency in got.latencies)
        rows += [
            {"what": f"{engine}, {what}: diffusion, 1 client", **ours},
            {"what": f"{engine}, {what}: knn, 1 client", **knn},
            {
                "what": "  ratio (p50 at most 1.5, p99 at most 3)",
                "p50": ours["p50"] / knn["p50"],
                "p99": ours["p99"] / knn["p99"],
            },
        ]
    return rows


def throughput(
    port: int, plain: int, queries: np.ndarray, seconds: float, rounds: int
) -> list[dict[str, Any]]:
    """Of 32 connections, ours and theirs in turn; medians of the rounds."""
    kinds: dict[str, tuple[int, Sequence[Request]]] = {
        "plain service": (plain, as_json("", queries, "default", "/search")),
        "kinfold": (port, as_json("exact", queries, "default")),
        "kinfold, raw": (port, as_raw("exact", queries, "default")),
        "kinfold, knn": (port, as_json("exact", queries, "knn")),
        "kinfold, hnsw": (port, as_json("hnsw", queries, "default")),
    }
    loads: dict[str, list[Load]] = {name: [] for name in kinds}
    for _ in range(rounds):
        for name, (where, requests) in kinds.items():
            got = load(where, [requests], connections=CONNECTIONS, seconds=seconds)
            assert set(got.statuses) == {"200"}, (name, got.statuses)
            loads[name].append(got)
    rows = []
    base = float(np.median([got.rate for got in loads["plain service"]]))
    for name, several in loads.items():
        rate = float(np.median([got.rate for got in several]))
        every = [latency for got in several for latency in got.latencies[0]]
        rows.append(
            {"what": f"{name}, {CONNECTIONS} clients", **row_of(every), "rate": rate,
             "ratio": rate / base}
        )  # fmt: skip
    return rows


def stage_costs(port: int, engine: str, queries: np.ndarray) -> list[dict[str, Any]]:
    """Mean time of each stage, by the service's own metrics."""
    rows = []
    for model in ("default", "knn"):
        before = stage_sums(port)
        got = load(port, [as_json(engine, queries, model)], connections=1, seconds=3)
        after = stage_sums(port)
        count = len(got.latencies[0])
        spent = {stage: 1e6 * (after[stage] - before[stage]) / count for stage in STAGES}
        whole = 1e6 * float(np.mean(got.latencies[0]))
        rest = whole - sum(spent.values())
        rows.append({"what": f"{engine}, {model}", **spent, "http": rest, "whole": whole})
    return rows


def cached(port: int, queries: np.ndarray, seconds: float) -> list[dict[str, Any]]:
    """One client that repeats 100 queries."""
    requests = as_json("exact", queries[:100], "default")
    load(port, [requests], connections=1, seconds=2)
    got = load(port, [requests], connections=1, seconds=seconds)
    return [{"what": "exact, JSON: from the cache, 1 client", **row_of(got.latencies[0]),
             "rate": got.rate}]  # fmt: skip


def row_of(latencies: Sequence[float]) -> dict[str, Any]:
    """Quantiles in milliseconds."""
    p50, p99 = np.quantile(latencies, [0.5, 0.99])
    return {"p50": 1e3 * p50, "p99": 1e3 * p99, "rate": None, "ratio": None}


def as_json(engine: str, queries: np.ndarray, model: str, path: str | None = None) -> list[Request]:
    """Searches as JSON, the values as a client would print its float32."""
    path = path or f"/v1/collections/{engine}/search"
    return [
        Request(
            path,
            json.dumps(
                {"vector": [float(str(value)) for value in query], "k": K, "model": model}
            ).encode(),
        )
        for query in queries[:500]
    ]


def as_raw(engine: str, queries: np.ndarray, model: str) -> list[Request]:
    """Searches as raw float32."""
    path = f"/v1/collections/{engine}/search?k={K}&model={model}"
    return [Request(path, query.tobytes(), RAW) for query in queries[:500]]


def same_answers(port: int, plain: int, queries: np.ndarray) -> float:
    """Share of hits that both services give in the same places."""
    alike = []
    for ours, theirs in zip(
        as_json("exact", queries, "default"),
        as_json("", queries, "default", "/search"),
        strict=True,
    ):
        mine = post(port, ours)["results"][0]["hits"]
        peer = post(plain, theirs)["hits"]
        alike.append(np.mean([a["id"] == b["id"] for a, b in zip(mine, peer, strict=True)]))
    return float(np.mean(alike))


def post(port: int, asked: Request) -> Any:
    """The answer to one request."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{asked.path}", asked.body, {"Content-Type": asked.content_type}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        return json.load(answer)


def stage_sums(port: int) -> dict[str, float]:
    """Seconds spent in each stage so far."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    pattern = r'^kinfold_search_stage_seconds_sum\{stage="(\w+)"\} (\S+)'
    sums = {stage: float(value) for stage, value in re.findall(pattern, text, re.MULTILINE)}
    return {stage: sums.get(stage, 0.0) for stage in STAGES}


@contextmanager
def kinfold_service(folder: Path, **settings: str) -> Iterator[int]:
    """The service over the two collections."""
    given = {"auth": "off", "log_level": "warning", "jobs": "off", **settings}
    environment = {f"KINFOLD_{name.upper()}": value for name, value in given.items()}
    environment["KINFOLD_DATA"] = str(folder / "data")
    command = [sys.executable, "-c", "from service.serve import serve; serve()"]
    with running(command, environment, "KINFOLD_PORT", "/readyz") as port:
        yield port


@contextmanager
def plain_service(folder: Path) -> Iterator[int]:
    """The peer, run as its authors would: one uvicorn process."""
    command = [sys.executable, "-c", _SERVE_PLAIN]
    with running(command, {"HTTP_PLAIN": str(folder)}, "PORT", "/docs") as port:
        yield port


_SERVE_PLAIN = """
import os, uvicorn
uvicorn.run("benchmarks.http_plain:app", port=int(os.environ["PORT"]), access_log=False,
            log_level="warning")
"""


@contextmanager
def running(
    command: list[str], environment: dict[str, str], port_name: str, path: str
) -> Iterator[int]:
    """A process that serves on a free port; ended by its id."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(command, env={**os.environ, **environment, port_name: str(port)})
    try:
        end = time.monotonic() + 120
        while not answers(port, path):
            assert process.poll() is None, "the service ended"
            assert time.monotonic() < end, "the service does not come up"
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait()


def answers(port: int, path: str) -> bool:
    """Whether it is up, and ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10):
            return True
    except OSError:
        return False


if __name__ == "__main__":
    main()
