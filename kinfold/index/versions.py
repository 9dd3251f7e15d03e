"""The versions of a collection: listed, gone back to, and removed.

Three locks, all of them ``flock`` and so released by the system whatever becomes of a process:

- the writer's, on ``LOCK``: held by a build from its beginning to its end;
- the switch, on ``versions/`` (`switching`): held for a few renames, by whoever changes `CURRENT`
  or removes a version, so that none of them ever removes the version that another makes live;
- the pin, on a version's folder (`pinned`): shared, by whoever copies the version away.

Removing takes the switch and not the writer's lock: a build that runs for hours must not keep the
disk from being freed. Readers take none: one that opens a version while it is removed finds that
`CURRENT` has changed, and opens again.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from kinfold.errors import (
    BusyError,
    FormatError,
    InputError,
    LiveVersionError,
    UnknownNameError,
)
from kinfold.index.files import disk_errors, sync_folder
from kinfold.index.manifest import MANIFEST, Manifest, read_manifest
from kinfold.index.publish import (
    CURRENT,
    VERSIONS,
    list_versions,
    live_version,
    point_at,
    switching,
)
from kinfold.index.reader import check_sizes, open_stored

VERSION_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""What a version may be called by whoever asks for it: no name leads out of ``versions/``."""

_REMOVED = ".removed-"

_Files = dict[tuple[int, int], int]
"""A number for each file, by device and inode."""


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """One version of a collection.

    Attributes
    ----------
    live:
        Whether `CURRENT` names it.
    bytes:
        Of all its files.
    own_bytes:
        Of those that no other version of the collection shares: what removing it would free.
    manifest:
        None where it cannot be read.
    damaged:
        Why it cannot be opened, as far as that shows without reading its files (see `verify`).
    """

    name: str
    live: bool
    bytes: int
    own_bytes: int
    manifest: Manifest | None = None
    damaged: str | None = None


@dataclass(frozen=True, slots=True)
class Garbage:
    """What `collect_garbage` did.

    Attributes
    ----------
    removed:
        Names, oldest first.
    bytes:
        How much that has freed.
    in_use:
        Names of versions that would have gone, but are being copied away.
    """

    removed: list[str] = field(default_factory=list)
    bytes: int = 0
    in_use: list[str] = field(default_factory=list)


def live_name(path: Path) -> str | None:
    """Name of the live version; None where nothing was published yet.

    Raises
    ------
    FormatError
        `CURRENT` is damaged or names what does not exist.
    """
    if not (path / CURRENT).exists() and not (path / MANIFEST).exists():
        return None
    return live_version(path).name


def describe_versions(path: Path) -> list[VersionInfo]:
    """All published versions of a collection, oldest first.

    Files that several versions share, being links to one file, count for each in `bytes` and for
    none in `own_bytes`. A version that is removed meanwhile is left out.
    """
    with suppress(FormatError):
        return _describe(path, live_name(path))
    return _describe(path, None)


def _describe(path: Path, live: str | None) -> list[VersionInfo]:
    files = {name: _files(path / VERSIONS / name) for name in list_versions(path)}
    holders: _Files = {}
    for found in files.values():
        for key in found:
            holders[key] = holders.get(key, 0) + 1
    return [
        info
        for name, found in files.items()
        if (info := _describe_one(path / VERSIONS / name, found, holders, name == live)) is not None
    ]


def _describe_one(
    version: Path,
    files: dict[tuple[int, int], int],
    holders: dict[tuple[int, int], int],
    live: bool,
) -> VersionInfo | None:
    manifest, damaged = None, None
    try:
        manifest = read_manifest(version)
        check_sizes(version, manifest)
    except FormatError as error:
        if not version.is_dir():
            return None
        damaged = str(error)
    own = sum(size for key, size in files.items() if holders[key] == 1)
    return VersionInfo(version.name, live, sum(files.values()), own, manifest, damaged)


def _files(version: Path) -> _Files:
    """Size of each file below a folder, by device and inode."""
    found = {}
    for folder, _, names in os.walk(version):
        for name in names:
            with suppress(OSError):
                status = os.lstat(os.path.join(folder, name))  # noqa: PTH118
                found[status.st_dev, status.st_ino] = status.st_size
    return found


def disk_bytes(path: Path) -> int:
    """Bytes of all files of a collection; one that several versions share counts once."""
    return sum(_files(path).values())


def version_path(path: Path, name: str) -> Path:
    """The folder of a published version.

    Raises
    ------
    UnknownNameError
        There is none of this name.
    """
    folder = path / VERSIONS / name
    if not VERSION_NAME.fullmatch(name) or not folder.is_dir():
        known = ", ".join(list_versions(path)) or "none"
        raise UnknownNameError(f"no version is called {name[:128]!r}; versions here: {known}")
    return folder


