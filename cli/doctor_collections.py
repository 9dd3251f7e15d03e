"""Checks of `kinfold doctor`: each collection, and what killed processes left."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import kinfold
from cli.doctor_finding import Finding, failed, ok, warning
from indexer.estimate import readable
from kinfold.errors import KinfoldError
from kinfold.index import list_versions
from kinfold.index.publish import COLLECTION_NAME, CURRENT, VERSIONS
from kinfold.progress import ProgressCallback
from service.collections import find_collections
from service.settings import Settings

_LOCK = "LOCK"
_RESTORE = "kinfold versions activate an older one, kinfold snapshot import one, or build again"


def collections(settings: Settings, full: bool, progress: ProgressCallback) -> Iterator[Finding]:
    """Each one opens; with `full`, every file has its hash and C keeps its rules."""
    try:
        names = find_collections(settings.data)
    except KinfoldError:
        return  # said of the data folder itself
    if not names:
        yield warning(
            "collections", f"none in {settings.data}", "make one: kinfold build SOURCE --data …"
        )
    for name in names:
        try:
            yield _examine(settings.data / name, full, progress)
        except KinfoldError as error:
            yield failed(f"collection {name}", str(error), _RESTORE)
    yield from _strangers(settings.data)


def _examine(path: Path, full: bool, progress: ProgressCallback) -> Finding:
    check = f"collection {path.name}"
    if not (path / CURRENT).exists() and not list_versions(path):
        return ok(check, "empty: it waits for a build or a snapshot")
    index = kinfold.open(path)
    found = (
        f"{len(index):,} × {index.dimension}, {len(list_versions(path))} versions, "
        f"live {index.version.name}"
    )
    del index
    if full:
        report = kinfold.verify(path, progress)
        if not report.ok:
            return failed(check, "; ".join(report.problems[:3]), _RESTORE)
        found += f"; {report.files} files, {readable(report.bytes)}, as built"
    return ok(check, found)


def _strangers(data: Path) -> Iterator[Finding]:
    for folder in sorted(data.iterdir()):
        if (
            folder.is_dir()
            and not folder.name.startswith(".")
            and (folder / VERSIONS).is_dir()
            and not COLLECTION_NAME.fullmatch(folder.name)
        ):
            yield warning(
                "collections",
                f"{folder} is not served: a name is at most 64 of a-z, 0-9, _ and -",
                "rename the folder",
            )


def leftovers(settings: Settings) -> Iterator[Finding]:
    """What processes left that did not end well; what is being written right now is not."""
    found = []
    try:
        entries = sorted(settings.data.iterdir())
    except OSError:
        return  # said of the data folder itself
    for entry in entries:
        if entry.name.startswith(".dropped-"):
            found.append((entry, "of a collection that was dropped: remove it"))
        elif not entry.name.startswith(".") and entry.is_dir() and not _is_locked(entry):
            work = [entry / ".work"] if (entry / ".work").is_dir() else []
            left = [*entry.glob(f"{VERSIONS}/.building-*"), *work]
            found += [(folder, "of a build that was stopped: build it again") for folder in left]
    for folder, advice in found:
        yield warning("leftovers", f"{folder}: {readable(_size(folder))}", advice)
    if not found:
        yield ok("leftovers", "none")


def _is_locked(collection: Path) -> bool:
    """Whether a build is at work there."""
    try:
        handle = os.open(collection / _LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.lstat().st_size
    return total
