"""Collections as folders of a data folder: found, created, dropped."""

from __future__ import annotations

import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from kinfold.errors import InputError, TakenNameError, UnknownNameError
from kinfold.index.files import disk_errors, sync_folder
from kinfold.index.publish import COLLECTION_NAME, CURRENT, VERSIONS, writing

DROPPED = ".dropped-"


def collection_folder(data: Path, name: str) -> Path:
    """The folder of a collection, which need not exist yet; refuses names that are not names."""
    if not COLLECTION_NAME.fullmatch(name):
        raise InputError(
            f"collection: expected 1 to 64 of a-z, 0-9, '-' and '_', beginning with a letter or "
            f"digit, found {name[:80]!r}"
        )
    return data / name


def holds_collection(folder: Path) -> bool:
    """Whether a folder is that of a collection: of one without a version, too."""
    try:
        return (folder / CURRENT).exists() or (folder / VERSIONS).is_dir()
    except OSError:
        # Whatever is wrong with it shows, with a reason, when it is opened.
        return True


def create_collection(data: Path, name: str) -> Path:
    """Make a collection without a version: a folder that a build can publish into.

    Raises
    ------
    InputError
        Not a name for a collection, or a folder of this name holds something else.
    TakenNameError
        There is one of this name.
    """
    folder = collection_folder(data, name)
    if holds_collection(folder):
        raise _taken(name)
    with disk_errors(folder, "creating a collection"):
        folder.mkdir(exist_ok=True)
        if any(folder.iterdir()):
            if holds_collection(folder):
                raise _taken(name)
            raise InputError(
                f"{folder}: expected an empty folder or none, found one that holds something else"
            )
        try:
            (folder / VERSIONS).mkdir()
        except FileExistsError:
            raise _taken(name) from None
        sync_folder(folder)
        sync_folder(data)
    return folder


def _taken(name: str) -> TakenNameError:
    return TakenNameError(f"a collection is called {name!r} already; drop it, or choose another")


def drop_collection(data: Path, name: str) -> None:
    """Remove a collection with all its versions.

    It is renamed out of sight first, so that nobody ever sees half of it. Processes that have a
    version open are not disturbed; their pages stay until they let go of them.

    Raises
    ------
    UnknownNameError
        There is no such collection.
    BusyError
        It is being built.
    """
    folder = collection_folder(data, name)
    if not holds_collection(folder):
        raise UnknownNameError(f"no collection is called {name!r} in {data}")
    gone = data / f"{DROPPED}{secrets.token_hex(8)}"
    # A build would make its folders again below the name.
    with writing(folder), disk_errors(folder, "dropping"):
        folder.rename(gone)
        sync_folder(data)
    sweep_dropped(data)


def sweep_dropped(data: Path) -> None:
    """Remove what is left of dropped collections whose removal was cut off."""
    for folder in data.glob(f"{DROPPED}*"):
        if folder.is_symlink():
            # The collection lay elsewhere: what is there is not ours to remove.
            with suppress(OSError):
                folder.unlink()
        else:
            shutil.rmtree(folder, ignore_errors=True)
