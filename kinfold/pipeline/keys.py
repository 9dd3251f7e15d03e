"""Keys: equal where a stage would give the same result, and different where it might not."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from kinfold.arrays import AnyArray
from kinfold.index import FORMAT_VERSION
from kinfold.index.files import write_npy_header
from kinfold.kernels.jit import SOURCES
from kinfold.progress import Progress, ProgressCallback
from kinfold.validate import row_chunks
from kinfold.version import __version__

_ROOMS = ("neighbors", "similarity", "affinity", "diffusion", "tuning")


@cache
def _code() -> str:
    """Of everything that computes: a release, or a change of a line, makes other keys."""
    found = hashlib.sha256(f"{FORMAT_VERSION} {__version__} {SOURCES}".encode())
    root = Path(__file__).parents[1]
    for room in _ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            found.update(path.read_bytes())
    found.update((root / "metric.py").read_bytes())
    return found.hexdigest()


def stage_key(stage: str, **parts: Any) -> str:
    """The key of a stage from all that its result depends on; other keys may be among it."""
    text = json.dumps([_code(), stage, parts], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


class _Hashing:
    """Just enough of a file for NumPy's header and Arrow's writer; keeps nothing but the hash."""

    closed = False

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._bytes = 0

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._hash.update(view)
        self._bytes += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        return self._bytes

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def matrix_hash(matrix: AnyArray, progress: ProgressCallback) -> str:
    """Sha256 of a matrix as a ``.npy`` file of it would have, read in pieces.

    So that vectors which are a version's own are recognised by the hash in its manifest.
    """
    rows, dimension = matrix.shape
    found = _Hashing()
    write_npy_header(found, matrix.dtype, (rows, dimension))
    for piece in row_chunks(rows, dimension):
        chunk = np.ascontiguousarray(matrix[piece])
        if chunk.size:
            found.write(chunk.reshape(-1).view(np.uint8))
        progress(Progress("reading", piece.stop, rows))
    return found.hexdigest()


def array_hash(values: AnyArray | None) -> str | None:
    """Of an array of numbers or fixed-width text, its type included."""
    if values is None:
        return None
    # The width of text is that of the longest: it says nothing.
    found = _Hashing()
    found.write(f"{values.dtype.kind} {values.shape}".encode())
    found.write(np.ascontiguousarray(values).view(np.uint8))
    return found.hexdigest()


def table_hash(table: pa.Table | None) -> str | None:
    """Of a table as it would be written."""
    if table is None:
        return None
    found = _Hashing()
    with pa.ipc.new_file(pa.PythonFile(found, mode="w"), table.schema) as writer:
        writer.write_table(table)
    return found.hexdigest()
