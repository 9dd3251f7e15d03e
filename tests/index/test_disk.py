"""Disks that are full, too small for one file, or not to be written: real ones."""

from __future__ import annotations

import gc
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import kinfold
from kinfold import BuildConfig
from kinfold.index import VersionWriter, layout, list_versions
from kinfold.index.manifest import MANIFEST
from kinfold.index.publish import VERSIONS

from .support import files_of, gallery, live, needs_proc, run_python, small_blocks

ROWS, DIMENSION = 200, 8
PAGE = os.sysconf("SC_PAGE_SIZE")
WRITTEN = [
    "vectors.npy",
    "ids.arrow",
    "ids-order.npy",
    "payload.arrow",
    "knn.faiss",
    "neighbors.npy",
    "similarities.npy",
    "models/default/graph-neighbors.npy",
    "models/default/graph-similarities.npy",
    "models/default/indices-00000.npy",
    "models/default/values-00000.npy",
    "models/default/order.npy",
    "models/default/places.npy",
    "models/default/indptr.npy",
    "models/default/starts.npy",
    "models/default/scales.npy",
    "models/default/largest.npy",
    MANIFEST,
]


def build(path: Path, neighbors: str = "hnsw", seed: int = 1) -> kinfold.Index:
    return kinfold.build(
        gallery(ROWS, DIMENSION, seed=seed),
        path,
        ids=[f"i{row}" for row in range(ROWS)],
        payload={"a": list(range(ROWS))},
        config=BuildConfig(k_d=5, neighbors=neighbors, max_row=40),
        threads=1,
    )


def mount(*arguments: object) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path):
    """A small disk of memory, whose size can be changed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small disk needs root")
    try:
        mount("-t", "tmpfs", "-o", "size=64m", "tmpfs", folder)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no disk can be mounted here: {error.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def pages_used(folder: Path) -> int:
    state = os.statvfs(folder)
    return (state.f_blocks - state.f_bfree) * state.f_frsize // PAGE


def leave(folder: Path, pages: int) -> None:
    """Let the disk have room for so many more pages."""
    mount("-o", f"remount,size={(pages_used(folder) + pages) * PAGE}", folder)


def everything(path: Path) -> list[str]:
    return sorted(str(p.relative_to(path)) for p in path.rglob("*"))


class OldVersion:
    """What has to be there still, and nothing else, whatever a build ran into."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.live = live(path)
        self.files = everything(path)

    def check(self) -> None:
        assert everything(self.path) == self.files
        self.check_answers()

    def check_answers(self) -> None:
        assert live(self.path) == self.live
        assert kinfold.verify(self.path).problems == []
        index = kinfold.open(self.path)
        assert len(index.search(index.vectors[:2], 3)) == 2


