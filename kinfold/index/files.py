"""Writing and mapping single files: hashed while written, synced, and checked when opened."""

from __future__ import annotations

import errno
import hashlib
import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from kinfold.arrays import AnyArray
from kinfold.errors import CorruptIndexError, StorageError

_READ_BYTES = 1 << 22
_MAGIC = b"\x93NUMPY"
_MOST_HEADER_BYTES = 4096
_HEADER = re.compile(
    r"\{'descr': '([<>|][biuf][0-9]{1,2})', 'fortran_order': (True|False), "
    r"'shape': \(((?:[0-9]{1,19}, ?)*(?:[0-9]{1,19})?)\), \} *\n"
)


@contextmanager
def disk_errors(path: Path, what: str) -> Iterator[None]:
    """Turn the disk's refusals into one clear `StorageError`."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise StorageError(
                f"{what}: no room left on the disk of {path} ({error.strerror}); free some space "
                "and run again, nothing that was published is touched"
            ) from error
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise StorageError(
                f"{what}: {path} cannot be written ({error.strerror}); choose a folder that this "
                "user may write to"
            ) from error
        if error.errno in {errno.ENOTDIR, errno.EEXIST}:
            raise StorageError(
                f"{what}: expected a folder at {path}, found a file in its way ({error.strerror})"
            ) from error
        raise StorageError(f"{what}: {path}: {error.strerror or error}") from error
    except pa.ArrowException as error:  # pragma: no cover - Arrow raises OSError for most
        raise StorageError(f"{what}: {path}: {error}") from error


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class HashingFile:
    """A file that is written once, front to back, hashed on the way and synced at the end.

    Has just enough of a file's face for NumPy, and for Arrow by ``pa.PythonFile``.
    """

    closed = False

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("xb")
        self._hash = hashlib.sha256()
        self._bytes = 0

    def write(self, data: Any) -> int:
        """Append bytes or any contiguous buffer."""
        view = memoryview(data).cast("B")
        self._file.write(view)
        self._hash.update(view)
        self._bytes += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        """Bytes written."""
        return self._bytes

    def flush(self) -> None:
        """Hand buffered bytes to the system."""
        self._file.flush()

    def finish(self) -> tuple[int, str]:
        """Sync and close; returns (bytes, sha256)."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return self._bytes, self._hash.hexdigest()

    def close(self) -> None:
        """Close without a result, after a failure."""
        self._file.close()


def write_npy_header(file: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Start a ``.npy`` file (format 1.0) of a known shape, its values to follow in C order."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def hash_file(path: Path) -> str:
    """The sha256 of a file, read in pieces."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            found.update(piece)
    return found.hexdigest()


def read_npy_header(file: IO[bytes]) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:
    """Read the header of a ``.npy`` file: dtype, Fortran order or not, shape.

    Only what `write_npy_header` writes is understood. NumPy's own reader evaluates the header as
    a Python literal and knows dtypes that unpickle; neither has a place in a file from elsewhere.
    Raises `ValueError`.
    """
    start = file.read(len(_MAGIC) + 4)
    if len(start) < len(_MAGIC) + 4 or not start.startswith(_MAGIC):
        raise ValueError(f"expected a .npy file, found one that begins with {start!r}")
    version, length = tuple(start[6:8]), int.from_bytes(start[8:10], "little")
    if version != (1, 0):
        raise ValueError(f"expected .npy format 1.0, found {version[0]}.{version[1]}")
    text = file.read(min(length, _MOST_HEADER_BYTES)).decode("latin1")
    match = _HEADER.fullmatch(text)
    if len(text) != length or match is None:
        raise ValueError(f"expected the header of a plain numeric array, found {text[:80]!r}")
    try:
        dtype = np.dtype(match[1])
    except TypeError:
        raise ValueError(f"expected the dtype of a number, found {match[1]!r}") from None
    shape = tuple(int(part) for part in match[3].replace(",", " ").split())
    return dtype, match[2] == "True", shape


def map_npy(path: Path, dtype: str, shape: tuple[int | None, ...]) -> AnyArray:
    """Map a ``.npy`` file read-only, after holding its header and size against what is expected.

    Parameters
    ----------
    dtype:
        Expected, e.g. ``"<u4"``.
    shape:
        Expected; None for a length that only the file knows.
    """
    try:
        with path.open("rb") as file:
            found_dtype, fortran, found_shape = read_npy_header(file)
            offset = file.tell()
        size = path.stat().st_size
    except FileNotFoundError:
        raise CorruptIndexError(f"{path}: missing; restore it or build again") from None
    except OSError as error:
        raise CorruptIndexError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise CorruptIndexError(f"{path}: corrupt: {error}") from None
    fits = len(found_shape) == len(shape) and all(
        wanted is None or wanted == have for wanted, have in zip(shape, found_shape, strict=True)
    )
    if fortran or found_dtype != np.dtype(dtype) or not fits:
        wanted_shape = tuple("any" if length is None else length for length in shape)
        raise CorruptIndexError(
            f"{path}: corrupt: expected {np.dtype(dtype)} of shape {wanted_shape}, "
            f"found {found_dtype} of shape {found_shape}"
        )
    expected = offset + math.prod(found_shape) * found_dtype.itemsize
    if size != expected:
        raise CorruptIndexError(
            f"{path}: corrupt: expected {expected} bytes for shape {found_shape}, found {size}"
        )
    if 0 in found_shape:
        return np.empty(found_shape, dtype=found_dtype)
    try:
        mapped = np.memmap(path, dtype=found_dtype, mode="r", offset=offset, shape=found_shape)
    except FileNotFoundError:
        # Removed since its header was read, with the version that it belongs to.
        raise CorruptIndexError(f"{path}: missing; restore it or build again") from None
    # A plain array over the same pages: kernels start quicker on it than on the subclass.
    return np.asarray(mapped).view(np.ndarray)
