"""Versions listed, activated, removed and collected; and what happens at the same moment."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from contextlib import suppress

import pytest

import kinfold
from kinfold import BuildConfig
from kinfold.errors import BusyError, LiveVersionError, TakenNameError, UnknownNameError
from kinfold.index import list_versions, live_version, versions
from kinfold.index.collections import (
    create_collection,
    drop_collection,
    holds_collection,
    sweep_dropped,
)
from kinfold.index.publish import CURRENT, VERSIONS, VersionWriter, point_at, switching

from .support import files_of, gallery, run_python

CONFIG = BuildConfig(k_d=5)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Five versions of one gallery; all but the first share its vectors."""
    path = tmp_path_factory.mktemp("built") / "c"
    kinfold.build(gallery(40), path, config=CONFIG)
    for number in range(4):
        kinfold.add_model(path, f"m{number}", CONFIG)
    return path


@pytest.fixture
def several(built, tmp_path):
    """A copy in which versions share their files as they did."""
    subprocess.run(["cp", "-a", built, tmp_path / "c"], check=True)
    return tmp_path / "c"


def age(path, name, seconds):
    """Let a version be as old as that."""
    manifest = path / VERSIONS / name / "manifest.json"
    then = time.time() - seconds
    os.utime(manifest, (then, then))


def test_facts_of_all_versions(several):
    found = versions.describe_versions(several)
    assert [info.name for info in found] == list_versions(several)
    assert [info.live for info in found] == [False] * 4 + [True]
    assert all(info.damaged is None and info.manifest.rows == 40 for info in found)
    for info in found:
        folder = several / VERSIONS / info.name
        sizes = [p.stat().st_size for p in folder.rglob("*") if p.is_file()]
        assert info.bytes == sum(sizes)
        # What it shares with another one is not freed with it.
        assert info.own_bytes < info.bytes
    inodes = {p.stat().st_ino: p.stat().st_size for p in several.rglob("*") if p.is_file()}
    assert versions.disk_bytes(several) == sum(inodes.values())


def test_a_damaged_version_is_listed_with_its_reason(several):
    first, second, third, *_ = list_versions(several)
    (several / VERSIONS / first / "vectors.npy").unlink()
    (several / VERSIONS / second / "manifest.json").unlink()
    (several / VERSIONS / third / "manifest.json").write_text("{}")
    found = versions.describe_versions(several)
    assert "vectors.npy: missing" in found[0].damaged
    assert found[0].manifest is not None
    assert "found no manifest.json" in found[1].damaged
    assert found[2].damaged
    assert found[1].manifest is None
    assert [info.damaged for info in found[3:]] == [None, None]
    (several / CURRENT).write_bytes(b"\xff")
    assert not any(info.live for info in versions.describe_versions(several))


def test_going_back_and_forth(several):
    names = list_versions(several)
    assert versions.activate(several, names[0]) == names[-1]
    assert kinfold.open(several).models == ["default", "knn"]
    assert versions.activate(several, names[-1]) == names[0]
    assert versions.live_name(several) == names[-1]
    (several / CURRENT).write_bytes(b"\xff")
    assert versions.activate(several, names[1]) is None
    assert live_version(several).name == names[1]


@pytest.mark.parametrize(
    "name", ["../x", "..", ".", "", "a/b", ".building-1", "\0", "x" * 300, "20200101T000000Z-0"]
)
def test_a_version_that_is_none(several, name):
    before = live_version(several)
    for change in (versions.activate, versions.remove_version, versions.version_path):
        with pytest.raises(UnknownNameError, match="no version is called"):
            change(several, name)
    assert live_version(several) == before


def test_a_damaged_version_does_not_go_live(several):
    first, *_, last = list_versions(several)
    vectors = several / VERSIONS / first / "vectors.npy"
    vectors.unlink()
    vectors.write_bytes(b"x")
    with pytest.raises(kinfold.CorruptIndexError):
        versions.activate(several, first)
    assert live_version(several).name == last


def test_removing(several):
    *others, last = list_versions(several)
    with pytest.raises(LiveVersionError, match="is the live one"):
        versions.remove_version(several, last)
    freed = 0
    before = versions.disk_bytes(several)
    for name in others:
        freed += versions.remove_version(several, name)
        assert versions.disk_bytes(several) == before - freed
    assert list_versions(several) == [last]
    assert kinfold.verify(several).ok
    assert [p.name for p in (several / VERSIONS).iterdir()] == [last]


def test_nothing_is_removed_where_the_live_version_is_unknown(several):
    before = list_versions(several)
    (several / CURRENT).write_bytes(b"nonsense\xff")
    with pytest.raises(kinfold.FormatError):
        versions.collect_garbage(several, 0)
    with pytest.raises(kinfold.FormatError):
        versions.remove_version(several, before[0])
    (several / CURRENT).unlink()
    assert versions.collect_garbage(several, 0).removed == []
    assert list_versions(several) == before


@pytest.mark.parametrize(
    ("keep", "live", "stay"),
    [(3, 4, [2, 3, 4]), (1, 4, [4]), (0, 4, [4]), (2, 0, [0, 3, 4]), (0, 1, [1]),
     (9, 2, [0, 1, 2, 3, 4])],
)  # fmt: skip
def test_what_garbage_collection_keeps(several, keep, live, stay):
    names = list_versions(several)
    point_at(several, names[live])
    before = versions.disk_bytes(several)
    found = versions.collect_garbage(several, keep)
    assert list_versions(several) == [names[number] for number in stay]
    assert found.removed == [name for n, name in enumerate(names) if n not in stay]
    assert versions.disk_bytes(several) == before - found.bytes
    assert kinfold.verify(several).ok


