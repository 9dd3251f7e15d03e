"""Builds that end early: an error, an interrupt, another writer, a fork that outlives them."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

import kinfold
from kinfold import BuildConfig
from kinfold.index import VersionWriter, list_versions, publish
from kinfold.index.collections import create_collection
from kinfold.index.publish import CURRENT, VERSIONS

from .support import ROOT, gallery, needs_proc, run_python

ROWS = 40
CONFIG = BuildConfig(k_d=5, neighbors="hnsw")


def build(path, progress=None, seed=0):
    return kinfold.build(
        gallery(ROWS, seed=seed),
        path,
        ids=[f"i{row}" for row in range(ROWS)],
        payload={"a": list(range(ROWS))},
        config=CONFIG,
        progress=progress,
        threads=1,
    )


def names(path):
    """Everything in the collection's folder and in versions/."""
    return sorted(p.name for p in [*path.iterdir(), *(path / VERSIONS).iterdir()])


@pytest.fixture
def published(tmp_path):
    build(tmp_path)
    return tmp_path


def untouched(path, before):
    """The old version is live and whole, and nothing was left beside it."""
    assert names(path) == before
    assert kinfold.verify(path).ok
    assert len(kinfold.open(path)) == ROWS


def number_of_events(path):
    events = []
    build(path, events.append)
    return len(events)


class BoomError(Exception):
    pass


@pytest.mark.parametrize("error", [BoomError, KeyboardInterrupt, SystemExit, MemoryError, OSError])
def test_an_error_in_the_callback_removes_the_partial_version(published, error, tmp_path_factory):
    events = number_of_events(tmp_path_factory.mktemp("count"))
    assert events >= 4
    before = names(published)
    for stop in range(events):
        seen = []

        def interrupt(event, seen=seen, stop=stop):
            seen.append(event)
            if len(seen) > stop:
                raise error("stop")

        with pytest.raises(error):
            build(published, interrupt, seed=1)
        assert len(seen) == stop + 1
        untouched(published, before)
    build(published, seed=1)
    assert len(list_versions(published)) == 2


def test_an_error_before_anything_was_published_leaves_no_index(tmp_path):
    def interrupt(event):
        raise BoomError

    with pytest.raises(BoomError):
        build(tmp_path / "c", interrupt)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(kinfold.FormatError, match="the folder does not exist"):
        kinfold.open(tmp_path / "c")


def test_bad_data_that_is_found_late_removes_the_partial_version(published):
    before = names(published)
    vectors = gallery(ROWS)
    vectors[-1, -1] = np.nan
    with pytest.raises(kinfold.InputError, match=f"row {ROWS - 1}, column 3"):
        kinfold.build(vectors, published)
    untouched(published, before)


def test_leaving_without_publishing_leaves_nothing(published):
    before = names(published)
    with VersionWriter(published) as writer:
        writer.array("vectors.npy", gallery())
        assert (writer.folder / "vectors.npy").exists()
    untouched(published, before)


def test_readers_see_the_old_version_until_the_new_one_is_complete(published):
    old = kinfold.open(published).version
    seen = []

    def look(event):
        index = kinfold.open(published)
        index.search(index.vectors[:1], 3)
        seen.append(index.version)

    new = build(published, look, seed=1)
    assert set(seen) == {old}
    assert kinfold.open(published).version == new.version != old


def test_remains_of_a_killed_build_are_swept_by_the_next(published):
    remains = published / VERSIONS / ".building-0123456789abcdef"
    (remains / "models" / "default").mkdir(parents=True)
    (remains / "vectors.npy").write_bytes(b"half")
    stale, fresh = (published / f".{CURRENT}-{name}" for name in ("dead0000", "alive000"))
    stale.write_text("x")
    fresh.write_text("x")
    os.utime(stale, (time.time() - 3600,) * 2)
    mine = published / "notes.txt"
    mine.write_text("keep")

    build(published, seed=1)

    assert not remains.exists()
    assert not stale.exists()
    assert fresh.exists(), "another process may be about to rename it"
    assert mine.read_text() == "keep"
    assert len(list_versions(published)) == 2


HOLDER = """
import sys
from pathlib import Path
from kinfold.index import VersionWriter
with VersionWriter(Path(sys.argv[1])) as writer:
    writer.array("vectors.npy", __import__("numpy").zeros((3, 3)))
    print("holding", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def other_process(path):
    """A process in the middle of a build."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout.readline() == "holding\n"
            yield process
        finally:
            process.kill()


