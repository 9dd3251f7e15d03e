"""Parquet and Arrow files: a column of vectors, an id column, payload columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from indexer.sources.reading import check_memory, reading
from indexer.sources.source import Columns, Source, assemble
from kinfold.arrays import AnyArray
from kinfold.errors import InputError


def read_parquet(path: Path, wanted: Columns) -> Source:
    """Read a Parquet file."""
    with reading(path, "a Parquet"):
        check_memory(path, _unpacked(pq.read_metadata(path, memory_map=True)))
        # Partitions are a folder's business; one file says all it has to say itself.
        table = pq.read_table(path, memory_map=True, partitioning=None)
        _check(path, table)
    return _from_table(path, table, wanted)


def read_arrow(path: Path, wanted: Columns) -> Source:
    """Read an Arrow (IPC, Feather v2) file, mapped."""
    with reading(path, "an Arrow"), pa.memory_map(str(path)) as file:
        table = pa.ipc.open_file(file).read_all()
        _check(path, table)
    return _from_table(path, table, wanted)


def _unpacked(metadata: pq.FileMetaData) -> int:
    """Bytes of all pages without their compression.

    As the groups of rows state it: asking damaged metadata for one column aborts the process.
    """
    groups = range(metadata.num_row_groups)
    return sum(max(0, metadata.row_group(number).total_byte_size) for number in groups)


def _check(path: Path, table: pa.Table) -> None:
    """Arrow believes the offsets that a file holds, and would read outside of it."""
    table.validate(full=True)
    if len(set(table.column_names)) != table.num_columns:
        raise InputError(f"{path}: expected unique column names, found {table.column_names}")


def _from_table(path: Path, table: pa.Table, wanted: Columns) -> Source:
    name = wanted.vectors or _only_vectors(path, table)
    if name not in table.column_names:
        raise InputError(f"{path}: no column {name!r}; it has: {', '.join(table.column_names)}")
    vectors = _matrix(path, name, table.column(name))
    others = {other: table.column(other) for other in table.column_names if other != name}
    source = assemble(str(path), vectors, others, wanted)
    if source.ids is not None and source.ids.dtype.kind not in "iuUO":
        raise InputError(
            f"{path}: ids: expected integers or strings without gaps, found {source.ids.dtype}"
        )
    return source


def _is_vectors(kind: pa.DataType) -> bool:
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if not any(test(kind) for test in lists):
        return False
    inner = kind.value_type
    return bool(pa.types.is_floating(inner) or pa.types.is_integer(inner))


def _only_vectors(path: Path, table: pa.Table) -> str:
    found = [field.name for field in table.schema if _is_vectors(field.type)]
    if len(found) == 1:
        return str(found[0])
    if "vector" in found:
        return "vector"
    raise InputError(
        f"{path}: expected one column of number lists, found {len(found)}; name one of: "
        + ", ".join(f"{field.name} ({field.type})" for field in table.schema)
    )


def _matrix(path: Path, name: str, column: pa.ChunkedArray) -> AnyArray:
    """A column of equally long lists as (n, d); the first row that differs is named."""
    if not _is_vectors(column.type):
        raise InputError(f"{path}: column {name!r}: expected lists of numbers, found {column.type}")
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy())[0])
        raise InputError(f"{path}: column {name!r}: expected a vector, found none in row {row}")
    if len(column) == 0:
        raise InputError(f"{path}: column {name!r}: expected at least 2 rows, found none")
    lengths = pc.list_value_length(column).to_numpy()
    if (lengths != lengths[0]).any():
        row = int(np.flatnonzero(lengths != lengths[0])[0])
        raise InputError(
            f"{path}: column {name!r}: expected vectors of one dimension, {int(lengths[0])} as in "
            f"row 0, found {int(lengths[row])} in row {row}"
        )
    pieces: list[AnyArray] = []
    for chunk in column.chunks:
        flat = chunk.flatten()
        if flat.null_count:
            place = int(np.flatnonzero(flat.is_null().to_numpy(zero_copy_only=False))[0])
            raise InputError(
                f"{path}: column {name!r}: expected numbers, found an empty value in row "
                f"{sum(len(piece) for piece in pieces) + place // int(lengths[0])}"
            )
        pieces.append(flat.to_numpy(zero_copy_only=False).reshape(len(chunk), int(lengths[0])))
    matrix: AnyArray = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
    return matrix