def test_young_versions_are_kept(several):
    names = list_versions(several)
    age(several, names[0], 7200)
    age(several, names[1], 1800)
    assert versions.collect_garbage(several, 1, 3600).removed == [names[0]]


@pytest.mark.parametrize("arguments", [(-1,), (1, -1)])
def test_bad_policies(several, arguments):
    with pytest.raises(kinfold.InputError, match="expected to keep"):
        versions.collect_garbage(several, *arguments)


def test_a_pinned_version_stays(several):
    first, second, *_ = list_versions(several)
    with versions.pinned(several, first) as (folder, descriptor):
        assert folder.name == first
        assert os.fstat(descriptor).st_ino == folder.stat().st_ino
        with pytest.raises(BusyError, match="being copied"):
            versions.remove_version(several, first)
        found = versions.collect_garbage(several, 1)
        assert found.in_use == [first]
        assert second in found.removed
        assert (folder / "vectors.npy").exists()
    assert versions.remove_version(several, first) > 0


def test_a_build_that_runs_does_not_keep_garbage(several):
    with VersionWriter(several) as writer:
        assert len(versions.collect_garbage(several, 1).removed) == 4
        assert writer.folder.is_dir()
        versions.activate(several, live_version(several).name)


def test_remains_of_a_killed_removal_are_swept(several):
    code = """
import sys, os
from pathlib import Path
from kinfold.index import versions
import shutil
shutil.rmtree = lambda *a, **k: os._exit(9)
versions.remove_version(Path(sys.argv[1]), sys.argv[2])
"""
    first, second, *rest = list_versions(several)
    assert run_python(code, several, first).returncode == 9
    assert list_versions(several) == [second, *rest]
    assert list((several / VERSIONS).glob(".removed-*"))
    versions.remove_version(several, second)
    assert sorted(p.name for p in (several / VERSIONS).iterdir()) == rest


def test_the_live_version_is_never_removed(several):
    """Going back and forth in one process, collecting in another, opening in this thread."""
    code = """
import sys, time
from pathlib import Path
from kinfold.index import versions
from kinfold.index.publish import list_versions
path, end = Path(sys.argv[1]), time.monotonic() + 3
while time.monotonic() < end and len(list_versions(path)) > 1:
    versions.collect_garbage(path, 0)
"""
    names = list_versions(several)
    failures, stop = [], threading.Event()

    def go_back_and_forth():
        number = 0
        while not stop.is_set():
            number += 1
            with suppress(UnknownNameError, kinfold.FormatError):
                versions.activate(several, names[number % 4])

    def publish():
        while not stop.is_set():
            # What was live when it began may be left, and collected, before it is taken over.
            with suppress(kinfold.FormatError):
                kinfold.set_default(several, "default")

    def read():
        while not stop.is_set():
            try:
                index = kinfold.open(several)
                index.search(index.vectors[:1], 2)
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=job) for job in (go_back_and_forth, publish, read)]
    for thread in threads:
        thread.start()
    try:
        done = run_python(code, several)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert done.returncode == 0, done.stderr
    assert failures == []
    assert kinfold.verify(several).ok


def test_switching_excludes(several):
    order = []

    def wait():
        with switching(several):
            order.append("second")

    with switching(several):
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_collections_are_created_and_dropped(tmp_path):
    folder = create_collection(tmp_path, "photos")
    assert holds_collection(folder)
    assert versions.live_name(folder) is None
    assert versions.describe_versions(folder) == []
    assert versions.collect_garbage(folder).removed == []
    with pytest.raises(TakenNameError):
        create_collection(tmp_path, "photos")
    kinfold.build(gallery(12), folder, config=CONFIG)
    index = kinfold.open(folder)
    drop_collection(tmp_path, "photos")
    assert list(tmp_path.iterdir()) == []
    assert len(index.search(index.vectors[:1], 2)) == 1
    with pytest.raises(UnknownNameError):
        drop_collection(tmp_path, "photos")


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "Upper", "x" * 65, "a\n", "a\0"])
def test_bad_names_of_collections(tmp_path, name):
    for change in (create_collection, drop_collection):
        with pytest.raises(kinfold.InputError, match="expected 1 to 64"):
            change(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_collection_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("x")
    with pytest.raises(kinfold.InputError, match="something else"):
        create_collection(tmp_path, "mine")
    with pytest.raises(UnknownNameError):
        drop_collection(tmp_path, "mine")
    (tmp_path / "bare").mkdir()
    create_collection(tmp_path, "bare")
    with pytest.raises(kinfold.StorageError):
        create_collection(tmp_path / "mine" / "file", "c")


def test_a_collection_that_is_built_is_not_dropped(tmp_path):
    with VersionWriter(tmp_path / "c"):
        with pytest.raises(BusyError):
            drop_collection(tmp_path, "c")
        assert holds_collection(tmp_path / "c")


def test_dropping_sweeps_what_was_left(tmp_path):
    (tmp_path / ".dropped-1" / "versions").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".dropped-2").symlink_to(tmp_path / "elsewhere")
    sweep_dropped(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["elsewhere"]


def test_files_of_a_removed_version_serve_who_has_it_open(several):
    first = list_versions(several)[0]
    index = kinfold.open(several / VERSIONS / first)
    expected = index.search(index.vectors[:3], 3).ids
    versions.remove_version(several, first)
    assert (index.search(index.vectors[:3], 3).ids == expected).all()
    assert files_of(several / VERSIONS / list_versions(several)[0])
