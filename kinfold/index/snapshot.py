"""One version as one archive: written as a stream, and read back with every byte checked.

A snapshot is a plain tar file: ``manifest.json`` first, then the files that the manifest names,
in its order, and nothing else. It is made and read front to back, without a copy on the way, so
that any pipe will do.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from kinfold.errors import CorruptIndexError, FormatError, StorageError
from kinfold.index.files import disk_errors
from kinfold.index.manifest import (
    MANIFEST,
    MOST_MANIFEST_BYTES,
    FileInfo,
    Manifest,
    parse_manifest,
    read_manifest,
)
from kinfold.index.publish import VersionWriter
from kinfold.index.reader import check_sizes
from kinfold.index.verify import check_structure
from kinfold.index.versions import pinned
from kinfold.progress import Progress, ProgressCallback, silent

SUFFIX = ".kinfold.tar"

_BLOCK = tarfile.BLOCKSIZE
_PIECE = 1 << 20
_MOST_PADDING = 1 << 20
_END = bytes(2 * _BLOCK)


class Readable(Protocol):
    """Anything that bytes can be read from, front to back."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        ...


class Snapshot:
    """A version about to be written as an archive; use as a context manager.

    The version stays on disk meanwhile: nobody can remove it, unless the whole collection is
    dropped.

    Attributes
    ----------
    version:
        Its name.
    manifest:
        What it holds.
    bytes:
        Of the whole archive.
    """

    def __init__(self, path: Path, name: str | None = None) -> None:
        self._path = path
        self._name = name
        self._held = ExitStack()
        self._folder = -1
        self._headers: dict[str, bytes] = {}
        self.version = ""
        self.bytes = 0
        self.manifest: Manifest

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            version, self._folder = stack.enter_context(pinned(self._path, self._name))
            self.version = version.name
            self.manifest = read_manifest(version)
            check_sizes(version, self.manifest)
            self._sizes = {MANIFEST: (version / MANIFEST).stat().st_size} | {
                name: info.bytes for name, info in self.manifest.files.items()
            }
            stamp = _seconds(self.manifest.created)
            for name, size in self._sizes.items():
                self._headers[name] = _header(name, size, stamp)
            self.bytes = len(_END) + sum(
                len(self._headers[name]) + _padded(size) for name, size in self._sizes.items()
            )
            self._held = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._held.close()

    def pieces(self) -> Iterator[bytes]:
        """The archive in pieces of bounded size.

        Raises
        ------
        CorruptIndexError
            In the middle of the stream, before the end of a file that is damaged: what was
            written so far is no complete archive.
        """
        for name, size in self._sizes.items():
            yield self._headers[name]
            yield from self._content(name, self.manifest.files.get(name), size)
            yield bytes(_padded(size) - size)
        yield _END

    def _content(self, name: str, info: FileInfo | None, size: int) -> Iterator[bytes]:
        found, left = hashlib.sha256(), size
        with disk_errors(self._path, f"reading {name}"):
            file = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._folder)
        try:
            while left:
                with disk_errors(self._path, f"reading {name}"):
                    piece = os.read(file, min(left, _PIECE))
                found.update(piece)
                left -= len(piece)
                # The last piece waits for the judgement: an archive of a damaged file never ends.
                expected = info.sha256 if info is not None and left == 0 else None
                if not piece or (expected and found.hexdigest() != expected):
                    raise CorruptIndexError(
                        f"{self._path}: version {self.version}: corrupt: {name} does not have the "
                        "content that its manifest promises; run `kinfold verify`"
                    )
                yield piece
        finally:
            os.close(file)


def _seconds(created: str) -> int:
    """The manifest's own time, so that the same version is always the same archive."""
    try:
        return max(0, int(datetime.fromisoformat(created).timestamp()))
    except (ValueError, OverflowError):
        return 0


