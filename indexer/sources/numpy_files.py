"""NumPy files: ``.npy`` is mapped, ``.npz`` is read; neither may hold Python objects."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from indexer.sources.source import Columns, Source, assemble
from kinfold.arrays import AnyArray
from kinfold.errors import InputError


def read_npy(path: Path, wanted: Columns) -> Source:
    """Map a ``.npy`` file of shape (n, d)."""
    for option, name in (("vectors", wanted.vectors), ("id", wanted.ids)):
        if name is not None:
            raise InputError(
                f"{path}: a .npy file has no named columns, so there is no {option} column "
                f"{name!r}; use .npz or .parquet for ids and payload"
            )
    try:
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise InputError(f"{path}: not a usable .npy file: {_plain(error)}") from None
    except (EOFError, OSError, SyntaxError) as error:
        raise InputError(f"{path}: truncated or damaged .npy file: {_plain(error)}") from None
    return assemble(str(path), vectors, {}, wanted)


def read_npz(path: Path, wanted: Columns) -> Source:
    """Read an ``.npz`` file: one 2-d array of vectors, and 1-d arrays of the same length."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except ValueError as error:
        raise InputError(f"{path}: not a usable .npz file: {_plain(error)}") from None
    except (zipfile.BadZipFile, EOFError, OSError, struct.error, zlib.error, KeyError) as error:
        raise InputError(f"{path}: truncated or damaged .npz file: {_plain(error)}") from None
    name = wanted.vectors or _only_matrix(path, arrays)
    if name not in arrays:
        raise InputError(f"{path}: no array {name!r}; it has: {_listed(arrays)}")
    vectors = arrays.pop(name)
    rows = vectors.shape[0] if vectors.ndim else 0
    others = {
        other: values
        for other, values in arrays.items()
        if values.ndim == 1 and values.shape[0] == rows
    }
    return assemble(str(path), vectors, others, wanted)


def _only_matrix(path: Path, arrays: dict[str, AnyArray]) -> str:
    matrices = [name for name, values in arrays.items() if values.ndim == 2]
    if len(matrices) == 1:
        return matrices[0]
    if "vectors" in matrices:
        return "vectors"
    raise InputError(
        f"{path}: expected one 2-d array of vectors, found {len(matrices)}; "
        f"name one of: {_listed(arrays)}"
    )


def _listed(arrays: dict[str, AnyArray]) -> str:
    return ", ".join(f"{name} {values.shape}" for name, values in arrays.items()) or "nothing"


def _plain(error: BaseException) -> str:
    """NumPy's reason without its advice to allow pickles, which is no way out here."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    if "allow_pickle" in text or "pickle" in text.lower():
        return "it holds Python objects (or is no NumPy file); expected plain numbers"
    return text
