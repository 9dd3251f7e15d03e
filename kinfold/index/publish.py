"""Writing a version beside the live one and publishing it in one step.

    <path>/CURRENT                    name of the live version, replaced by rename
    <path>/LOCK                       held (flock) by the one process that writes
    <path>/versions/<time>-<hash>/    a published version, never changed again
    <path>/versions/.building-…/      a version being written; swept away by the next build
    <path>/.work/                     what a build that can be resumed has finished

A reader sees the old version or the new one, whole, whatever happens to the writer.
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
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kinfold.errors import BusyError, FormatError, InputError
from kinfold.index.files import disk_errors, sync_folder
from kinfold.index.manifest import MANIFEST, Manifest, digest
from kinfold.index.writing import FileWriter

COLLECTION_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""What the folder of a collection may be called inside a data folder: no name leads out of it."""

CURRENT = "CURRENT"
VERSIONS = "versions"
WORK = ".work"
_LOCK = "LOCK"
_BUILDING = ".building-"
_FRESH = f".{CURRENT}-"
_FRESH_SECONDS = 60
_MOST_NAME_BYTES = 256
_CURRENT_CONTENT = re.compile(rb"([A-Za-z0-9][A-Za-z0-9._-]*)\n?")


class VersionWriter(FileWriter):
    """Writes the files of one version; use as a context manager, then `publish`.

    Leaving the block without publishing (an error, an interrupt) removes what was written, and the
    collection's folder if it was made for this and holds no stages to go on from. A killed process
    cannot; its remains are removed by the next writer, which the lock lets in.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, path / VERSIONS / f"{_BUILDING}{secrets.token_hex(8)}")
        self._lock: int | None = None
        self._is_new = False

    def __enter__(self) -> Self:
        with disk_errors(self.path, "build"):
            if (self.path / MANIFEST).exists():
                raise InputError(
                    f"{self.path}: expected the folder of a collection, found a version of one; "
                    "published versions are never changed"
                )
            self._is_new = not self.path.exists()
            self._lock = _hold(self.path, make=True)
            try:
                self._sweep()
                self.folder.mkdir()
            except BaseException:
                self._leave()
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._is_new:
            self._take_back()
        self._release()

    def _take_back(self) -> None:
        """Remove the collection's folder if nothing came of it; the lock is held."""
        with suppress(OSError):
            if {entry.name for entry in self.path.iterdir()} <= {VERSIONS, _LOCK}:
                (self.path / VERSIONS).rmdir()
                (self.path / _LOCK).unlink()
                self.path.rmdir()

    def _release(self) -> None:
        if self._lock is not None:
            # Closing alone would leave it with every child forked meanwhile.
            fcntl.flock(self._lock, fcntl.LOCK_UN)
            os.close(self._lock)
            self._lock = None

    def _sweep(self) -> None:
        """Remove what killed writers left; the lock says that none of them is alive."""
        for entry in (self.path / VERSIONS).iterdir():
            if entry.name.startswith(_BUILDING):
                shutil.rmtree(entry, ignore_errors=True)
        for entry in self.path.glob(f"{_FRESH}*"):
            # Going back to an older version takes another lock, and may be at work right now.
            with suppress(FileNotFoundError):
                if time.time() - entry.stat().st_mtime > _FRESH_SECONDS:
                    entry.unlink()

    def publish(self, **fields: Any) -> str:
        """Write the manifest, make all of it durable, and let the version go live.

        Parameters
        ----------
        fields:
            Of `Manifest`, all but `files`.

        Returns
        -------
        str
            The name of the version.
        """
        content = Manifest(files=dict(sorted(self.files.items())), **fields).to_bytes()
        with self.file(MANIFEST) as file:
            file.write(content)
        return self.go_live(content)

    def go_live(self, manifest: bytes) -> str:
        """As `publish`, of files among which the manifest, of this content, is written already."""
        name = f"{_stamp()}-{digest(manifest)}"
        final = self.path / VERSIONS / name
        with disk_errors(self.path, "publishing"):
            for folder in [self.folder, *(p for p in self.folder.rglob("*") if p.is_dir())]:
                sync_folder(folder)
            # Nobody who removes versions may come between: it is not the live one yet.
            with switching(self.path):
                self.folder.rename(final)
                try:
                    sync_folder(final.parent)
                    point_at(self.path, name)
                except BaseException:
                    if not _is_live(final):
                        shutil.rmtree(final, ignore_errors=True)
                    raise
        return name


