"""Keys, versions, snapshots, uploads and builds, on a service with its guards up."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import kinfold
from benchmarks.dependability.processes import Service, until
from kinfold.client import (
    AsyncClient,
    AuthError,
    BuildEndedError,
    Client,
    ConflictError,
    Job,
    NotFoundError,
    Patience,
    RefusedError,
)
from kinfold.errors import InputError


def new_key(data: Path, scope: str, *more: str) -> str:
    command = [sys.executable, "-c", "from cli.main import main; main()", "keys", "create"]
    command += ["--scope", scope, "--data", str(data), "--json", *more]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    token = json.loads(done.stdout)["token"]
    assert isinstance(token, str)
    return token


def known(client: Client) -> bool:
    """Whether the service has seen a new key: it looks at the file every so often."""
    try:
        client.list_collections()
    except AuthError:
        return False
    return True


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, vectors: np.ndarray) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("guarded")
    for alpha in (0.9, 0.95):
        config = kinfold.BuildConfig(alpha=alpha)
        kinfold.build(vectors, folder / "data" / "photos", config=config)
    np.save(folder / "vectors.npy", vectors)
    settings = {"auth": "on", "sources": folder, "heartbeat_seconds": 0.5}
    with Service(folder / "data", folder / "service.log", **settings) as service:
        service.wait_until_ready()
        yield service


@pytest.fixture(scope="module")
def data_of(guarded: Service) -> Path:
    return guarded.log.parent / "data"


@pytest.fixture(scope="module")
def admin(guarded: Service, data_of: Path) -> Iterator[Client]:
    with guarded.client(api_key=new_key(data_of, "admin")) as client:
        until(lambda: known(client), "the key to be known")
        yield client


def test_keys_open_what_they_should(guarded: Service, data_of: Path, admin: Client) -> None:
    with guarded.client(api_key="") as nobody, pytest.raises(AuthError) as refused:
        nobody.search("photos", id=1)
    assert (refused.value.status, refused.value.kind) == (401, "unauthorized")
    reader = new_key(data_of, "read")
    with guarded.client(api_key=reader) as client:
        until(lambda: known(client), "the key to be known")
        assert len(client.search("photos", id=1, k=3).ids) == 3
        with pytest.raises(AuthError) as refused:
            client.create_collection("mine")
        assert (refused.value.status, refused.value.kind) == (403, "forbidden")
        assert reader not in str(refused.value)
        assert client.is_alive()


def test_collections_are_made_and_dropped(admin: Client) -> None:
    assert admin.create_collection("made").status == "empty"
    with pytest.raises(ConflictError) as raised:
        admin.create_collection("made")
    assert raised.value.kind == "collection-exists"
    with pytest.raises(RefusedError):
        admin.create_collection("../made")
    admin.drop_collection("made")
    with pytest.raises(NotFoundError):
        admin.describe_collection("made")


def test_back_and_forth_between_versions(admin: Client) -> None:
    old, new = admin.list_versions("photos")
    assert (old.live, new.live) == (False, True)
    back = admin.activate_version("photos", old.version)
    assert (back.previous, back.serving) == (new.version, True)
    assert admin.search("photos", id=1).version == old.version
    with pytest.raises(ConflictError) as raised:
        admin.remove_version("photos", old.version)
    assert raised.value.kind == "version-live"
    admin.activate_version("photos", new.version)
    with pytest.raises(NotFoundError):
        admin.remove_version("photos", "20200101T000000Z-000000000000")


def test_a_snapshot_there_and_back(admin: Client, tmp_path: Path) -> None:
    target = tmp_path / "photos.tar"
    snapshot = admin.download_snapshot("photos", target)
    assert snapshot.bytes == target.stat().st_size
    assert snapshot.version == admin.describe_collection("photos").version
    assert [path.name for path in tmp_path.iterdir()] == ["photos.tar"]
    with pytest.raises(InputError, match="overwrite"):
        admin.download_snapshot("photos", target)
    admin.create_collection("copy")
    imported = admin.upload_snapshot("copy", target)
    assert admin.search("copy", id=1).version == imported.version
    damaged = bytearray(target.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    target.write_bytes(damaged)
    with pytest.raises(RefusedError) as raised:
        admin.upload_snapshot("copy", target)
    assert raised.value.kind == "invalid-snapshot"
    assert admin.search("copy", id=1).version == imported.version
    admin.drop_collection("copy")
    with pytest.raises(NotFoundError):
        admin.download_snapshot("copy", tmp_path / "no.tar")
    assert not (tmp_path / "no.tar").exists()
    assert len(list(tmp_path.iterdir())) == 1


def test_a_build_with_progress(admin: Client, vectors: np.ndarray) -> None:
    admin.create_collection("built")
    told: list[Job] = []
    job = admin.build_and_wait(
        "built", vectors, config={"k_d": 7}, on_progress=told.append, timeout=120
    )
    assert [one.status for one in told][-1] == "done"
    assert job.result is not None
    assert admin.describe_collection("built").details[0]["parameters"]["k_d"] == 7
    models = {"default": kinfold.BuildConfig(k_d=6), "far": {"alpha": 0.99}}
    again = admin.build_and_wait("built", source="vectors.npy", models=models, timeout=120)
    assert [one.id for one in admin.list_builds("built")] == [again.id, job.id]
    assert admin.describe_collection("built").models[:2] == ["default", "far"]
    with pytest.raises(ConflictError) as raised:
        admin.cancel_build("built", job.id)
    assert raised.value.kind == "job-state"
    admin.drop_collection("built")


def test_a_build_that_fails_says_why(admin: Client) -> None:
    admin.create_collection("short")
    with pytest.raises((BuildEndedError, RefusedError), match=r"zero|NaN|rows|row"):
        admin.build_and_wait("short", np.zeros((50, 4), np.float32), timeout=120)
    with pytest.raises(RefusedError) as raised:
        admin.start_build("short", source="../data/.keys.json")
    assert raised.value.kind in {"invalid-source", "invalid-request"}
    for wrong in (np.zeros(3), np.zeros((2, 2), int)):
        with pytest.raises(InputError, match="vectors"):
            admin.upload(wrong)
    with pytest.raises(InputError, match="ends in"):
        admin.upload("vectors.csv")
    with pytest.raises(InputError, match="cannot be read"):
        admin.upload("nowhere.npy")
    admin.drop_collection("short")


def test_the_same_awaited(guarded: Service, data_of: Path, admin: Client, tmp_path: Path) -> None:
    key = admin._http.headers["authorization"].removeprefix("Bearer ")

    async def all_of_it() -> str:
        async with AsyncClient(guarded.url, api_key=key) as client:
            await client.create_collection("awaited")
            snapshot = await client.download_snapshot("photos", tmp_path / "a.tar")
            await client.upload_snapshot("awaited", tmp_path / "a.tar")
            job = await client.build_and_wait("awaited", timeout=120)
            versions = await client.list_versions("awaited")
            assert len(versions) == 2
            upload = await client.upload(np.eye(3, dtype=np.float32))
            assert upload.bytes > 36
            await client.drop_collection("awaited")
            assert snapshot.bytes > 0
            return job.status

    assert asyncio.run(all_of_it()) == "done"


def test_a_rate_is_waited_for(guarded: Service, data_of: Path, admin: Client) -> None:
    slow = new_key(data_of, "read", "--rate-limit", "3/second")
    with guarded.client(api_key=slow, patience=Patience(retries=20)) as client:
        until(lambda: known(client), "the key to be known")
        for _ in range(8):
            assert client.search("photos", id=1, k=1).ids.shape == (1,)
