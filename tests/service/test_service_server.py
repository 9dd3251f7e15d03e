"""The service as a process of its own: overload, clients that leave, large bodies, the end."""

from __future__ import annotations

import json
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from service_client import JSON, RAW, REPOSITORY, problem, server, until

import kinfold

SEARCH = "/v1/collections/large/search"
BATCH = 1000


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection on which a full batch takes a noticeable time."""
    folder = tmp_path_factory.mktemp("large")
    vectors = np.random.default_rng(0).normal(size=(6000, 64)).astype(np.float32)
    config = kinfold.BuildConfig(k_d=6, max_row=200)
    kinfold.build(vectors, folder / "large", config=config)
    return folder


@pytest.fixture(scope="module")
def busy(large: Path) -> Iterator[httpx.Client]:
    """A server that runs one search at a time and lets none wait."""
    with server(large, threads=1, queue=0, log_level="warning") as (client, _):
        yield client


@pytest.fixture(scope="module")
def slow_body() -> bytes:
    queries = np.random.default_rng(1).normal(size=(BATCH, 64))
    return queries.astype("<f4").tobytes()


def slow_search(client: httpx.Client, body: bytes) -> httpx.Response:
    headers = {"Content-Type": RAW}
    return client.post(SEARCH, content=body, headers=headers, params={"k": 200})


def test_overload(busy: httpx.Client, slow_body: bytes) -> None:
    alone = slow_search(busy, slow_body)
    assert alone.status_code == 200
    assert len(alone.json()["results"]) == BATCH
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(slow_search, busy, slow_body)
        time.sleep(0.03)
        refused = []
        while not first.done():
            start = time.perf_counter()
            answer = busy.post(SEARCH, json={"id": 1})
            if answer.status_code == 503:
                refused.append(time.perf_counter() - start)
                assert answer.headers["retry-after"] == "1"
                problem(answer, 503, "overloaded")
            # What needs no thread of the pool is answered all the same.
            assert busy.get("/healthz").status_code == 200
            assert busy.get("/readyz").status_code == 200
        assert first.result().status_code == 200
    assert len(refused) >= 3
    # Far below the duration of the search that was in the way.
    assert np.median(refused) < alone.elapsed.total_seconds() / 3
    assert busy.post(SEARCH, json={"id": 1}).status_code == 200


def send_and_leave(client: httpx.Client, body: bytes, share: float, wait: float) -> None:
    """Begin a search, and close the connection hard without reading an answer."""
    url = client.base_url
    with socket.create_connection((url.host, url.port)) as connection:
        head = (
            f"POST {SEARCH}?k=100 HTTP/1.1\r\nHost: x\r\nContent-Type: {RAW}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        connection.sendall(head.encode() + body[: int(share * len(body))])
        time.sleep(wait)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_clients_that_leave_take_no_slot_along(
    busy: httpx.Client, slow_body: bytes, share: float
) -> None:
    for wait in (0, 0.01, 0.05):
        send_and_leave(busy, slow_body, share, wait)
    until(lambda: busy.post(SEARCH, json={"id": 1}).status_code == 200)


def test_body_of_unknown_length(large: Path) -> None:
    def chunks(count: int) -> Iterator[bytes]:
        for _ in range(count):
            yield b" " * 65_536

    limit = 256 * 1024
    with server(large, max_body_bytes=limit, log_level="warning") as (client, _):
        headers = {"Content-Type": JSON}
        answer = client.post(SEARCH, content=chunks(3), headers=headers)
        problem(answer, 400, "invalid-json")
        answer = client.post(SEARCH, content=chunks(64), headers=headers)
        problem(answer, 413, "body-too-large")
        answer = client.post(SEARCH, content=b" " * (limit + 1), headers=headers)
        assert problem(answer, 413, "body-too-large")["found"] == str(limit + 1)
        # The connection outlives it.
        assert client.post(SEARCH, json={"id": 1}).status_code == 200


def test_ends_gracefully_and_logs_json(large: Path, slow_body: bytes) -> None:
    with server(large, threads=1) as (client, process), ThreadPoolExecutor(1) as pool:
        request = pool.submit(slow_search, client, slow_body)
        time.sleep(0.15)
        process.send_signal(signal.SIGTERM)
        assert request.result().status_code == 200
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM
    lines = [json.loads(line) for line in stderr.splitlines()]
    access = [line for line in lines if line["logger"] == "kinfold.access"]
    assert access[-1]["path"] == SEARCH
    assert access[-1]["status"] == 200
    assert any("listening on http://127.0.0.1:" in line["message"] for line in lines)
    (loud,) = [line for line in lines if line["level"] in ("warning", "error")]
    assert loud["message"].startswith("KINFOLD_AUTH=off: everybody")


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"KINFOLD_DATA": "/nowhere"}, "KINFOLD_DATA: expected a folder of collections"),
        ({"KINFOLD_PORT": "x"}, "KINFOLD_PORT: "),
        ({"KINFOLD_HOST": "192.0.2.1"}, "cannot listen on 192.0.2.1 port 8000"),
        ({"KINFOLD_HOST": "no host"}, "cannot listen on no host port 8000"),
    ],
)
def test_what_cannot_start_says_why(
    tmp_path: Path, environment: dict[str, str], message: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from service.serve import serve; serve()"],
        cwd=REPOSITORY,
        env={"KINFOLD_DATA": str(tmp_path), "PYTHONPATH": ".", **environment},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert message in done.stderr.decode().splitlines()[-1]
