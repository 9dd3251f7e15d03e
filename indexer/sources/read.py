"""Reading a source by its ending."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

from indexer.sources.arrow import read_arrow, read_parquet
from indexer.sources.numpy_files import read_npy, read_npz
from indexer.sources.source import Columns, Source
from kinfold.errors import InputError

READERS: dict[str, Callable[[Path, Columns], Source]] = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".parquet": read_parquet,
    ".pq": read_parquet,
    ".arrow": read_arrow,
    ".feather": read_arrow,
    ".ipc": read_arrow,
}


def read_source(path: str | Path, columns: Columns | None = None) -> Source:
    """Read a gallery or a set of queries.

    Parameters
    ----------
    path:
        ``.npy``: the vectors, mapped. ``.npz``: a 2-d array of vectors beside 1-d arrays.
        ``.parquet``, ``.arrow``, ``.feather``: a column of equally long lists beside others.
    columns:
        Names of the columns, where they cannot be found.

    Raises
    ------
    InputError
        The file is missing, empty, damaged or holds no vectors; its name is in the message.
    """
    file = Path(path)
    reader = READERS.get(file.suffix.lower())
    if reader is None:
        raise InputError(
            f"{file}: expected a file ending in {', '.join(READERS)}, found "
            f"{file.suffix or 'no ending'!r}"
        )
    _check_openable(file)
    return reader(file, columns or Columns())


def _check_openable(file: Path) -> None:
    try:
        status = file.stat()
        if stat.S_ISREG(status.st_mode):
            file.open("rb").close()
    except FileNotFoundError:
        raise InputError(f"{file}: expected a file, found nothing of this name") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{file}: expected a readable file, found: {reason}") from None
    if not stat.S_ISREG(status.st_mode):
        found = "a folder" if stat.S_ISDIR(status.st_mode) else "a device or a pipe"
        raise InputError(f"{file}: expected a file, found {found}")
    if status.st_size == 0:
        raise InputError(f"{file}: expected vectors, found an empty file")
