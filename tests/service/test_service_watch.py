"""What changes in the data folder is noticed by the service itself."""

from __future__ import annotations

import shutil
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
from service_client import problem, running, server, until
from test_service_swap import load
from versions_support import build, damage, state_of, version_of, wait_for

from kinfold.index import live_version
from kinfold.index.collections import create_collection, drop_collection
from service import collections
from service.watch import Watcher


def test_a_collection_appears_by_itself(tmp_path: Path) -> None:
    """Created, built, changed, dropped: by others, and never a request that is not answered."""
    with running(tmp_path, watch_seconds=0.02) as client:
        problem(client.search("photos", id=1), 404, "unknown-collection")
        create_collection(tmp_path, "photos")
        until(lambda: state_of(client))
        assert state_of(client)["status"] == "empty"  # type: ignore[index]
        problem(client.search("photos", id=1), 409, "collection-empty")
        assert client.get("/readyz").json()["status"] == "ready"
        described = client.get("/v1/collections/photos").json()
        assert (described["status"], described["version"]) == ("empty", None)
        first = build(tmp_path)
        wait_for(client, first)
        second = build(tmp_path, seed=1)
        wait_for(client, second)
        drop_collection(tmp_path, "photos")
        until(lambda: client.search("photos", id=1).status_code == 404)
        assert client.get("/v1/collections").json() == {"collections": []}


def test_dropped_and_created_again(tmp_path: Path) -> None:
    build(tmp_path)
    with running(tmp_path, watch_seconds=30) as client:
        # Between two looks: the name has been there all the time.
        drop_collection(tmp_path, "photos")
        create_collection(tmp_path, "photos")
        collections_ = client.app.state.service.collections
        collections_.watcher.look_now()
        until(lambda: state_of(client)["status"] == "empty")  # type: ignore[index]
        drop_collection(tmp_path, "photos")
        version = build(tmp_path, seed=3)
        collections_.watcher.look_now()
        wait_for(client, version)


def test_a_service_that_is_ready_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collection that is added warms up without taking the others out of service."""
    build(tmp_path, "first")
    with running(tmp_path, watch_seconds=0.02) as client:
        warm_up, go_on = collections.warm_up, threading.Event()

        def slowly(index: object) -> None:
            assert go_on.wait(60)
            warm_up(index)  # type: ignore[arg-type]

        monkeypatch.setattr(collections, "warm_up", slowly)
        build(tmp_path)
        until(lambda: (found := state_of(client)) and found["status"] == "warming")
        assert client.get("/readyz").status_code == 200
        found = client.search("photos", id=1)
        problem(found, 503, "warming-up")
        assert found.headers["retry-after"]
        assert client.search("first", id=1).status_code == 200
        go_on.set()
        until(lambda: client.search("photos", id=1).status_code == 200)


def test_no_more_than_two_are_opened_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        build(tmp_path, f"c{number}")
    warm_up, running_now, most = collections.warm_up, [], []

    def counted(index: object) -> None:
        running_now.append(1)
        most.append(len(running_now))
        time.sleep(0.05)
        warm_up(index)  # type: ignore[arg-type]
        running_now.pop()

    monkeypatch.setattr(collections, "warm_up", counted)
    with running(tmp_path):
        assert max(most) == 2


def test_a_folder_that_cannot_be_read_takes_nothing_along(tmp_path: Path) -> None:
    version = build(tmp_path / "data")
    with running(tmp_path / "data", watch_seconds=0.02) as client:
        (tmp_path / "data").rename(tmp_path / "away")
        client.app.state.service.collections.look()
        time.sleep(0.1)
        assert version_of(client) == version
        (tmp_path / "away").rename(tmp_path / "data")
        second = build(tmp_path / "data", seed=1)
        wait_for(client, second)


def test_no_current_any_more(tmp_path: Path) -> None:
    first = build(tmp_path)
    with running(tmp_path, watch_seconds=0.02) as client:
        current = tmp_path / "photos" / "CURRENT"
        content = current.read_bytes()
        current.unlink()
        state = until(lambda: (found := state_of(client)) and found["reason"] and found)
        assert (state["status"], state["version"]) == ("ready", first)
        assert version_of(client) == first
        current.write_bytes(content)
        until(lambda: state_of(client)["reason"] is None)  # type: ignore[index]


def test_dropped_while_searched(tmp_path: Path) -> None:
    build(tmp_path)
    with running(tmp_path, watch_seconds=0.02) as client:
        with load(client) as answers:
            until(lambda: len(answers) > 20)
            drop_collection(tmp_path, "photos")
            until(lambda: answers[-1][0] == 404)
        assert {status for status, _ in answers} == {200, 404}
        first_gone = [status for status, _ in answers].index(404)
        # In order, but for those that were on their way.
        assert sum(status == 200 for status, _ in answers[first_gone:]) <= 8


def test_failures_are_tried_again_ever_more_seldom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path)
    damage(tmp_path)
    tries, open_collection = [], collections.open_collection

    def counted(path: Path) -> object:
        tries.append(time.monotonic())
        return open_collection(path)

    monkeypatch.setattr(collections, "open_collection", counted)
    with running(tmp_path, watch_seconds=0.02):
        until(lambda: len(tries) >= 5)
        pauses = [b - a for a, b in pairwise(tries)]
        assert pauses[3] > 2 * pauses[0]


def test_a_dying_folder_of_another_kind(tmp_path: Path) -> None:
    """Whatever stands in the data folder, the rest is served."""
    build(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / ".dropped-1" / "versions").mkdir(parents=True)
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "CURRENT").mkdir()
    with running(tmp_path, watch_seconds=0.02) as client:
        names = {state["name"]: state["status"] for state in
                 client.get("/v1/collections").json()["collections"]}  # fmt: skip
        assert names == {"photos": "ready", "odd": "failed"}
        shutil.rmtree(tmp_path / "odd")
        until(lambda: state_of(client, "odd") is None)
        assert client.get("/readyz").json()["status"] == "ready"


def test_watcher() -> None:
    looks = []
    told = threading.Event()

    def look() -> None:
        looks.append(1)
        told.set()
        raise RuntimeError("must not end it")

    watcher = Watcher(look, 60)
    watcher.start()
    for number in range(1, 4):
        watcher.look_now()
        assert told.wait(10)
        told.clear()
        until(lambda number=number: len(looks) >= number)
    started = time.monotonic()
    watcher.stop()
    assert time.monotonic() - started < 5
    Watcher(look, 1).stop()


def test_a_process_of_its_own_follows_another(tmp_path: Path) -> None:
    build(tmp_path)
    with server(tmp_path, watch_seconds=0.1) as (client, _):
        second = build(tmp_path, seed=1)

        def answered() -> bool:
            found = client.post("/v1/collections/photos/search", json={"id": 1})
            assert found.status_code == 200
            return bool(found.json()["version"] == second)

        until(answered)
        assert live_version(tmp_path / "photos").name == second
