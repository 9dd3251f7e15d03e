"""Opening, warming up, and what is damaged: each collection for itself."""

from __future__ import annotations

import gc
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from service_client import Client, problem, running, until

import kinfold
from kinfold import InputError
from service import collections
from service.settings import Settings


@pytest.fixture
def copied(data: Path, tmp_path: Path) -> Path:
    """A data folder of two collections, one of them to be damaged."""
    shutil.copytree(data / "photos", tmp_path / "data" / "photos")
    shutil.copytree(data / "photos", tmp_path / "data" / "broken")
    return tmp_path / "data"


def version_of(data: Path) -> Path:
    return next((data / "broken" / "versions").iterdir())


def no_current(data: Path) -> None:
    (data / "broken" / "CURRENT").write_text("20200101T000000Z-000000000000\n")


def garbage_current(data: Path) -> None:
    (data / "broken" / "CURRENT").write_bytes(b"\xff\xfe\0")


def no_vectors(data: Path) -> None:
    (version_of(data) / "vectors.npy").unlink()


def short_vectors(data: Path) -> None:
    path = version_of(data) / "vectors.npy"
    path.write_bytes(path.read_bytes()[:-1])


def short_payload(data: Path) -> None:
    path = version_of(data) / "payload.arrow"
    path.write_bytes(path.read_bytes()[:100])


def changed_manifest(data: Path) -> None:
    path = version_of(data) / "manifest.json"
    path.write_text(path.read_text().replace("cosine", "euclid"))


def newer_format(data: Path) -> None:
    path = version_of(data) / "manifest.json"
    path.write_text(path.read_text().replace('"format_version": 1', '"format_version": 99'))


DAMAGES = [no_current, garbage_current, no_vectors, short_vectors, short_payload,
           changed_manifest, newer_format]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_collection(copied: Path, damage: Callable[[Path], None]) -> None:
    damage(copied)
    with running(copied) as client:
        ready = client.get("/readyz")
        assert ready.status_code == 200
        assert ready.json()["status"] == "degraded"
        broken, photos = client.get("/v1/collections").json()["collections"]
        assert (broken["name"], broken["status"], photos["status"]) == ("broken", "failed", "ready")
        assert "broken" in broken["reason"]
        assert str(copied) not in broken["reason"]
        for answer in (client.get("/v1/collections/broken"), client.search("broken", id=1)):
            assert problem(answer, 503, "collection-failed")["detail"] == broken["reason"]
            assert "retry-after" not in answer.headers
        assert client.search("photos", id=1).status_code == 200


def test_newer_format_says_so(copied: Path) -> None:
    newer_format(copied)
    with running(copied) as client:
        detail = problem(client.search("broken", id=1), 503, "collection-failed")["detail"]
        assert "written by a newer kinfold" in detail


def test_damage_found_by_a_search(tmp_path: Path) -> None:
    """Opening checks sizes only; what a search stumbles over is that search's answer."""
    vectors = np.zeros((40, 4), dtype=np.float32)
    vectors[:20, 0] = vectors[20:, 1] = 1
    vectors += np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32) / 10
    kinfold.build(vectors, tmp_path / "halves", config=kinfold.BuildConfig(k_d=5))
    path = next(tmp_path.glob("halves/versions/*/models/default/indices-00000.npy"))
    content = bytearray(path.read_bytes())
    content[-200:] = b"\xff" * 200
    path.write_bytes(content)
    with running(tmp_path) as client:
        assert client.search("halves", id=1, k=5).status_code == 200
        answer = problem(client.search("halves", id=39, k=5), 503, "collection-failed")
        assert "kinfold verify" in answer["detail"]
        assert client.search("halves", id=1, k=5).status_code == 200
        assert client.search("halves", id=39, k=5, model="knn").status_code == 200


def test_all_failed_is_not_ready(copied: Path) -> None:
    no_vectors(copied)
    shutil.rmtree(copied / "photos")
    with running(copied) as client:
        answer = problem(client.get("/readyz"), 503, "not-ready")
        assert "broken" in answer["detail"]
        assert [state["status"] for state in answer["collections"]] == ["failed"]
        assert client.get("/healthz").json() == {"status": "ok"}


