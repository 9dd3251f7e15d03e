"""One answer to a file that cannot be read, whichever library was reading it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from indexer.estimate import available_memory, readable
from kinfold.errors import CapacityError, InputError, KinfoldError


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Turn the reader's refusal of a damaged file into one `InputError`.

    The readers of NumPy, zip, Parquet and Arrow answer damage with nearly any exception, so that
    no list of them would be complete.
    """
    try:
        yield
    except KinfoldError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path}: expected {kind} file, found one that is truncated, damaged or of another "
            f"kind: {reason}"
        ) from None


def check_memory(path: Path, size: int) -> None:
    """Refuse a file whose content, unpacked, would not fit; before anything is unpacked."""
    available = available_memory()
    if size > available:
        raise CapacityError(
            f"{path}: reading it takes {readable(size)} of memory, {readable(available)} are "
            "available; a .npy file is mapped and not read"
        )