def _header(name: str, size: int, stamp: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = size, stamp, 0o644
    # The format that knows files of more than 8 GiB without a second kind of header.
    return member.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def export_snapshot(
    path: str | Path,
    target: str | Path,
    version: str | None = None,
    progress: ProgressCallback = silent,
) -> str:
    """Write a version of the collection at `path` as one file; returns the version's name.

    Parameters
    ----------
    target:
        A file that does not exist yet. It appears under its name when it is complete.
    version:
        None: the live one.
    """
    final = Path(target)
    part = final.with_name(f".{final.name}.part")
    with disk_errors(final, "writing the snapshot"):
        if final.exists():
            raise StorageError(f"{final}: expected a file that does not exist yet, found one")
        with Snapshot(Path(path), version) as snapshot:
            try:
                with part.open("wb") as file:
                    done = 0
                    for piece in snapshot.pieces():
                        done += file.write(piece)
                        progress(Progress("export", done, snapshot.bytes, "bytes"))
                    file.flush()
                    os.fsync(file.fileno())
                part.replace(final)
            finally:
                part.unlink(missing_ok=True)
            return snapshot.version


def import_snapshot(
    path: str | Path,
    source: Readable,
    most_bytes: int | None = None,
    progress: ProgressCallback = silent,
) -> str:
    """Read an archive into the collection at `path`; it goes live; returns the version's name.

    Nothing of the archive is believed: every member must be one that its manifest names, once,
    with the size and the sha256 that it gives, and all of them together must open as an index.
    They are written beside the versions that are there; after an error nothing is left of them.

    The version's name is made of the present time and of the manifest's hash, as a build's is: it
    ends as the exported version's name does, and sorts as the newest.

    Parameters
    ----------
    source:
        Read front to back, never backwards.
    most_bytes:
        Largest sum of the files' sizes.

    Raises
    ------
    CorruptIndexError
        The archive is truncated, damaged, or holds something else.
    NewerFormatError
        It was written by a newer Kinfold.
    BusyError
        The collection is being built.
    StorageError
        The disk is full or refuses.
    """
    root, archive = Path(path), _Archive(source)
    with VersionWriter(root) as writer:
        content, manifest = _read_manifest(archive)
        total = sum(info.bytes for info in manifest.files.values())
        _check_room(root, total, most_bytes)
        with writer.file(MANIFEST) as file:
            file.write(content)
        left, done = dict(manifest.files), 0
        while (member := archive.next_member()) is not None:
            name, size = member
            info = left.pop(name, None)
            if info is None:
                known = "twice" if name in manifest.files else "that its manifest does not name"
                raise _corrupt(f"holds {name[:200]!r} {known}")
            if size != info.bytes:
                raise _corrupt(f"{name}: expected {info.bytes} bytes, found {size}")
            found = hashlib.sha256()
            with writer.file(name) as file:
                for piece in archive.content(size):
                    found.update(piece)
                    file.write(piece)
                    done += len(piece)
                    progress(Progress("import", done, total, "bytes"))
            if found.hexdigest() != info.sha256:
                raise _corrupt(f"{name}: expected sha256 {info.sha256}, found {found.hexdigest()}")
        if left:
            raise _corrupt(f"lacks {', '.join(sorted(left)[:5])}")
        try:
            check_structure(writer.folder, manifest.rows)
        except FormatError as error:
            # Where it lies for the moment is nobody's business.
            reason = str(error).replace(f"{writer.folder}/", "").replace(str(writer.folder), "")
            raise _corrupt(f"its files do not make an index: {reason}") from None
        return writer.go_live(content)


def _read_manifest(archive: _Archive) -> tuple[bytes, Manifest]:
    member = archive.next_member()
    if member is None or member[0] != MANIFEST:
        found = "nothing" if member is None else repr(member[0][:200])
        raise _corrupt(f"expected {MANIFEST} as its first member, found {found}")
    if member[1] > MOST_MANIFEST_BYTES:
        raise _corrupt(
            f"{MANIFEST}: expected at most {MOST_MANIFEST_BYTES} bytes, found {member[1]}"
        )
    content = b"".join(archive.content(member[1]))
    manifest = parse_manifest(Path("snapshot", MANIFEST), content)
    for name in manifest.files:
        # A name that is also another one's folder cannot be a file.
        if name in (MANIFEST, "models") or len(name) > tarfile.LENGTH_NAME:
            raise _corrupt(f"{MANIFEST}: no file of a version is called {name[:200]!r}")
    return content, manifest


def _check_room(path: Path, total: int, most: int | None) -> None:
    if most is not None and total > most:
        raise _corrupt(f"expected files of at most {most} bytes, its manifest names {total}")
    with disk_errors(path, "importing"):
        free = shutil.disk_usage(path).free
    if total > free:
        raise StorageError(
            f"importing: the snapshot takes {total} bytes, the disk of {path} has {free} left; "
            "free some space and run again"
        )


class _Archive:
    """Reads the few things of tar that a snapshot is made of, and refuses everything else.

    Not `tarfile.TarFile`: that reads headers of any size into memory, follows links, and knows
    kinds of members that have no place here. Headers themselves are read by `tarfile.TarInfo`.
    """

    def __init__(self, source: Readable) -> None:
        self._source = source

    def next_member(self) -> tuple[str, int] | None:
        """Name and size of the next file; None at the end, which must be the archive's own."""
        block = self._exactly(_BLOCK)
        if not any(block):
            self._expect_end()
            return None
        member = self._header(block)
        name = member.name
        if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            raise _corrupt(
                f"{name[:200]!r} is not a plain file: found a member of type {member.type!r}"
            )
        if member.size < 0:
            raise _corrupt(f"{name[:200]!r} claims a size of {member.size}")
        return name, member.size

    def content(self, size: int) -> Iterator[bytes]:
        """What follows a header, without its padding, in pieces."""
        left = size
        while left:
            piece = self._some(min(left, _PIECE))
            left -= len(piece)
            yield piece
        if any(self._exactly(_padded(size) - size)):
            raise _corrupt("has something between two members")

    def _header(self, block: bytes) -> tarfile.TarInfo:
        try:
            return tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.HeaderError, ValueError) as error:
            raise _corrupt(f"is not a tar file, or damaged: {error}") from None

    def _expect_end(self) -> None:
        """Two empty blocks end an archive; some programs add more of them, and nothing else."""
        if any(self._exactly(_BLOCK)):
            raise _corrupt("has something behind its end")
        size = 0
        while piece := self._read(_PIECE):
            size += len(piece)
            if any(piece) or size > _MOST_PADDING:
                raise _corrupt("has something behind its end")

    def _read(self, most: int) -> bytes:
        try:
            return self._source.read(most)
        except OSError as error:
            # Not to be taken for an error of the disk that is written to.
            raise FormatError(f"snapshot: cannot be read: {error.strerror or error}") from None

    def _some(self, most: int) -> bytes:
        piece = self._read(most)
        if not piece:
            raise _corrupt("is truncated: it ends before its end")
        return piece

    def _exactly(self, size: int) -> bytes:
        pieces = []
        while size:
            pieces.append(self._some(size))
            size -= len(pieces[-1])
        return b"".join(pieces)


def _corrupt(reason: str) -> CorruptIndexError:
    return CorruptIndexError(f"snapshot: {reason}")
