"""Which pictures lie in a folder: found by their endings, never outside it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from indexer.sources.names import is_picture
from kinfold.errors import InputError

_DEEPEST = 64
"""Folders inside folders; deeper than anybody puts pictures."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file that may be a picture.

    Attributes
    ----------
    path:
        Relative to the folder that was walked, with ``/``; the id of the item.
    size, mtime_ns:
        Whether it has changed since it was embedded.
    """

    path: str
    size: int
    mtime_ns: int

    @property
    def stamp(self) -> tuple[int, int]:
        """Equal while nobody has written to the file."""
        return self.size, self.mtime_ns


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that could not be used, and why."""

    path: str
    reason: str


def walk(folder: Path) -> tuple[list[Found], list[Skipped]]:
    """All files below `folder` that have the ending of a picture, by their names as bytes.

    Names that begin with a dot are passed over. Links are not followed, so that nothing outside
    the folder becomes an item and no loop is walked; they, names that are no UTF-8, and folders
    that cannot be read are told of.

    Raises
    ------
    InputError
        The folder itself cannot be read.
    """
    found, skipped = list[Found](), list[Skipped]()
    folders = [("", 0)]
    while folders:
        inside, depth = folders.pop()
        try:
            with os.scandir(folder / inside) as entries:
                listed = list(entries)
        except OSError as error:
            if not inside:
                raise InputError(f"{folder}: cannot be read: {error.strerror}") from None
            skipped.append(Skipped(inside, f"a folder that cannot be read: {error.strerror}"))
            continue
        for entry in listed:
            if entry.name.startswith("."):
                continue
            path = f"{inside}/{entry.name}" if inside else entry.name
            _sort(entry, path, depth, folders, found, skipped)
    return (
        sorted(found, key=lambda one: one.path.encode()),
        sorted(skipped, key=lambda one: one.path.encode("utf-8", "surrogateescape")),
    )


def _sort(
    entry: os.DirEntry[str],
    path: str,
    depth: int,
    folders: list[tuple[str, int]],
    found: list[Found],
    skipped: list[Skipped],
) -> None:
    """Put an entry where it belongs."""
    wanted = is_picture(entry.name)
    try:
        if entry.is_symlink():
            if wanted or entry.is_dir():
                skipped.append(Skipped(path, "a link, which is not followed"))
        elif entry.is_dir(follow_symlinks=False):
            if depth >= _DEEPEST:
                skipped.append(Skipped(path, f"a folder more than {_DEEPEST} folders deep"))
            else:
                folders.append((path, depth + 1))
        elif wanted:
            path.encode()
            if entry.is_file(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                found.append(Found(path, status.st_size, status.st_mtime_ns))
            else:
                skipped.append(Skipped(path, "a device or a pipe"))
    except UnicodeEncodeError:
        skipped.append(Skipped(path, "its name is no UTF-8; rename it"))
    except OSError as error:
        skipped.append(Skipped(path, f"it cannot be looked at: {error.strerror}"))
