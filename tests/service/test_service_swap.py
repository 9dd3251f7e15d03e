"""Hot swap: a new version goes live under load, and nobody notices but by its name."""

from __future__ import annotations

import gc
import logging
import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from service_client import Client, problem, running, until
from versions_support import (
    build,
    damage,
    flip,
    gallery,
    mapped,
    state_of,
    version_of,
    wait_for,
)

import kinfold
from kinfold.index import list_versions, versions
from kinfold.index.publish import VERSIONS, point_at
from service import collections
from service.search import steps

SWAPS = 12


@contextmanager
def load(client: Client, threads: int = 4) -> Iterator[list[tuple[int, str]]]:
    """Searches without a pause; every answer's status, and version or text."""
    answers: list[tuple[int, str]] = []
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            answer = client.search("photos", id=1, k=5)
            found = answer.json()
            answers.append((answer.status_code, found.get("version", answer.text)))

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield answers
    finally:
        stop.set()
        for worker in workers:
            worker.join()


def test_swaps_under_load(tmp_path: Path) -> None:
    """No search fails, each is answered by one version, and the last version is what is left."""
    names = [build(tmp_path)]
    with running(tmp_path, watch_seconds=0.02) as client:
        with load(client) as answers:
            for seed in range(8):
                names.append(build(tmp_path, seed=seed))
                wait_for(client, names[-1])
            for name in names[:4]:
                versions.activate(tmp_path / "photos", name)
                wait_for(client, name)
        counts = Counter(status for status, _ in answers)
        assert set(counts) == {200}, counts
        assert {version for _, version in answers} == set(names)
        until(lambda: gc.collect() is not None and mapped(tmp_path) == {names[3]})


def test_garbage_is_collected_under_load(tmp_path: Path) -> None:
    build(tmp_path)
    with running(tmp_path, watch_seconds=0.02) as client, load(client) as answers:
        for seed in range(8):
            name = build(tmp_path, seed=seed)
            # At once: the version before is still answering, and this one may be being opened.
            versions.collect_garbage(tmp_path / "photos", 0)
            assert list_versions(tmp_path / "photos") == [name]
        wait_for(client, name)
    assert {status for status, _ in answers} == {200}


