"""`kinfold versions`, `snapshot` and `collections`: what they say, change, and refuse."""

from __future__ import annotations

import io
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_support import Outcome, live

from kinfold.index import list_versions

Command = Callable[..., Outcome]
PEOPLE = ["--data", "data", "--collection", "people"]


def names(here: Path) -> list[str]:
    return list_versions(here / "data" / "people")


@pytest.fixture
def several(kinfold: Command, here: Path) -> Path:
    """Four versions: three changes of the models after the build."""
    for number in range(3):
        assert kinfold("models", "add", f"m{number}=cosine", *PEOPLE).code == 0
    return here


def test_list_and_go_back(kinfold: Command, several: Path) -> None:
    found = kinfold("versions", "list", *PEOPLE, "--json").json
    assert [entry["version"] for entry in found["versions"]] == names(several)
    assert found["live"] == names(several)[-1]
    assert [entry["live"] for entry in found["versions"]] == [False, False, False, True]
    first = names(several)[0]
    shown = kinfold("versions", "list", *PEOPLE)
    assert shown.out.count("yes") == 1
    assert all(name in shown.out for name in names(several))
    answer = kinfold("versions", "activate", first, *PEOPLE, "--json").json
    assert answer == {"collection": "people", "version": first, "previous": found["live"]}
    assert live(several / "data" / "people").name == first


def test_shared_files_count_once(kinfold: Command, several: Path) -> None:
    found = kinfold("versions", "list", *PEOPLE, "--json").json
    assert found["disk_bytes"] < sum(entry["bytes"] for entry in found["versions"]) / 2
    assert all(entry["own_bytes"] < entry["bytes"] / 2 for entry in found["versions"])


def test_gc_and_remove(kinfold: Command, several: Path) -> None:
    first, second, third, fourth = names(several)
    assert "live one" in kinfold("versions", "remove", fourth, *PEOPLE).error()
    assert "no version is called" in kinfold("versions", "remove", "../x", *PEOPLE).error()
    assert kinfold("versions", "remove", second, *PEOPLE, "--json").json["freed_bytes"] > 0
    assert kinfold("versions", "activate", first, *PEOPLE).code == 0
    found = kinfold("versions", "gc", *PEOPLE, "--keep", 1, "--json").json
    assert found["removed"] == [third]
    assert names(several) == [first, fourth]
    kept = kinfold("versions", "gc", *PEOPLE, "--keep", 0, "--keep-hours", 1)
    assert kept.out.startswith("0 versions removed")
    assert names(several) == [first, fourth]


def test_snapshot_there_and_back(kinfold: Command, here: Path) -> None:
    out = kinfold("snapshot", "export", "x.tar", *PEOPLE, "--json").json
    assert out["bytes"] == Path("x.tar").stat().st_size
    with tarfile.open("x.tar") as archive:
        assert archive.getnames()[0] == "manifest.json"
    assert "does not exist yet" in kinfold("snapshot", "export", "x.tar", *PEOPLE).error()
    other = ["--data", "data", "--collection", "copy"]
    version = kinfold("snapshot", "import", "x.tar", *other, "--json").json["version"]
    assert version.rpartition("-")[2] == out["version"].rpartition("-")[2]
    assert kinfold("verify", "data/copy").code == 0


def test_snapshot_from_a_pipe(
    kinfold: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kinfold("snapshot", "export", "x.tar", *PEOPLE).code == 0
    stdin = io.TextIOWrapper(io.BytesIO(Path("x.tar").read_bytes()))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert kinfold("snapshot", "import", "-", "--data", "data", "--collection", "c2").code == 0


def test_damaged_snapshot_leaves_nothing(kinfold: Command, here: Path) -> None:
    assert kinfold("snapshot", "export", "x.tar", *PEOPLE).code == 0
    content = bytearray(Path("x.tar").read_bytes())
    content[len(content) // 2] ^= 1
    Path("y.tar").write_bytes(content)
    said = kinfold("snapshot", "import", "y.tar", "--data", "data", "--collection", "new").error()
    assert said.startswith("snapshot: ")
    assert not (here / "data" / "new").exists()
    missing = kinfold("snapshot", "import", "no.tar", "--data", "data", "--collection", "new")
    assert "no.tar: cannot be read" in missing.error()


def test_collections(kinfold: Command, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kinfold("collections", "create", "later", "--data", "data").code == 0
    taken = kinfold("collections", "create", "later", "--data", "data").error()
    assert "already" in taken
    assert "expected 1 to 64" in kinfold("collections", "create", "..", "--data", "data").error()
    found = kinfold("collections", "list", "--data", "data", "--json").json["collections"]
    assert [(entry["collection"], entry["state"]) for entry in found] == [
        ("later", "empty"),
        ("people", "ready"),
    ]
    assert "later" in kinfold("collections", "list", "--data", "data").out
    assert (
        "no version yet"
        in kinfold("versions", "list", "--data", "data", "--collection", "later").out
    )
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    refused = kinfold("collections", "drop", "people", "--data", "data")
    assert refused.code == 1
    assert (here / "data" / "people").exists()
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert kinfold("collections", "drop", "people", "--data", "data").code == 0
    assert not (here / "data" / "people").exists()
    said = kinfold("collections", "drop", "later", "--data", "data", "--json")
    assert "--yes" in said.error()
    done = kinfold("collections", "drop", "later", "--data", "data", "--yes", "--json").json
    assert done == {"collection": "later", "dropped": True}
    assert not list((here / "data").glob(".dropped-*"))
    assert "no collection" in kinfold("collections", "drop", "later", "--data", "data").error()
