"""Builds and uploads over HTTP, with the worker inside the service and with Redis."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from redis_server import RedisServer
from service_client import REPOSITORY, Client, problem, running, server, until

import kinfold
from kinfold.index.collections import create_collection

NPY = "application/x-npy"
PARQUET = "application/vnd.apache.parquet"
BUILDS = "/v1/collections/photos/builds"


def vectors(rows: int, dimension: int = 16) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(rows, dimension)).astype(np.float32)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A data folder with an empty collection, beside a folder of sources."""
    (tmp_path / "data").mkdir()
    for name in ("photos", "words"):
        create_collection(tmp_path / "data", name)
    (tmp_path / "data" / "other").mkdir()
    (tmp_path / "sources").mkdir()
    np.save(tmp_path / "sources" / "small.npy", vectors(200))
    return tmp_path


@pytest.fixture
def builder(place: Path) -> Iterator[Client]:
    with running(
        place / "data", sources=place / "sources", build_threads=1, max_upload_bytes=1 << 20
    ) as client:
        yield client


def ended(client: Any, job: dict[str, Any]) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = client.get(f"/v1/collections/photos/builds/{job['id']}").json()
        return found if found["status"] in ("done", "failed", "cancelled") else None

    return until(look)


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_a_build_from_a_source_and_one_of_its_version(builder: Client, place: Path) -> None:
    answer = builder.send("POST", BUILDS, json={"source": "small.npy", "config": {"k_d": 8}})
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"{BUILDS}/{job['id']}"
    assert builder.get(answer.headers["location"]).json()["id"] == job["id"]
    over = ended(builder, job)
    assert over["status"] == "done", over
    assert over["result"]["rows"] == 200
    assert (place / "data" / "photos" / "CURRENT").read_text().strip() == over["result"]["version"]
    assert not {"claim", "worker", "delivery"} & set(over)
    again = builder.send("POST", BUILDS).json()
    second = ended(builder, again)
    assert second["status"] == "done", second
    assert second["result"]["version"] > over["result"]["version"]
    index = kinfold.open(place / "data" / "photos")
    assert index.manifest.models["default"].config.k_d == 8
    listed = builder.get(BUILDS).json()["builds"]
    assert [found["id"] for found in listed] == [again["id"], job["id"]]
    assert builder.get("/v1/collections/words/builds").json() == {"builds": []}


def test_a_build_from_an_upload(builder: Client) -> None:
    content = npy(vectors(100))
    answer = builder.send("PUT", "/v1/uploads", content=content, headers={"Content-Type": NPY})
    assert answer.status_code == 201
    upload = answer.json()
    assert upload["bytes"] == len(content)
    job = builder.send("POST", BUILDS, json={"upload": upload["upload"]}).json()
    assert ended(builder, job)["result"]["rows"] == 100


def test_a_mistake_in_the_data_is_told(builder: Client, place: Path) -> None:
    bad = vectors(50)
    bad[3, 2] = np.inf
    np.save(place / "sources" / "bad.npy", bad)
    over = ended(builder, builder.send("POST", BUILDS, json={"source": "bad.npy"}).json())
    assert over["status"] == "failed"
    assert over["error"]["type"] == "InputError"
    assert "row 3" in over["error"]["message"]
    assert str(place) not in json.dumps(over)
    retried = builder.send("POST", f"{BUILDS}/{over['id']}/retry")
    assert retried.status_code == 202
    assert retried.json()["attempt"] == 2
    assert ended(builder, retried.json())["status"] == "failed"