def test_a_second_process_is_refused_until_the_first_is_done(published):
    with other_process(published) as process:
        before = names(published)
        for _ in range(2):
            with pytest.raises(kinfold.BusyError, match="another process is building") as refusal:
                build(published)
            assert str(published) in str(refusal.value)
        assert names(published) == before, "the first one's folder is not swept"
        assert kinfold.verify(published).ok
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.wait(timeout=30) == 0
        build(published, seed=1)
    assert len(list_versions(published)) == 2


def test_the_lock_of_a_killed_process_is_free(published):
    with other_process(published) as process:
        assert any(name.startswith(".building-") for name in names(published))
        process.kill()
        process.wait(timeout=30)
        build(published, seed=1)
    assert not any(name.startswith(".building-") for name in names(published))
    assert len(list_versions(published)) == 2


def test_two_collections_are_built_at_once(published, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    with other_process(other):
        build(published, seed=1)
    assert len(list_versions(published)) == 2


def test_a_second_thread_is_refused(published):
    refusals = []

    def second(event):
        if not refusals:
            thread = threading.Thread(target=attempt)
            thread.start()
            thread.join()

    def attempt():
        try:
            build(published)
        except kinfold.BusyError as error:
            refusals.append(str(error))

    build(published, second, seed=1)
    assert len(refusals) == 1
    assert len(list_versions(published)) == 2


@needs_proc
def test_a_build_that_cannot_begin_gives_its_lock_back(tmp_path):
    """versions/ leads into /proc, where nobody can make a folder."""
    (tmp_path / VERSIONS).symlink_to("/proc")
    for _ in range(2):
        with pytest.raises(kinfold.StorageError):
            build(tmp_path)
    (tmp_path / VERSIONS).unlink()
    build(tmp_path)
    assert kinfold.verify(tmp_path).ok


FORKED = """
import os, signal, sys
from pathlib import Path
from kinfold.index import VersionWriter
with VersionWriter(Path(sys.argv[1])):
    child = os.fork()
    if child == 0:
        signal.pause()
try:
    with VersionWriter(Path(sys.argv[1])):
        print("free")
finally:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


def test_a_child_that_was_forked_meanwhile_does_not_keep_the_lock(published):
    result = run_python(FORKED, published)
    assert result.stdout == "free\n", result.stderr


@pytest.mark.parametrize("below", ["", "deeper", "deeper/still"])
def test_a_path_that_is_a_file_is_refused(tmp_path, below):
    (tmp_path / "file").write_text("mine")
    path = tmp_path / "file" / below if below else tmp_path / "file"
    with pytest.raises(kinfold.StorageError, match="found a file in its way") as refusal:
        build(path)
    assert str(path) in str(refusal.value)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", [VERSIONS, "LOCK", CURRENT])
def test_something_else_in_the_place_of_our_own_files(tmp_path, name):
    if name == VERSIONS:
        (tmp_path / name).write_text("a file")
    else:
        (tmp_path / name).mkdir()
    with pytest.raises(kinfold.StorageError) as refusal:
        build(tmp_path)
    assert str(tmp_path) in str(refusal.value)
    assert list_versions(tmp_path) == []


def test_a_first_build_that_fails_leaves_no_collection(tmp_path):
    spoiled = gallery(20)
    spoiled[7, 3] = np.nan
    with pytest.raises(kinfold.InputError):
        kinfold.build(spoiled, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_a_later_build_that_fails_leaves_the_collection(tmp_path):
    spoiled = gallery(20)
    spoiled[7, 3] = np.nan
    create_collection(tmp_path, "empty")
    kinfold.build(gallery(20), tmp_path / "live")
    for name in ("empty", "live"):
        with pytest.raises(kinfold.InputError):
            kinfold.build(spoiled, tmp_path / name)
        assert (tmp_path / name / "versions").is_dir()
    assert len(kinfold.open(tmp_path / "live")) == 20


def test_a_lock_that_was_taken_away_is_no_lock(tmp_path, monkeypatch):
    """Between opening and locking, another one removes the folder: what is locked is nothing."""
    path, locked, removed = tmp_path / "c", fcntl.flock, []

    def slow(lock, how):
        if not removed:
            removed.append(True)
            shutil.rmtree(path)
        locked(lock, how)

    monkeypatch.setattr(publish.fcntl, "flock", slow)
    with VersionWriter(path), pytest.raises(kinfold.BusyError), VersionWriter(path):
        pass
    assert removed
    assert not path.exists()