def _stamp() -> str:
    """The time, fine enough that the names of versions sort by it."""
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    return time.strftime("%Y%m%dT%H%M%S", time.gmtime(seconds)) + f".{nanoseconds // 1000:06d}Z"


def _is_live(version: Path) -> bool:
    with suppress(FormatError):
        return live_version(version.parents[1]) == version
    return False


def _hold(path: Path, *, make: bool = False) -> int:
    """The writer's lock of a collection, held: a descriptor.

    Parameters
    ----------
    make:
        Make the folders that are missing.

    Raises
    ------
    BusyError
        Somebody else holds it.
    """
    while True:
        if make:
            (path / VERSIONS).mkdir(parents=True, exist_ok=True)
        lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(lock), (path / _LOCK).stat()):
                    return lock
        except BlockingIOError:
            os.close(lock)
            raise BusyError(
                f"{path}: another process is building this collection; wait for it or build into "
                "another one"
            ) from None
        # That of a folder that was removed, or dropped, a moment ago.
        os.close(lock)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Hold the writer's lock without writing a version; raises `BusyError` where one is built."""
    with disk_errors(path, "locking"):
        lock = _hold(path)
    try:
        yield
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)
        os.close(lock)


@contextmanager
def switching(path: Path) -> Iterator[None]:
    """Keep others from changing `CURRENT` and from removing versions, for a moment.

    Not the writer's lock, which a build holds for as long as it runs: going back to an older
    version must not wait for that. Waits; nobody holds this one for longer than a few renames.
    """
    with disk_errors(path, "locking"):
        folder = os.open(path / VERSIONS, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with disk_errors(path, "locking"):
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        fcntl.flock(folder, fcntl.LOCK_UN)
        os.close(folder)


def point_at(path: Path, name: str) -> None:
    """Make `name` the live version, by rename: readers see the old name or the new one.

    Within `switching`, where somebody might remove that version meanwhile.
    """
    fresh = path / f"{_FRESH}{secrets.token_hex(4)}"
    with disk_errors(path, "publishing"):
        try:
            with fresh.open("x", encoding="ascii") as file:
                file.write(name + "\n")
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path / CURRENT)
        finally:
            fresh.unlink(missing_ok=True)
        sync_folder(path)


def list_versions(path: Path) -> list[str]:
    """Names of the published versions, oldest first."""
    folder = path / VERSIONS
    if not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def live_version(path: Path) -> Path:
    """The folder of the live version of the index at `path`.

    `path` may also be the folder of one version itself.
    """
    try:
        if (path / MANIFEST).is_file():
            return path
        with (path / CURRENT).open("rb") as file:
            raw = file.read(_MOST_NAME_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        known = f"it has no {CURRENT} file" if path.is_dir() else "the folder does not exist"
        known = "it is a file, not a folder" if path.is_file() else known
        raise FormatError(f"{path}: no kinfold index here: {known}") from None
    except (OSError, ValueError) as error:
        raise FormatError(f"{path / CURRENT}: cannot be read: {error}") from None
    match = _CURRENT_CONTENT.fullmatch(raw)
    if match is None or len(raw) > _MOST_NAME_BYTES:
        raise FormatError(
            f"{path / CURRENT}: corrupt: expected the name of a version, found {raw[:80]!r}"
        )
    name = match[1].decode("ascii")
    version = path / VERSIONS / name
    if not version.is_dir():
        raise FormatError(
            f"{path / CURRENT}: names version {name!r}, which does not exist; "
            f"versions here: {', '.join(list_versions(path)) or 'none'}"
        )
    return version