def pages(size: int) -> int:
    return -(-size // PAGE)


PLACE = re.compile(r"build|writing [\w./-]+|marking [\w:-]+|publishing")


def filled(
    path: Path, disk: Path, old: OldVersion, rooms: Iterable[int], **options: Any
) -> set[str]:
    """Build with so much room until a build succeeds; returns what others were busy with."""
    used, places = pages_used(disk), set()
    for room in rooms:
        leave(disk, room)
        try:
            with pytest.raises(kinfold.StorageError, match="no room left on the disk") as refusal:
                build(path, **options)
        except pytest.fail.Exception:
            return places
        finally:
            mount("-o", "remount,size=64m", disk)
        message = str(refusal.value)
        assert str(path) in message
        assert "free some space" in message
        place = message.partition(":")[0] if "marking" not in message else message.split(": no ")[0]
        assert PLACE.fullmatch(place), message
        places.add(place)
        old.check()
        # The error remembers the frames that mapped the vectors.
        del refusal
        gc.collect()
        assert pages_used(disk) == used, "what was written is given back"
    raise AssertionError("there was never room enough")


@pytest.mark.parametrize(("neighbors", "step"), [("hnsw", 4), ("ivf", 9)])
def test_a_disk_that_is_full_at_any_moment(disk, neighbors, step):
    """A page more every time, or a few, until it is enough."""
    path = disk / "collection"
    build(path, neighbors)
    old = OldVersion(path)
    assert files_of(old.live) == sorted(WRITTEN[:-1])
    engine = next(p for p in old.live.rglob(layout.ENGINE))
    assert pages(engine.stat().st_size) >= 3
    places = filled(path, disk, old, range(0, 1000, step), neighbors=neighbors)
    assert len(list_versions(path)) == 2
    if neighbors == "hnsw":
        assert len(places) >= 8, places
        assert "writing vectors.npy" in places
        assert any(layout.ENGINE in place or place == "build" for place in places)


@pytest.fixture
def last_step(disk, monkeypatch):
    """An old version on a disk that a build found full when it was to go live."""
    path = disk / "collection"
    build(path)
    old = OldVersion(path)
    go_live = VersionWriter.go_live

    def without_room(self, manifest):
        leave(disk, 0)
        return go_live(self, manifest)

    monkeypatch.setattr(VersionWriter, "go_live", without_room)
    with pytest.raises(kinfold.StorageError, match="publishing: no room left"):
        build(path)
    mount("-o", "remount,size=64m", disk)
    monkeypatch.undo()
    return old


def test_a_disk_that_is_full_at_the_last_step(last_step):
    """Everything was written but the few bytes that let it go live; the next build clears up."""
    last_step.check_answers()
    assert list_versions(last_step.path) == [last_step.live.name]
    build(last_step.path)
    assert everything(last_step.path) != last_step.files
    assert not (last_step.path / ".work").exists()


def test_what_a_build_had_written_at_the_last_step_is_given_back(last_step):
    last_step.check()


@pytest.mark.long
def test_a_disk_that_is_full_in_the_middle_of_several_blocks(disk, monkeypatch):
    path = disk / "collection"
    small_blocks(monkeypatch)
    build(path)
    old = OldVersion(path)
    names = [name for name in files_of(old.live) if "-000" in name]
    assert len(names) > 10
    first = sum(pages((old.live / name).stat().st_size) for name in WRITTEN[:9])
    places = filled(path, disk, old, range(first, 1000, 2), seed=2)
    # What the stages before need for a while is as much as all blocks but the last.
    assert any(re.search("(indices|values)-000", place) for place in places), places


def test_a_disk_without_room_for_another_file(disk):
    """Names run out before bytes do."""
    path = disk / "collection"
    build(path)
    old = OldVersion(path)
    state = os.statvfs(disk)
    used = state.f_files - state.f_ffree
    for more in range(0, 16, 3):
        mount("-o", f"remount,nr_inodes={used + more}", disk)
        with pytest.raises(kinfold.StorageError, match="no room left"):
            build(path)
        old.check()
    mount("-o", "remount,nr_inodes=1000000", disk)
    build(path)


def test_a_disk_that_is_read_only(disk):
    path = disk / "collection"
    build(path)
    old = OldVersion(path)
    mount("-o", "remount,ro", disk)
    try:
        for target in (path, disk / "another"):
            with pytest.raises(kinfold.StorageError, match="cannot be written") as refusal:
                build(target)
            assert str(target) in str(refusal.value)
        old.check()
    finally:
        mount("-o", "remount,rw", disk)
    build(path)


@needs_proc
@pytest.mark.parametrize("path", ["/proc/kinfold", "/proc/self/fd/kinfold"])
def test_a_place_that_takes_no_folders(path):
    with pytest.raises(kinfold.StorageError, match=path):
        build(Path(path))


LIMITED = """
import resource, signal, sys
from pathlib import Path
import kinfold
from kinfold.index import layout
from tests.index.test_disk import OldVersion, WRITTEN, build

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
version = build(path, sys.argv[2]).version
old = OldVersion(path)
sizes = {(version / name).stat().st_size for name in WRITTEN}
for size in sorted(sizes):
    for limit in {size - 1, size // 2}:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            build(path, sys.argv[2])
        except kinfold.StorageError as error:
            assert "no room left" in str(error), error
            print(str(error).partition(":")[0])
        else:
            print("built in spite of", limit)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        old.check()
build(path, sys.argv[2])
print("done")
"""


@pytest.mark.parametrize("neighbors", ["hnsw", "ivf"])
def test_a_limit_on_the_size_of_files(tmp_path, neighbors):
    """Each file in turn is the first that the system refuses to let grow."""
    result = run_python(LIMITED, tmp_path / "c", neighbors)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[-1] == "done"
    assert not [line for line in lines if line.startswith("built")]
    assert len(set(lines)) >= 3
    # faiss writes its own file; who reports its failure is not promised, but somebody has to.
    assert {"build", "writing knn.faiss"} & set(lines)


POWERLESS = """
import os, sys
from pathlib import Path
import kinfold
from tests.index.test_disk import build

# Nobody may not even read the interpreter's own modules: all that is needed is loaded now.
build(Path(sys.argv[2]))
try:
    kinfold.open(sys.argv[2] + "/missing")
except kinfold.FormatError:
    pass
if os.geteuid() == 0:
    os.setgroups([])
    os.setuid(65534)
for attempt in (lambda: build(Path(sys.argv[1])), lambda: kinfold.open(sys.argv[1])):
    try:
        print("worked", len(attempt()))
    except kinfold.KinfoldError as error:
        print(type(error).__name__, error)
"""


@pytest.fixture
def foreign():
    """A folder that everybody may enter, unlike those that pytest makes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder / "c")
        yield folder
        for made in (folder, folder / "c"):
            made.chmod(0o755)
        for made in (p for p in list((folder / "c").rglob("*")) if p.is_dir()):
            made.chmod(0o755)


def protect(folder: Path, mode: int) -> None:
    inner = [p for p in (folder / "c").rglob("*") if p.is_dir()]
    for made in [*inner, folder / "c", folder]:
        made.chmod(mode if made == folder / "c" else 0o555)
    (folder / "c" / "LOCK").chmod(0o444)


def test_a_folder_that_may_only_be_read(foreign, tmp_path):
    """Searching needs no right to write; building says what is missing."""
    old = OldVersion(foreign / "c")
    protect(foreign, 0o555)
    result = run_python(POWERLESS, foreign / "c", tmp_path / "mine")
    assert result.returncode == 0, result.stderr
    first, second = result.stdout.splitlines()
    assert first.startswith(f"StorageError build: {foreign / 'c'} cannot be written (Permission")
    assert second == f"worked {ROWS}"
    old.check()


def test_a_folder_that_may_not_be_entered(foreign, tmp_path):
    protect(foreign, 0o000)
    result = run_python(POWERLESS, foreign / "c", tmp_path / "mine")
    assert result.returncode == 0, result.stderr
    first, second = result.stdout.splitlines()
    assert first.startswith(f"StorageError build: {foreign / 'c'} cannot be written (Permission")
    assert second.startswith("FormatError")
    assert "Permission denied" in second


def test_a_new_folder_where_none_may_be_made(foreign, tmp_path):
    protect(foreign, 0o555)
    result = run_python(POWERLESS, foreign / "new", tmp_path / "mine")
    assert result.returncode == 0, result.stderr
    first, second = result.stdout.splitlines()
    assert first.startswith(f"StorageError build: {foreign / 'new'} cannot be written (Permission")
    assert second.startswith("FormatError")


def test_versions_folder_is_made_with_its_parents(tmp_path):
    build(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c" / VERSIONS).is_dir()
    assert kinfold.verify(tmp_path / "a" / "b" / "c").ok
