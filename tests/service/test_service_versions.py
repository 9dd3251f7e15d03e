"""Collections and versions over HTTP: created, listed, activated, removed, dropped."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from service_client import JSON, Client, problem, running, until
from versions_support import CONFIG, build, flip, state_of, version_of

import kinfold
from kinfold.index import VersionWriter, list_versions, live_version, versions
from kinfold.index.manifest import TriedSetting, TuningInfo
from kinfold.index.publish import VERSIONS
from service.describing import quality_of

ALL = "/v1/collections"
PHOTOS = f"{ALL}/photos"


@pytest.fixture
def names(tmp_path: Path) -> list[str]:
    """Three versions, the last of which shares files with the second."""
    build(tmp_path)
    build(tmp_path, seed=1)
    kinfold.add_model(tmp_path / "photos", "near", CONFIG)
    return list_versions(tmp_path / "photos")


@pytest.fixture
def client(tmp_path: Path, names: list[str]) -> Iterator[Client]:
    with running(tmp_path, watch_seconds=30) as client:
        yield client


def test_list(client: Client, names: list[str], tmp_path: Path) -> None:
    found = client.get(f"{PHOTOS}/versions").json()
    assert (found["collection"], found["live"], found["serving"]) == ("photos", *[names[2]] * 2)
    assert [entry["version"] for entry in found["versions"]] == names
    assert [entry["models"] for entry in found["versions"]] == [
        ["default"], ["default"], ["default", "near"],
    ]  # fmt: skip
    first, second, third = found["versions"]
    assert first["own_bytes"] == first["bytes"]
    assert second["own_bytes"] < second["bytes"] < third["bytes"]
    assert found["disk_bytes"] < sum(entry["bytes"] for entry in found["versions"])
    (tmp_path / "photos" / VERSIONS / names[0] / "vectors.npy").unlink()
    damaged = client.get(f"{PHOTOS}/versions").json()["versions"][0]["damaged"]
    assert "vectors.npy: missing" in damaged
    assert str(tmp_path) not in damaged


def test_activate_is_at_once(client: Client, names: list[str]) -> None:
    """Though the next look is half a minute away."""
    for name, before in ((names[0], names[2]), (names[1], names[0]), (names[1], names[1])):
        answer = client.send("POST", f"{PHOTOS}/versions/{name}/activate")
        assert answer.json() == {
            "collection": "photos", "version": name, "previous": before, "serving": True,
        }  # fmt: skip
        assert version_of(client) == name
        described = client.get(PHOTOS).json()
        assert (described["version"], described["next"]) == (name, None)


def test_activate_answers_when_its_time_is_over(
    tmp_path: Path, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path, watch_seconds=30, deadline_ms=50) as client:
        # As if it took long to open.
        monkeypatch.setattr(type(client.app.state.service.collections), "look", lambda _: None)
        answer = client.send("POST", f"{PHOTOS}/versions/{names[0]}/activate")
        assert answer.status_code == 200
        assert answer.json()["serving"] is False
        assert live_version(tmp_path / "photos").name == names[0]
        assert version_of(client) == names[2]


def test_activate_refuses(client: Client, names: list[str], tmp_path: Path) -> None:
    found = problem(client.send("POST", f"{PHOTOS}/versions/nope/activate"), 404, "unknown-version")
    assert names[0] in found["detail"]
    problem(
        client.send("POST", f"{ALL}/no/versions/{names[0]}/activate"), 404, "unknown-collection"
    )
    vectors = tmp_path / "photos" / VERSIONS / names[0] / "vectors.npy"
    vectors.unlink()
    found = problem(
        client.send("POST", f"{PHOTOS}/versions/{names[0]}/activate"), 409, "version-damaged"
    )
    assert "nothing was changed" in found["detail"]
    assert str(tmp_path) not in found["detail"]
    assert version_of(client) == live_version(tmp_path / "photos").name == names[2]


def test_activate_says_what_only_reading_showed(tmp_path: Path, names: list[str]) -> None:
    versions.activate(tmp_path / "photos", names[0])
    flip(tmp_path)
    versions.activate(tmp_path / "photos", names[2])
    with running(tmp_path, watch_seconds=30, verify="full") as client:
        path = f"{PHOTOS}/versions/{names[0]}/activate"
        found = problem(client.send("POST", path), 503, "collection-failed")
        assert "sha256" in found["detail"]
        assert "goes on" in found["detail"]
        assert version_of(client) == names[2]
        assert client.get("/readyz").json()["status"] == "degraded"
        back = client.send("POST", f"{PHOTOS}/versions/{names[2]}/activate")
        assert back.json()["serving"] is True
        assert client.get("/readyz").json()["status"] == "ready"


def test_remove(client: Client, names: list[str], tmp_path: Path) -> None:
    problem(client.send("DELETE", f"{PHOTOS}/versions/{names[2]}"), 409, "version-live")
    problem(client.send("DELETE", f"{PHOTOS}/versions/none"), 404, "unknown-version")
    answer = client.send("DELETE", f"{PHOTOS}/versions/{names[0]}").json()
    assert answer["version"] == names[0]
    assert answer["freed_bytes"] > 0
    assert list_versions(tmp_path / "photos") == names[1:]
    with versions.pinned(tmp_path / "photos", names[1]):
        problem(client.send("DELETE", f"{PHOTOS}/versions/{names[1]}"), 409, "build-in-progress")


def test_create_and_drop(tmp_path: Path) -> None:
    with running(tmp_path, watch_seconds=30) as client:
        answer = client.send("POST", ALL, json={"name": "photos"})
        assert answer.status_code == 201
        assert answer.headers["location"] == PHOTOS
        assert (answer.json()["name"], answer.json()["status"]) == ("photos", "empty")
        problem(client.send("POST", ALL, json={"name": "photos"}), 409, "collection-exists")
        problem(client.search("photos", id=1), 409, "collection-empty")
        found = client.get(f"{PHOTOS}/versions").json()
        assert (found["live"], found["serving"], found["versions"]) == (None, None, [])
        build(tmp_path)
        client.app.state.service.collections.watcher.look_now()
        until(lambda: version_of(client))
        with VersionWriter(tmp_path / "photos"):
            problem(client.send("DELETE", PHOTOS), 409, "build-in-progress")
        assert client.send("DELETE", PHOTOS).json() == {"collection": "photos", "dropped": True}
        problem(client.search("photos", id=1), 404, "unknown-collection")
        problem(client.send("DELETE", PHOTOS), 404, "unknown-collection")
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("body", "status", "name"),
    [
        (b"", 400, "invalid-json"),
        (b"{", 400, "invalid-json"),
        (b"[]", 422, "invalid-request"),
        (b"{}", 422, "invalid-request"),
        (b'{"name": 1}', 422, "invalid-request"),
        (b'{"name": "../x"}', 422, "invalid-request"),
        (b'{"name": ".jobs"}', 422, "invalid-request"),
        (b'{"name": "x\\n"}', 422, "invalid-request"),
        (b'{"name": "x", "other": 1}', 422, "invalid-request"),
        (b'{"name": "' + b"x" * 65 + b'"}', 422, "invalid-request"),
        (b" " * 70_000, 413, "body-too-large"),
    ],
)
def test_create_refuses(
    client: Client, tmp_path: Path, body: bytes, status: int, name: str
) -> None:
    before = sorted(tmp_path.iterdir())
    answer = client.send("POST", ALL, content=body, headers={"Content-Type": JSON})
    problem(answer, status, name)
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_that_is_in_the_way(client: Client, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis").write_text("x")
    found = problem(client.send("POST", ALL, json={"name": "mine"}), 422, "invalid-request")
    assert str(tmp_path) not in found["detail"]
    assert (tmp_path / "mine" / "thesis").read_text() == "x"


def test_describe_tells_the_size_on_disk(client: Client, tmp_path: Path) -> None:
    assert client.get(PHOTOS).json()["disk_bytes"] == versions.disk_bytes(tmp_path / "photos")


def test_describe_tells_what_was_evaluated() -> None:
    tried = [
        TriedSetting(parameters={"alpha": 0.9, "k_d": 20}, score=0.71, lead=0),
        TriedSetting(parameters={"alpha": 0.9, "k_d": 50}, score=0.74, lead=0.02),
        TriedSetting(parameters={"alpha": 0.5, "k_d": 50}, score=0.6, lead=-0.1),
    ]
    facts = {"by": "labels", "reason": "ahead", "items": 100, "queries": 7, "seconds": 1}
    for changed, score in (({"k_d": 50}, 0.74), ({}, 0.71), ({"alpha": 0.5, "k_d": 50}, 0.6)):
        quality = quality_of(TuningInfo(**facts, changed=changed, tried=tried))
        assert (quality.score, quality.score_before, quality.queries) == (score, 0.71, 7)
    quality = quality_of(TuningInfo(**facts, changed={}))
    assert (quality.score, quality.score_before) == (None, None)


def test_names_that_lead_nowhere(client: Client, names: list[str], tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        name=st.one_of(
            # The client itself takes dots as the way up, before it sends anything.
            st.text(min_size=1, max_size=40).filter(lambda text: text.strip(".")),
            st.sampled_from(["%2e%2e", "..%2f..", "%00", ".building-x", "a%2fb"]),
        ),
        change=st.sampled_from([("POST", "/activate"), ("DELETE", "")]),
    )
    def check(name: str, change: tuple[str, str]) -> None:
        path = f"{PHOTOS}/versions/{quote(name, safe='%')}{change[1]}"
        answer = client.send(change[0], path)
        assert answer.status_code in (404, 405), (name, answer.text)

    check()
    assert sorted(tmp_path.rglob("*")) == before


def test_gone_below_the_service(client: Client, tmp_path: Path) -> None:
    """Removed by hand, and not yet noticed."""
    shutil.rmtree(tmp_path / "photos")
    assert version_of(client) is not None
    assert client.get(f"{PHOTOS}/versions").json()["versions"] == []
    problem(client.send("DELETE", PHOTOS), 404, "unknown-collection")
    assert state_of(client) is None


def test_others_are_told(client: Client, names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, str | None]] = []
    collections = client.app.state.service.collections
    monkeypatch.setattr(collections, "_announce", lambda *change: told.append(change))
    client.send("POST", f"{PHOTOS}/versions/{names[0]}/activate")
    client.send("POST", ALL, json={"name": "empty"})
    archive = client.get(f"{PHOTOS}/snapshot").content
    tar = {"Content-Type": "application/x-tar"}
    new = client.send("PUT", f"{ALL}/empty/snapshot", content=archive, headers=tar).json()
    client.send("DELETE", PHOTOS)
    assert told == [
        ("photos", names[0]), ("empty", None), ("empty", new["version"]), ("photos", None),
    ]  # fmt: skip
