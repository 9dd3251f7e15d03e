"""What was embedded already: one SQLite file beside the collection's versions.

Every picture is a row with its vector and its thumbnail, written a batch at a time, so that a
killed build has lost a batch, and the next one embeds what is new. It holds nothing that the
folder does not give again: whoever removes it loses time only.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from indexer.pictures.walk import Found
from kinfold.arrays import Float32s
from kinfold.errors import StorageError

STORE = ".pictures.sqlite"
_LAYOUT = "1"
_PATIENCE_SECONDS = 60
_TABLES = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pictures (
    path TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    width INTEGER,
    height INTEGER,
    vector BLOB,
    thumbnail BLOB,
    reason TEXT
);
"""


@dataclass(frozen=True, slots=True)
class Embedded:
    """One file that was looked at: its vector and thumbnail, or the reason why there is none."""

    found: Found
    vector: Float32s | None = None
    thumbnail: bytes | None = None
    size: tuple[int, int] | None = None
    reason: str | None = None


class Store:
    """The pictures of one folder as one encoder has them.

    Parameters
    ----------
    path:
        The file, which need not exist.
    encoder:
        The encoder's key: with another one, all that is there is dropped.
    """

    def __init__(self, path: Path, encoder: str) -> None:
        self._path = path
        with self._errors():
            try:
                self._base = self._open(encoder)
            except sqlite3.OperationalError:
                # It is in use, or the disk is full: that is no damage.
                raise
            except sqlite3.DatabaseError:
                # What it held is found again.
                for file in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
                    file.unlink(missing_ok=True)
                self._base = self._open(encoder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._base.close()

    def known(self) -> dict[str, tuple[int, int]]:
        """The stamp of every file that was looked at, by path."""
        with self._errors():
            rows = self._base.execute("SELECT path, size, mtime_ns FROM pictures")
            return {path: (size, mtime) for path, size, mtime in rows}

    def add(self, embedded: Iterable[Embedded]) -> None:
        """Keep a batch."""
        rows = [
            (
                one.found.path,
                *one.found.stamp,
                *(one.size or (None, None)),
                None if one.vector is None else one.vector.astype("<f4").tobytes(),
                one.thumbnail,
                one.reason,
            )
            for one in embedded
        ]
        with self._errors(), self._base:
            self._base.executemany("INSERT OR REPLACE INTO pictures VALUES (?,?,?,?,?,?,?,?)", rows)

    def keep_only(self, paths: set[str]) -> None:
        """Forget files that are not there any more."""
        gone = [(path,) for path in self.known() if path not in paths]
        if gone:
            with self._errors(), self._base:
                self._base.executemany("DELETE FROM pictures WHERE path = ?", gone)

    def reasons(self) -> Iterator[tuple[str, str]]:
        """Files that could not be used, and why."""
        with self._errors():
            yield from self._base.execute(
                "SELECT path, reason FROM pictures WHERE reason IS NOT NULL"
            )

    def sizes(self) -> dict[str, tuple[int, int, int, int]]:
        """Of every picture: width, height, bytes of the file, bytes of the thumbnail."""
        with self._errors():
            rows = self._base.execute(
                "SELECT path, width, height, size, length(thumbnail) FROM pictures "
                "WHERE reason IS NULL"
            )
            return {path: tuple(numbers) for path, *numbers in rows}

    def content(self, path: str) -> tuple[Float32s, bytes]:
        """Vector and thumbnail of a picture."""
        with self._errors():
            row = self._base.execute(
                "SELECT vector, thumbnail FROM pictures WHERE path = ?", (path,)
            ).fetchone()
        vector: Float32s = np.frombuffer(row[0], dtype="<f4")
        return vector, row[1]

    def _open(self, encoder: str) -> sqlite3.Connection:
        base = sqlite3.connect(self._path, timeout=_PATIENCE_SECONDS)
        try:
            base.execute("PRAGMA journal_mode = WAL")
            base.execute("PRAGMA synchronous = NORMAL")
            base.executescript(_TABLES)
            wanted = _about(encoder)
            if dict(base.execute("SELECT name, value FROM about")) != wanted:
                with base:
                    base.execute("DELETE FROM about")
                    base.execute("DELETE FROM pictures")
                    base.executemany("INSERT INTO about VALUES (?, ?)", wanted.items())
        except BaseException:
            base.close()
            raise
        return base

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StorageError(
                f"{self._path}: cannot be read or written: {error}; free some space, or remove the "
                "file: what it holds is made again"
            ) from None


def known_in(path: Path, encoder: str) -> dict[str, tuple[int, int]]:
    """The stamps of a store of this encoder, as `Store.known`; changes nothing.

    Empty where there is no store, or one that a build would begin anew.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as base:
            if dict(base.execute("SELECT name, value FROM about")) != _about(encoder):
                return {}
            rows = base.execute("SELECT path, size, mtime_ns FROM pictures")
            return {name: (size, mtime) for name, size, mtime in rows}
    except sqlite3.Error:
        return {}


def _about(encoder: str) -> dict[str, str]:
    return {"layout": _LAYOUT, "encoder": encoder}
