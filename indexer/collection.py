"""Where a collection lives: a folder of the data folder, by a name that cannot leave it."""

from __future__ import annotations

from pathlib import Path

from kinfold.errors import InputError
from kinfold.index.publish import COLLECTION_NAME, CURRENT


def collection_path(data: str | Path, name: str) -> Path:
    """The folder of a collection, which need not exist yet; refuses names that are not names."""
    if not COLLECTION_NAME.fullmatch(name):
        raise InputError(
            f"collection: expected 1 to 64 of a-z, 0-9, '-' and '_', beginning with a letter or "
            f"digit, found {name!r}"
        )
    return Path(data) / name


def collections_in(data: str | Path) -> list[str]:
    """Names of the collections in a data folder that have a live version, sorted."""
    folder = Path(data)
    if not folder.is_dir():
        return []
    return sorted(
        entry.name
        for entry in folder.iterdir()
        if COLLECTION_NAME.fullmatch(entry.name) and (entry / CURRENT).is_file()
    )