def activate(path: Path, name: str) -> str | None:
    """Make a published version the live one; returns the name of the one before.

    Whatever opens the collection from now on opens this version. It is opened here first, so that
    a version that cannot be served never goes live; its files are not read in full (`verify`).

    Raises
    ------
    UnknownNameError
        There is no such version.
    FormatError
        It cannot be opened.
    """
    open_stored(version_path(path, name))
    with switching(path):
        # It may have been removed while it was opened.
        version_path(path, name)
        try:
            before = live_name(path)
        except FormatError:
            before = None
        point_at(path, name)
    return before


def remove_version(path: Path, name: str) -> int:
    """Remove a version from disk; returns how many bytes that frees.

    A process that has it open is not disturbed: its pages stay until it lets go of them.

    Raises
    ------
    UnknownNameError
        There is no such version.
    LiveVersionError
        It is the live one.
    BusyError
        It is being copied away.
    FormatError
        Which one is live cannot be told.
    """
    version_path(path, name)
    with switching(path):
        version = version_path(path, name)
        if name == live_name(path):
            raise LiveVersionError(
                f"version {name!r} is the live one; activate another one first, or drop the "
                "collection"
            )
        freed = _own_bytes(path, name)
        gone = _take_away(version)
    _sweep(path, gone)
    return freed


def collect_garbage(path: Path, keep: int = 3, keep_seconds: float = 0) -> Garbage:
    """Remove old versions of a collection.

    The live version stays, and so do the `keep` newest, and every one that was written less than
    `keep_seconds` ago. What is live is looked at under the lock that everybody takes who changes
    it, so that the live version is never removed, whatever goes live meanwhile. Where nothing is
    live, nothing is removed.

    Raises
    ------
    InputError
        A negative number.
    FormatError
        Which one is live cannot be told.
    """
    if keep < 0 or keep_seconds < 0:
        raise InputError(
            f"expected to keep 0 versions or more, and for 0 seconds or more; found {keep} and "
            f"{keep_seconds}"
        )
    garbage = Garbage()
    if not list_versions(path):
        return garbage
    freed = 0
    gone: list[Path] = []
    with switching(path):
        live = live_name(path)
        versions = list_versions(path)
        newest = versions[max(0, len(versions) - keep) :]
        for name in versions:
            version = path / VERSIONS / name
            if live is None or name in {live, *newest} or _age(version) < keep_seconds:
                continue
            size = _own_bytes(path, name)
            try:
                gone.append(_take_away(version))
            except BusyError:
                garbage.in_use.append(name)
                continue
            freed += size
            garbage.removed.append(name)
    _sweep(path, *gone)
    return Garbage(garbage.removed, freed, garbage.in_use)


def _age(version: Path) -> float:
    """Seconds since a version was written here; of a damaged one, since its folder was."""
    for path in (version / MANIFEST, version):
        with suppress(OSError):
            return time.time() - path.stat().st_mtime
    return 0.0


def _own_bytes(path: Path, name: str) -> int:
    """What removing a version frees now."""
    others: set[tuple[int, int]] = set()
    for other in list_versions(path):
        if other != name:
            others |= _files(path / VERSIONS / other).keys()
    mine = _files(path / VERSIONS / name)
    return sum(size for key, size in mine.items() if key not in others)


def _take_away(version: Path) -> Path:
    """Rename a version out of sight, so that nobody ever sees half of it; not if it is pinned."""
    with disk_errors(version, "removing"):
        folder = os.open(version, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            gone = version.with_name(f"{_REMOVED}{secrets.token_hex(8)}")
            version.rename(gone)
            sync_folder(version.parent)
        except BlockingIOError:
            raise BusyError(
                f"version {version.name!r} is being copied away; remove it when that has ended"
            ) from None
        finally:
            fcntl.flock(folder, fcntl.LOCK_UN)
            os.close(folder)
    return gone


def _sweep(path: Path, *gone: Path) -> None:
    """Remove what was renamed out of sight, and what killed processes left of that."""
    for folder in {*gone, *(path / VERSIONS).glob(f"{_REMOVED}*")}:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def pinned(path: Path, name: str | None = None) -> Iterator[tuple[Path, int]]:
    """Keep a version on disk: its folder, and a descriptor of it that survives a rename.

    Parameters
    ----------
    name:
        None: the live version.

    Raises
    ------
    UnknownNameError
        There is no such version.
    FormatError
        There is no live version.
    """
    _find(path, name)
    # Under the switch: nothing is removed between finding the version and pinning it.
    with switching(path):
        version = _find(path, name)
        with disk_errors(version, "reading"):
            folder = os.open(version, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            # Waits for nobody: whoever wants it for itself alone holds the switch.
            fcntl.flock(folder, fcntl.LOCK_SH)
    try:
        yield version, folder
    finally:
        fcntl.flock(folder, fcntl.LOCK_UN)
        os.close(folder)


def _find(path: Path, name: str | None) -> Path:
    return live_version(path) if name is None else version_path(path, name)
