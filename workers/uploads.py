"""Files that clients send for a build: named by us, bounded, synced, removed after their time.

    <data>/.uploads/<id>.<ending>     an upload, complete
    <data>/.uploads/.fresh-<id>       one that still arrives, or whose sender is gone

Nothing of them is read but the first bytes, until a build does, which unpickles nothing.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from kinfold.index.files import HashingFile, disk_errors, sync_folder
from workers.errors import SourceError, UnknownUploadError, UploadTooLargeError
from workers.jobs import is_id, new_id

FOLDER = ".uploads"
_FRESH = ".fresh-"
_FRESH_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file: how its name ends here, and how it begins."""

    ending: str
    magic: bytes


FORMATS = {
    "application/x-npy": Format("npy", b"\x93NUMPY"),
    "application/vnd.apache.parquet": Format("parquet", b"PAR1"),
    "application/vnd.apache.arrow.file": Format("arrow", b"ARROW1"),
}
"""By content type."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that arrived."""

    id: str
    bytes: int
    sha256: str


class UploadWriter:
    """Writes one upload; use as a context manager, `write` its pieces, then `finish`.

    Leaving the block without `finish` removes what came.

    Parameters
    ----------
    data:
        The data folder.
    content_type:
        One of `FORMATS`.
    most:
        Bytes that are taken at most.
    """

    def __init__(self, data: Path, content_type: str, most: int) -> None:
        self.id = new_id()
        self._folder = data / FOLDER
        self._format = FORMATS[content_type]
        self._content_type = content_type
        self._most = most
        self._fresh = self._folder / f"{_FRESH}{self.id}"
        self._begin = b""
        self._file: HashingFile | None = None

    def __enter__(self) -> Self:
        with disk_errors(self._folder, "upload"):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = HashingFile(self._fresh)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
        with suppress(OSError):
            self._fresh.unlink(missing_ok=True)

    def write(self, piece: bytes) -> None:
        """Append a piece.

        Raises
        ------
        UploadTooLargeError
            More than allowed came.
        SourceError
            The first bytes are not those of the content type.
        StorageError
            The disk is full or cannot be written.
        """
        file = self._opened()
        if file.tell() + len(piece) > self._most:
            raise UploadTooLargeError(
                f"upload: expected at most {self._most} bytes, found more; "
                "KINFOLD_MAX_UPLOAD_BYTES sets the limit"
            )
        magic = self._format.magic
        if len(self._begin) < len(magic):
            self._begin += piece[: len(magic) - len(self._begin)]
            if not magic.startswith(self._begin):
                raise self._wrong_format()
        with disk_errors(self._folder, "upload"):
            file.write(piece)

    def finish(self) -> Upload:
        """Make the upload durable; it may be named by its id from now on."""
        if self._begin != self._format.magic:
            raise self._wrong_format()
        with disk_errors(self._folder, "upload"):
            size, sha256 = self._opened().finish()
            self._fresh.rename(self._folder / f"{self.id}.{self._format.ending}")
            sync_folder(self._folder)
        return Upload(self.id, size, sha256)

    def _opened(self) -> HashingFile:
        if self._file is None:
            raise RuntimeError("use UploadWriter as a context manager")
        return self._file

    def _wrong_format(self) -> SourceError:
        return SourceError(
            f"upload: expected a file that begins with {self._format.magic!r}, as "
            f"{self._content_type} does, found {self._begin!r}"
        )


def find_upload(data: Path, upload_id: str) -> Path:
    """The file of an upload; raises `UnknownUploadError`."""
    if is_id(upload_id):
        for known in FORMATS.values():
            path = data / FOLDER / f"{upload_id}.{known.ending}"
            if path.is_file() and not path.is_symlink():
                return path
    raise UnknownUploadError(
        f"no upload has the id {upload_id[:64]!r}; uploads are kept for KINFOLD_JOB_TTL_HOURS"
    )


def remove_old_uploads(data: Path, hours: float, used: Collection[str]) -> int:
    """Remove uploads older than that, but those that jobs still need; returns how many.

    Parameters
    ----------
    used:
        Ids of uploads that queued and running jobs name.
    """
    removed, clock = 0, time.time()
    endings = {known.ending for known in FORMATS.values()}
    for path in list((data / FOLDER).glob("*")):
        upload_id, _, ending = path.name.partition(".")
        is_fresh = path.name.startswith(_FRESH)
        if not is_fresh and not (is_id(upload_id) and ending in endings):
            continue
        limit = _FRESH_SECONDS if is_fresh else hours * 3600
        with suppress(OSError):
            if upload_id not in used and clock - path.stat().st_mtime > limit:
                path.unlink()
                removed += 1
    return removed