def test_one_build_at_a_time_cancelled_and_tried_again(place: Path) -> None:
    """Nobody works here, so that jobs wait."""
    with running(place / "data", sources=place / "sources", jobs="off") as client:
        job = client.send("POST", BUILDS, json={"source": "small.npy"}).json()
        other = client.send("POST", BUILDS, json={"source": "small.npy"})
        assert problem(other, 409, "build-in-progress")["job"] == job["id"]
        again = client.send("POST", f"{BUILDS}/{job['id']}/retry")
        assert problem(again, 409, "build-in-progress")["job"] == job["id"]
        assert client.send("DELETE", f"{BUILDS}/{job['id']}").json()["status"] == "cancelled"
        problem(client.send("DELETE", f"{BUILDS}/{job['id']}"), 409, "job-state")
        assert client.send("POST", f"{BUILDS}/{job['id']}/retry").status_code == 202
        # Under another collection it is not there.
        stranger = f"/v1/collections/words/builds/{job['id']}"
        for method, path in (
            ("GET", ""), ("DELETE", ""), ("GET", "/events"), ("POST", "/retry"),
        ):  # fmt: skip
            problem(client.send(method, stranger + path), 404, "unknown-job")
        assert client.get(f"{BUILDS}/{job['id']}").json()["status"] == "queued"


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"source": "../secret.npy"}, 422, "invalid-source"),
        ({"source": "other.npy"}, 422, "invalid-source"),
        ({}, 422, "invalid-source"),
        ({"upload": "0" * 32}, 404, "unknown-upload"),
        ({"upload": "../x"}, 422, "invalid-request"),
        ({"source": "small.npy", "config": {"k_d": -1}}, 422, "invalid-request"),
        ({"source": "small.npy", "config": {"similarity": ["what"]}}, 422, "invalid-request"),
        ({"source": "small.npy", "nothing": 1}, 422, "invalid-request"),
        ([], 422, "invalid-request"),
        (3, 422, "invalid-request"),
        ({"source": "x" * (1 << 20)}, 413, "body-too-large"),
    ],
)
def test_what_cannot_be_built(builder: Client, body: Any, status: int, kind: str) -> None:
    problem(builder.send("POST", BUILDS, json=body), status, kind)
    assert builder.get(BUILDS).json() == {"builds": []}


def test_bodies_that_are_no_json(builder: Client) -> None:
    def post(content: bytes, kind: str) -> httpx.Response:
        return builder.send("POST", BUILDS, content=content, headers={"Content-Type": kind})

    problem(post(b"{", "application/json"), 400, "invalid-json")
    problem(post(b"[" * 5000, "application/json"), 400, "invalid-json")
    problem(post(b"{}", "text/plain"), 415, "unsupported-media-type")


@pytest.mark.parametrize("name", ["nothing", "other", ".jobs", "..%2fdata", "Photos", "x" * 300])
def test_collections_that_are_none(builder: Client, name: str) -> None:
    path = f"/v1/collections/{name}/builds"
    kind = "not-found" if "%2f" in name else "unknown-collection"
    problem(builder.send("POST", path, json={"source": "small.npy"}), 404, kind)
    problem(builder.get(path), 404, kind)


@pytest.mark.parametrize("name", ["0" * 32, "x", "*", "%00"])
def test_jobs_that_are_none(builder: Client, name: str) -> None:
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/events"), ("POST", "/retry")):
        answer = builder.send(method, f"{BUILDS}/{name}{path}")
        assert answer.status_code in (404, 405)
        assert answer.json()["type"] in (
            "/docs#unknown-job", "/docs#not-found", "/docs#method-not-allowed",
        )  # fmt: skip


def test_uploads_that_are_refused_leave_nothing(builder: Client, place: Path) -> None:
    def put(content: Any, kind: str, **headers: str) -> httpx.Response:
        return builder.send(
            "PUT", "/v1/uploads", content=content, headers={"Content-Type": kind, **headers}
        )

    async def endless() -> Any:
        yield b"\x93NUMPY"
        for _ in range(64):
            yield bytes(1 << 16)

    problem(put(b"PK\x03\x04", "application/zip"), 415, "unsupported-media-type")
    problem(put(b"x", NPY, **{"Content-Encoding": "gzip"}), 415, "unsupported-media-type")
    problem(put(b"\x80\x04.", NPY), 422, "invalid-source")
    problem(put(b"", PARQUET), 422, "invalid-source")
    problem(put(bytes(2 << 20), NPY), 413, "body-too-large")
    problem(put(endless(), NPY), 413, "body-too-large")
    folder = place / "data" / ".uploads"
    assert not folder.exists() or list(folder.iterdir()) == []