def test_unexpected_failure_tells_nothing(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> Any:
        raise RuntimeError("a secret")

    monkeypatch.setattr(collections, "open_collection", fail)
    with running(copied) as client:
        answer = problem(client.get("/readyz"), 503, "not-ready")
        assert "secret" not in str(answer)


def test_ready_only_when_warmed_up(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warm, go_on = collections.warm_up, threading.Semaphore(0)

    def slowly(index: kinfold.Index) -> None:
        assert go_on.acquire(timeout=30)
        warm(index)

    def with_status(client: Client, status: str) -> list[str]:
        states = client.get("/v1/collections").json()["collections"]
        return [state["name"] for state in states if state["status"] == status]

    monkeypatch.setattr(collections, "warm_up", slowly)
    with running(copied, wait=False) as client:
        assert client.get("/healthz").status_code == 200
        answer = client.get("/readyz")
        states = problem(answer, 503, "not-ready")["collections"]
        assert answer.headers["retry-after"] == "1"
        assert {state["name"]: state["status"] for state in states} == {
            "broken": "warming",
            "photos": "warming",
        }
        waiting = client.search("photos", id=1)
        problem(waiting, 503, "warming-up")
        assert waiting.headers["retry-after"] == "1"
        # Open, but not warmed up: it can be described already.
        until(lambda: client.get("/v1/collections/photos").status_code == 200)
        assert client.get("/v1/collections/photos").json()["status"] == "warming"
        go_on.release()
        # Both are at it at once: either may be the first.
        (first,) = until(lambda: with_status(client, "ready"))
        assert client.search(first, id=1).status_code == 200
        problem(client.get("/readyz"), 503, "not-ready")
        go_on.release()
        assert client.wait_until_ready().json()["status"] == "ready"


def test_names(copied: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("Upper", "with space", "-dash", "a" * 65, ".hidden"):
        shutil.copytree(copied / "photos", copied / name)
    shutil.copytree(copied / "photos", copied / ("b" * 64))
    shutil.copytree(copied / "photos", copied / "0_-")
    (copied / "no-collection").mkdir()
    (copied / "file").write_text("")
    with running(copied) as client:
        names = [state["name"] for state in client.get("/v1/collections").json()["collections"]]
        assert names == ["0_-", "b" * 64, "broken", "photos"]
        problem(client.search("Upper", id=1), 404, "unknown-collection")
    warnings = [record for record in caplog.records if "is not served" in record.getMessage()]
    # Names with a dot before them are never meant to be one.
    assert len(warnings) == 4


def test_empty_folder_is_ready(tmp_path: Path) -> None:
    with running(tmp_path) as client:
        assert client.get("/readyz").json()["status"] == "ready"
        assert client.get("/readyz").json()["collections"] == []
        assert client.get("/v1/collections").json() == {"collections": []}


def test_no_folder(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match=r"KINFOLD_DATA: .*nowhere cannot be read"),
        running(tmp_path / "nowhere"),
    ):
        pass


def test_nothing_is_left_behind(copied: Path) -> None:
    """Neither threads nor descriptors, however often an application starts and stops."""
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("needs /proc")

    def once() -> int:
        with running(copied) as client:
            assert client.search("photos", id=1).status_code == 200
        gc.collect()
        return sum(1 for _ in descriptors.iterdir())

    # What earlier tests left may go meanwhile; a leak of one a time would show as eight.
    before, threads = max(once() for _ in range(3)), threading.active_count()
    counts = [once() for _ in range(8)]
    assert counts[-1] < before + 4
    assert threading.active_count() <= threads + 1


def test_settings_reach_the_application(copied: Path) -> None:
    with running(copied, max_k=3, max_batch=2, max_hits=5) as client:
        assert client.app.state.service.settings == Settings(
            data=copied, auth="off", max_k=3, max_batch=2, max_hits=5
        )
        for body in ({"id": 1, "k": 4}, {"ids": [1, 2, 3], "k": 1}, {"ids": [1, 2], "k": 3}):
            problem(client.search("photos", **body), 422, "too-many")
