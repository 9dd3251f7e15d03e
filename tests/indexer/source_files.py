"""Small galleries, and files of every kind that hold them."""

from __future__ import annotations

import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from indexer.estimate import available_memory

ROWS, DIMENSION = 24, 4

ESTIMATE = sys.modules[available_memory.__module__]
"""The module, which in its package hides behind the function of the same name."""


def vectors(rows: int = ROWS, dimension: int = DIMENSION, seed: int = 0) -> np.ndarray:
    """Three clouds, float32, every row different."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(3, dimension))
    return (centres[np.arange(rows) % 3] + 0.3 * random.normal(size=(rows, dimension))).astype("f4")


def text_ids(rows: int = ROWS) -> list[str]:
    return [f"item é{row:03d}" for row in range(rows)]


def table(lists: pa.DataType | None = None, rows: int = ROWS, **columns) -> pa.Table:
    """Text ids, vectors and a label; `columns` are put beside them."""
    vector = pa.array(list(vectors(rows)), lists or pa.list_(pa.float32()))
    label = [f"class {row % 3}" for row in range(rows)]
    return pa.table({"id": text_ids(rows), "vector": vector, "label": label, **columns})


def write_parquet(path: Path, content: pa.Table, **options) -> Path:
    pq.write_table(content, path, **options)
    return path


def write_arrow(path: Path, content: pa.Table, chunk: int | None = None, **options) -> Path:
    with pa.ipc.new_file(path, content.schema, options=pa.ipc.IpcWriteOptions(**options)) as file:
        file.write_table(content, max_chunksize=chunk)
    return path


def write_npy(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


def write_npz(path: Path, **arrays) -> Path:
    np.savez(path, **arrays)
    return path


def npy_bytes(shape: str, dtype: str = "'<f4'", body: bytes = b"") -> bytes:
    """A .npy file with any claim in its header."""
    text = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}"
    text += " " * (63 - (10 + len(text)) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode("latin1") + body


def write_zip(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path
