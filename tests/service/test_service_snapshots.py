"""Snapshots over HTTP: out of one data folder, into another, and whatever goes wrong between."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from service_client import REPOSITORY, Client, problem, running, server, until
from versions_support import CONFIG, ROWS, build, flip, gallery, state_of, version_of

import kinfold
from cli import collections as collections_cli
from cli import snapshot as snapshot_cli
from cli import versions as versions_cli
from kinfold.index import VersionWriter, list_versions, live_version, versions
from kinfold.index.snapshot import Snapshot
from service.routes import snapshots as snapshot_routes
from service.routes import versions as versions_routes

PAGE = (REPOSITORY / "docs" / "versions.md").read_text("utf-8")
PHOTOS = "/v1/collections/photos"
TAR = {"Content-Type": "application/x-tar"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    build(tmp_path / "one")
    return tmp_path / "one"


@pytest.fixture
def archive(source: Path) -> bytes:
    with Snapshot(source / "photos") as snapshot:
        return b"".join(snapshot.pieces())


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Client]:
    (tmp_path / "two").mkdir()
    with running(tmp_path / "two", watch_seconds=30, body_seconds=0.5) as client:
        yield client


def large(data: Path) -> str:
    """A version of more bytes than lie in the buffers of a connection; returns its name."""
    payload = {"picture": [os.urandom(1 << 18) for _ in range(ROWS)]}
    index = kinfold.build(gallery(), data / "photos", payload=payload, config=CONFIG)
    return index.version.name


def put(client: Client, content: object, headers: dict[str, str] = TAR) -> httpx.Response:
    return client.send("PUT", f"{PHOTOS}/snapshot", content=content, headers=headers)


def slots(client: Client) -> int:
    return int(client.app.state.service.files._running)


def test_between_two_data_folders(source: Path, target: Client, tmp_path: Path) -> None:
    with running(source) as client:
        out = client.get(f"{PHOTOS}/snapshot")
        assert out.headers["content-type"] == "application/x-tar"
        assert int(out.headers["content-length"]) == len(out.content)
        version = live_version(source / "photos").name
        assert out.headers["x-kinfold-version"] == version
        name = f"photos-{version}.kinfold.tar"
        assert out.headers["content-disposition"] == f'attachment; filename="{name}"'
        expected = client.search("photos", ids=[1, 5, 7], k=10).json()["results"]
        assert slots(client) == 0
    answer = put(target, out.content).json()
    assert answer["serving"] is True
    assert answer["previous"] is None
    assert answer["version"].endswith(version.rpartition("-")[2])
    assert version_of(target) == answer["version"]
    assert target.search("photos", ids=[1, 5, 7], k=10).json()["results"] == expected
    assert kinfold.verify(tmp_path / "two" / "photos").ok
    assert slots(target) == 0


def test_an_older_version(source: Path) -> None:
    first = live_version(source / "photos").name
    build(source, seed=1)
    with running(source) as client:
        out = client.get(f"{PHOTOS}/snapshot", params={"version": first})
        assert out.headers["x-kinfold-version"] == first
        for name in ("none", "..", "x" * 100):
            answer = client.get(f"{PHOTOS}/snapshot", params={"version": name})
            problem(answer, 404, "unknown-version")
        problem(client.get("/v1/collections/no/snapshot"), 404, "unknown-collection")
        client.send("POST", "/v1/collections", json={"name": "empty"})
        problem(client.get("/v1/collections/empty/snapshot"), 409, "collection-empty")
        assert slots(client) == 0


def test_import_swaps_and_keeps_what_the_policy_says(archive: bytes, tmp_path: Path) -> None:
    data = tmp_path / "two"
    names = [build(data, seed=seed) for seed in range(3)]
    with running(data, keep_versions=2) as client:
        answer = put(client, archive).json()
        assert answer["previous"] == names[2]
        assert list_versions(data / "photos") == [names[2], answer["version"]]
        assert version_of(client) == answer["version"]


def test_a_body_that_comes_in_small_pieces(archive: bytes, target: Client) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for begin in range(0, len(archive), 777):
            yield archive[begin : begin + 777]

    assert put(target, pieces()).json()["serving"] is True


def test_damaged_archives_change_nothing(archive: bytes, tmp_path: Path) -> None:
    data = tmp_path / "two"
    version = build(data, seed=5)
    before = sorted(data.rglob("*"))
    with running(data, watch_seconds=30) as client:

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        @given(data_=st.data())
        def check(data_: st.DataObject) -> None:
            content = bytearray(archive)
            place = data_.draw(st.integers(600, len(content) - 1))
            if data_.draw(st.booleans()):
                del content[place:]
            else:
                # A byte of a file, or of its header's checksum: not of a header's idle fields.
                content[place] ^= 0xFF
            answer = put(client, bytes(content))
            if answer.status_code != 200:
                problem(answer, 422, "invalid-snapshot")
                assert "nothing was changed" in answer.json()["detail"]
                assert str(tmp_path) not in answer.text
            else:
                versions.activate(data / "photos", version)
                versions.remove_version(data / "photos", answer.json()["version"])

        check()
        client.app.state.service.collections.look()
        until(lambda: version_of(client) == version)
        assert slots(client) == 0
    assert sorted(data.rglob("*")) == before


def test_refused_before_anything_is_read(archive: bytes, target: Client, tmp_path: Path) -> None:
    for headers in (
        {"Content-Type": "application/json"},
        {},
        {**TAR, "Content-Encoding": "gzip"},
    ):
        problem(put(target, archive, headers), 415, "unsupported-media-type")
    answer = target.send("PUT", "/v1/collections/Bad/snapshot", content=archive, headers=TAR)
    problem(answer, 404, "unknown-collection")
    assert list((tmp_path / "two").iterdir()) == []
    with VersionWriter(tmp_path / "two" / "photos"):
        problem(put(target, archive), 409, "build-in-progress")


def test_too_large(archive: bytes, tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()
    with running(tmp_path / "two", max_upload_bytes=len(archive) - 1) as client:

        async def undeclared() -> AsyncIterator[bytes]:
            yield archive

        for content in (archive, undeclared()):
            found = problem(put(client, content), 413, "body-too-large")
            assert "KINFOLD_MAX_UPLOAD_BYTES" in found["detail"]
        assert list((tmp_path / "two").iterdir()) == []


def test_a_body_that_stops(archive: bytes, target: Client, tmp_path: Path) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield archive[:5000]
        await asyncio.sleep(5)

    # A client in this process hands over its pieces one by one as a server would.
    problem(put(target, pieces()), 408, "body-timeout")
    assert list((tmp_path / "two").iterdir()) == []
    assert slots(target) == 0


def test_only_so_many_at_once(archive: bytes, target: Client) -> None:
    files = target.app.state.service.files
    for _ in range(4):
        files.begin()
    found = put(target, archive)
    problem(found, 503, "overloaded")
    assert found.headers["retry-after"]
    for _ in range(4):
        files.end()
    assert put(target, archive).status_code == 200
    assert state_of(target)["status"] == "ready"  # type: ignore[index]


def test_clients_that_go_away(tmp_path: Path) -> None:
    """In the middle of an export, and of an import: nothing stays locked, open or half-written."""
    data = tmp_path / "data"
    first = large(data)
    with server(data) as (client, process):
        host, port = client.base_url.host, client.base_url.port
        archive = client.get(f"{PHOTOS}/snapshot").content
        descriptors = Path(f"/proc/{process.pid}/fd")
        before = len(list(descriptors.iterdir()))
        for _ in range(3):
            with socket.create_connection((host, port)) as connection:
                connection.sendall(f"GET {PHOTOS}/snapshot HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                connection.recv(1000)
            uploading = http.client.HTTPConnection(host, port)
            uploading.putrequest("PUT", f"{PHOTOS}/snapshot")
            uploading.putheader("Content-Type", "application/x-tar")
            uploading.putheader("Content-Length", str(len(archive)))
            uploading.endheaders()
            uploading.send(archive[: len(archive) // 2])
            until(lambda: list((data / "photos" / "versions").glob(".building-*")))
            uploading.close()
            until(lambda: not list((data / "photos" / "versions").glob(".building-*")))
        until(lambda: len(list(descriptors.iterdir())) <= before + 1)
        assert list_versions(data / "photos") == [first]
        # Not pinned, not locked, and all places for transfers are free.
        for _ in range(4):
            assert client.get(f"{PHOTOS}/snapshot").content == archive
        second = client.put(f"{PHOTOS}/snapshot", content=archive, headers=TAR).json()["version"]
        assert client.delete(f"{PHOTOS}/versions/{first}").status_code == 200
        assert list_versions(data / "photos") == [second]


def test_a_version_stays_while_it_is_sent(tmp_path: Path) -> None:
    data = tmp_path / "data"
    first = large(data)
    with server(data, keep_versions=1) as (client, _):
        expected = client.get(f"{PHOTOS}/snapshot").content
        with client.stream("GET", f"{PHOTOS}/snapshot") as answer:
            pieces = answer.iter_raw(65536)
            content = next(pieces)
            build(data)
            problem_ = client.delete(f"{PHOTOS}/versions/{first}")
            assert problem_.status_code == 409
            assert versions.collect_garbage(data / "photos", 1).in_use == [first]
            content += b"".join(pieces)
        assert content == expected
        until(lambda: versions.collect_garbage(data / "photos", 1).removed == [first])


def test_a_damaged_file_ends_the_stream(tmp_path: Path) -> None:
    build(tmp_path)
    with server(tmp_path) as (client, _):
        flip(tmp_path)
        with pytest.raises(httpx.RemoteProtocolError):
            client.get(f"{PHOTOS}/snapshot")
        assert client.get("/healthz").status_code == 200


def test_killed_while_it_imports(tmp_path: Path) -> None:
    """The next writer sweeps what was left; what was live goes on."""
    data = tmp_path / "data"
    first = large(data)
    with Snapshot(data / "photos") as snapshot:
        archive = b"".join(snapshot.pieces())
    with server(data) as (client, process):
        connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port)

        def send() -> None:
            connection.putrequest("PUT", f"{PHOTOS}/snapshot")
            connection.putheader("Content-Type", "application/x-tar")
            connection.putheader("Content-Length", str(len(archive)))
            connection.endheaders()
            with suppress(ConnectionError):
                connection.send(archive[:-100])

        thread = threading.Thread(target=send)
        thread.start()
        until(lambda: list((data / "photos" / "versions").glob(".building-*")))
        time.sleep(0.05)
        os.kill(process.pid, 9)
        process.wait()
        thread.join()
        connection.close()
    assert live_version(data / "photos").name == first
    assert kinfold.verify(data / "photos").ok
    second = build(data)
    assert sorted(p.name for p in (data / "photos" / "versions").iterdir()) == [first, second]


def test_as_the_page_shows_it(tmp_path: Path) -> None:
    """Straight from one service into another, through a pipe of the shell."""
    version = large(tmp_path / "one")
    (tmp_path / "two").mkdir()
    script = re.search(r"```sh\n(curl -sf http://one.*?)```", PAGE, re.DOTALL)
    with server(tmp_path / "one") as (one, _), server(tmp_path / "two") as (two, _):
        command = script[1].replace("http://one:8000", str(one.base_url).rstrip("/"))  # type: ignore[index]
        command = command.replace("http://two:8000", str(two.base_url).rstrip("/"))
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            env={**os.environ, "KEY": "none"},
            capture_output=True,
            timeout=60,
            check=True,
        )
        answer = json.loads(done.stdout)
        assert answer["version"].endswith(version.rpartition("-")[2])
        assert two.post(f"{PHOTOS}/search", json={"id": 1}).status_code == 200
    assert kinfold.verify(tmp_path / "two" / "photos").ok


def test_the_page_names_every_address_and_command() -> None:
    routes = [*versions_routes.router.routes, *snapshot_routes.router.routes]
    for route in routes:
        path = route.path.replace("/v1/collections/{collection}", "…/{c}")  # type: ignore[attr-defined]
        assert path.replace("{version}", "{v}") in PAGE, path
    for group, app in (("versions", versions_cli), ("snapshot", snapshot_cli),
                       ("collections", collections_cli)):  # fmt: skip
        for name in typer.main.get_command(app.app).commands:  # type: ignore[attr-defined]
            assert f"kinfold {group} {name}" in PAGE