def test_a_running_request_keeps_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The old version stays open until its last request ends, and not a moment longer."""
    caplog.set_level(logging.INFO)
    first = build(tmp_path)
    entered, go_on, check = threading.Event(), threading.Event(), steps.check

    def slowly(search: object, collection: object, settings: object) -> None:
        if collection.version == first:  # type: ignore[attr-defined]
            entered.set()
            assert go_on.wait(60)
        check(search, collection, settings)  # type: ignore[arg-type]

    with running(tmp_path, watch_seconds=0.02, threads=2) as client:
        monkeypatch.setattr(steps, "check", slowly)
        answers: list = []
        thread = threading.Thread(target=lambda: answers.append(client.search("photos", id=1)))
        thread.start()
        assert entered.wait(60)
        second = build(tmp_path, seed=1)
        until(lambda: state_of(client)["version"] == second)  # type: ignore[index]
        versions.remove_version(tmp_path / "photos", first)
        gc.collect()
        # Its folder was renamed before it went.
        assert any(name.startswith(".removed-") for name in mapped(tmp_path))
        assert f"version {first} is released" not in caplog.text
        go_on.set()
        thread.join()
        assert answers[0].status_code == 200
        assert answers[0].json()["version"] == first
        until(lambda: gc.collect() is not None and mapped(tmp_path) == {second})
        until(lambda: f"version {first} is released" in caplog.text)


def test_nothing_leaks_over_many_swaps(tmp_path: Path) -> None:
    names = [build(tmp_path, seed=seed) for seed in range(2)]
    with running(tmp_path, watch_seconds=30) as client:
        watcher = client.app.state.service.collections.watcher

        def swap(number: int) -> tuple[int, int, int]:
            name = names[number % 2]
            point_at(tmp_path / "photos", name)
            watcher.look_now()
            wait_for(client, name)
            gc.collect()
            maps = len(Path("/proc/self/maps").read_text().splitlines())
            return len(os.listdir("/proc/self/fd")), threading.active_count(), maps  # noqa: PTH208

        before = [max(column) for column in zip(*(swap(n) for n in range(6)), strict=True)]
        after = [swap(number) for number in range(SWAPS)][-6:]
        assert max(fds for fds, _, _ in after) <= before[0] + 2
        assert max(threads for _, threads, _ in after) <= before[1] + 1
        assert max(maps for _, _, maps in after) <= before[2] + 10
        assert mapped(tmp_path) == {names[(SWAPS - 1) % 2]}


@pytest.mark.parametrize("verify", ["quick", "full"])
def test_a_damaged_version_leaves_the_old_one(tmp_path: Path, verify: str) -> None:
    first = build(tmp_path)
    with running(tmp_path, watch_seconds=0.02, verify=verify) as client:
        second = build(tmp_path / "aside", seed=1)
        os.rename(  # noqa: PTH104
            tmp_path / "aside" / "photos" / VERSIONS / second,
            tmp_path / "photos" / VERSIONS / second,
        )
        path = tmp_path / "photos" / VERSIONS / second / "similarities.npy"
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content[: -1 if verify == "quick" else None])
        point_at(tmp_path / "photos", second)
        state = until(lambda: (found := state_of(client)) and found["reason"] and found)
        assert state["status"] == "ready"
        assert state["version"] == first
        assert "similarities.npy" in state["reason"]
        assert str(tmp_path) not in state["reason"]
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert version_of(client) == first
        described = client.get("/v1/collections/photos").json()
        assert (described["version"], described["reason"]) == (first, state["reason"])
        # And on to one that is whole.
        third = build(tmp_path, seed=2)
        wait_for(client, third)
        until(lambda: client.get("/readyz").json()["status"] == "ready")


def test_damage_that_only_reading_shows_is_found_with_full(tmp_path: Path) -> None:
    build(tmp_path)
    flip(tmp_path)
    with running(tmp_path, verify="quick") as client:
        assert client.get("/readyz").json()["status"] == "ready"
    with running(tmp_path, verify="full") as client:
        problem(client.get("/readyz"), 503, "not-ready")
        found = problem(client.search("photos", id=1), 503, "collection-failed")
        assert "sha256" in found["detail"]


def test_a_failed_collection_recovers(tmp_path: Path) -> None:
    """By itself, when its file is back; and at once when another version goes live."""
    build(tmp_path)
    damage(tmp_path)
    with running(tmp_path, watch_seconds=0.02) as client:
        problem(client.search("photos", id=1), 503, "collection-failed")
        second = build(tmp_path, seed=1)
        wait_for(client, second)
        assert client.get("/readyz").json()["status"] == "ready"
    folder = tmp_path / "photos" / VERSIONS / second
    (folder / "vectors.npy").rename(tmp_path / "away")
    with running(tmp_path, watch_seconds=0.02) as client:
        problem(client.search("photos", id=1), 503, "collection-failed")
        (tmp_path / "away").rename(folder / "vectors.npy")
        wait_for(client, second)


def test_a_fault_while_swapping_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build(tmp_path)
    warm_up = collections.warm_up
    with running(tmp_path, watch_seconds=0.02) as client:

        def fail(index: kinfold.Index) -> None:
            raise MemoryError("a secret")

        monkeypatch.setattr(collections, "warm_up", fail)
        second = build(tmp_path, seed=1)
        state = until(lambda: (found := state_of(client)) and found["reason"] and found)
        assert (state["status"], state["version"]) == ("ready", first)
        assert "secret" not in state["reason"]
        monkeypatch.setattr(collections, "warm_up", warm_up)
        wait_for(client, second)


def test_next_is_told_while_it_warms_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build(tmp_path)
    warm_up, entered, go_on = collections.warm_up, threading.Event(), threading.Event()
    with running(tmp_path, watch_seconds=0.02) as client:

        def slowly(index: kinfold.Index) -> None:
            entered.set()
            assert go_on.wait(60)
            warm_up(index)

        monkeypatch.setattr(collections, "warm_up", slowly)
        second = build(tmp_path, seed=1)
        assert entered.wait(60)
        described = client.get("/v1/collections/photos").json()
        assert (described["version"], described["next"]) == (first, second)
        assert described["status"] == "ready"
        assert client.get("/readyz").json()["status"] == "ready"
        assert version_of(client) == first
        # Going back while it warms up: it never answers.
        versions.activate(tmp_path / "photos", first)
        go_on.set()
        until(lambda: client.get("/v1/collections/photos").json()["next"] is None)
        assert version_of(client) == first
        assert len(gallery()) == state_of(client)["rows"]  # type: ignore[index]