def events_of(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        if line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def test_events_follow_a_build_to_its_end(place: Path) -> None:
    with server(place / "data", sources=place / "sources", log_level="warning") as (client, _):
        job = client.post(BUILDS, json={"source": "small.npy"}).json()
        with client.stream("GET", f"{BUILDS}/{job['id']}/events") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["cache-control"] == "no-store"
            found = list(events_of(answer.iter_lines()))
        names = [name for name, _ in found]
        assert names == ["progress"] * (len(names) - 1) + ["end"]
        assert found[-1][1]["status"] == "done"
        assert len({json.dumps(data) for _, data in found}) == len(found), "each one says more"
        # Of a job that is over there is the end only.
        with client.stream("GET", f"{BUILDS}/{job['id']}/events") as answer:
            assert [name for name, _ in events_of(answer.iter_lines())] == ["end"]


def test_a_stream_of_events_does_not_keep_the_service_from_ending(place: Path) -> None:
    with server(place / "data", sources=place / "sources", jobs="off", log_level="warning") as (
        client,
        process,
    ):
        job = client.post(BUILDS, json={"source": "small.npy"}).json()
        with client.stream("GET", f"{BUILDS}/{job['id']}/events") as answer:
            lines = answer.iter_lines()
            assert next(events_of(lines))[0] == "progress"
            process.terminate()
            list(lines)
        assert process.wait(10) in (0, -signal.SIGTERM)


def test_an_accepted_job_survives_the_death_of_the_service(place: Path) -> None:
    """Killed while it builds; the next one goes on when it has heard nothing for a while."""
    np.save(place / "sources" / "large.npy", vectors(20_000, 32))
    settings = {
        "sources": place / "sources", "heartbeat_seconds": 0.5, "build_threads": 1,
        # Lines that nobody reads would fill the pipe.
        "log_level": "warning",
    }  # fmt: skip
    with server(place / "data", **settings) as (client, process):
        job = client.post(BUILDS, json={"source": "large.npy"}).json()
        until(lambda: client.get(f"{BUILDS}/{job['id']}").json()["progress"])
        process.send_signal(signal.SIGKILL)
        process.wait()
    with server(place / "data", **settings) as (client, _):
        over = ended(client, job)
    assert (over["status"], over["attempt"]) == ("done", 2)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    (tmp_path / "redis").mkdir()
    started = RedisServer(tmp_path / "redis")
    started.start()
    yield started
    started.close()


def test_with_redis_a_worker_of_its_own_builds(place: Path, redis: RedisServer) -> None:
    worker = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "worker"],
        cwd=REPOSITORY,
        env={
            **os.environ, "PYTHONPATH": str(REPOSITORY), "KINFOLD_DATA": str(place / "data"),
            "KINFOLD_SOURCES": str(place / "sources"), "KINFOLD_REDIS_URL": redis.url,
        },
    )  # fmt: skip
    try:
        with running(place / "data", sources=place / "sources", redis_url=redis.url) as client:
            job = client.send("POST", BUILDS, json={"source": "small.npy"}).json()
            assert ended(client, job)["status"] == "done"
    finally:
        worker.terminate()
        assert worker.wait(20) == 0


def test_without_redis_to_reach_jobs_are_refused_and_the_rest_goes_on(
    place: Path, redis: RedisServer
) -> None:
    with running(place / "data", sources=place / "sources", redis_url=redis.url) as client:
        job = client.send("POST", BUILDS, json={"source": "small.npy"}).json()
        redis.kill()
        for answer in (
            client.get(f"{BUILDS}/{job['id']}"),
            client.send("POST", "/v1/collections/words/builds", json={"source": "small.npy"}),
        ):
            found = problem(answer, 503, "queue-unavailable")
            assert "127.0.0.1" not in json.dumps(found), "where Redis is, is not for clients"
            assert answer.headers["retry-after"]
        assert client.get("/healthz").status_code == 200
        redis.start()
        time.sleep(0.1)
        assert client.get(f"{BUILDS}/{job['id']}").json()["status"] == "queued"
