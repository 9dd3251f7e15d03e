"""Reading rows of mapped Arrow columns whose content nobody has looked at.

Arrow believes the offsets that a file holds: one flipped bit in them makes it read outside the
map. Opening an index checks only what costs nothing; here the offsets of the rows that are wanted,
and of no others, are held against the buffers before Arrow follows them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from kinfold.arrays import AnyArray, Int64s
from kinfold.errors import CorruptIndexError, FormatError, InputError

_SHORT_OFFSETS = (pa.types.is_string, pa.types.is_binary, pa.types.is_list, pa.types.is_map)
_LONG_OFFSETS = (pa.types.is_large_string, pa.types.is_large_binary, pa.types.is_large_list)


def open_arrow(path: Path, rows: int, names: list[str]) -> pa.Table:
    """Map an Arrow file, and hold its length, columns and buffer sizes against what is expected."""
    try:
        with pa.memory_map(str(path)) as file:
            table = pa.ipc.open_file(file).read_all()
        table.validate()
        found = table.column_names
    except FileNotFoundError:
        raise CorruptIndexError(f"{path}: missing; restore it or build again") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise CorruptIndexError(f"{path}: corrupt: not an Arrow file: {error}") from None
    if table.num_rows != rows:
        raise CorruptIndexError(f"{path}: corrupt: expected {rows} rows, found {table.num_rows}")
    if found != names:
        raise CorruptIndexError(f"{path}: corrupt: expected the columns {names}, found {found}")
    return table


def take_rows(path: Path, table: pa.Table, rows: Int64s) -> pa.Table:
    """Copy rows, (p,), out of a mapped table; raises `CorruptIndexError` rather than stray."""
    try:
        for column in table.columns:
            first = 0
            for chunk in column.chunks:
                inside = rows[(rows >= first) & (rows < first + len(chunk))] - first
                _check_rows(chunk, inside)
                first += len(chunk)
        taken = table.take(pa.array(rows))
        taken.validate(full=True)
    except (pa.ArrowException, ValueError) as error:
        raise CorruptIndexError(
            f"{path}: corrupt: its rows cannot be read: {error}; run `kinfold verify`"
        ) from None
    return taken


def _check_rows(array: pa.Array, rows: Int64s) -> None:
    """Raise `ValueError` unless reading `rows` stays inside the array's buffers."""
    kind = array.type
    if rows.size == 0 or _has_fixed_width(kind):
        return
    if any(is_kind(kind) for is_kind in _SHORT_OFFSETS):
        _check_ranges(array, rows, np.dtype(np.int32))
    elif any(is_kind(kind) for is_kind in _LONG_OFFSETS):
        _check_ranges(array, rows, np.dtype(np.int64))
    elif pa.types.is_struct(kind):
        for number in range(kind.num_fields):
            _check_rows(array.field(number), rows)
    elif pa.types.is_dictionary(kind):
        codes = array.indices.take(pa.array(rows)).drop_null().to_numpy().astype(np.int64)
        if ((codes < 0) | (codes >= len(array.dictionary))).any():
            raise ValueError(f"a code lies outside its dictionary of {len(array.dictionary)}")
        _check_rows(array.dictionary, np.unique(codes))
    elif pa.types.is_fixed_size_list(kind):
        inner = (rows[:, None] + array.offset) * kind.list_size + np.arange(kind.list_size)
        _check_rows(array.values, inner.reshape(-1))
    else:
        array.validate(full=True)


def _has_fixed_width(kind: pa.DataType) -> bool:
    """Whether a type has no offsets at all: its buffers' sizes, checked on opening, are enough."""
    return bool(
        pa.types.is_primitive(kind)
        or pa.types.is_null(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _check_ranges(array: pa.Array, rows: Int64s, dtype: np.dtype[Any]) -> None:
    """As `_check_rows`, for types that keep where each row begins and ends."""
    offsets: AnyArray = np.frombuffer(array.buffers()[1], dtype=dtype)[array.offset :]
    begins, ends = offsets[rows].astype(np.int64), offsets[rows + 1].astype(np.int64)
    is_nested = pa.types.is_nested(array.type)
    data = None if is_nested else array.buffers()[2]
    size = len(array.values) if is_nested else (0 if data is None else data.size)
    wrong = np.flatnonzero((begins < 0) | (begins > ends) | (ends > size))
    if wrong.size:
        begin, end = int(begins[wrong[0]]), int(ends[wrong[0]])
        raise ValueError(f"a row claims places {begin} to {end} of {size}")
    if is_nested:
        inner = [np.arange(*pair) for pair in zip(begins, ends, strict=True)]
        _check_rows(array.values, np.unique(np.concatenate(inner)))


class Payload:
    """The mapped payload of an index: columns of n values, of any Arrow type."""

    def __init__(self, path: Path, rows: int, names: list[str]) -> None:
        self._path = path
        self._table = open_arrow(path, rows, names)

    def take(self, positions: Any) -> pa.Table:
        """Rows of gallery positions, (p,), copied out of the file."""
        rows: Int64s = np.asarray(positions).astype(np.int64).reshape(-1)
        outside = rows[(rows < 0) | (rows >= self._table.num_rows)]
        if outside.size:
            raise InputError(
                f"payload: expected positions below {self._table.num_rows}, found {outside[0]}"
            )
        taken = take_rows(self._path, self._table, rows)
        for name, column in zip(taken.column_names, taken.columns, strict=True):
            kind = column.type
            if pa.types.is_temporal(kind) or not (
                _has_fixed_width(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)
            ):
                self._check_shown(name, column)
        return taken

    def column(self, name: str) -> pa.ChunkedArray:
        """A whole column, mapped; all of it is held against its buffers first."""
        column = self._table.column(name)
        try:
            column.validate(full=True)
        except (pa.ArrowException, ValueError) as error:
            raise CorruptIndexError(
                f"{self._path}: corrupt: column {name!r} cannot be read: {error}; "
                "run `kinfold verify`"
            ) from None
        return column

    def _check_shown(self, name: str, column: pa.ChunkedArray) -> None:
        """Arrow holds times that Python's types cannot, and fails only when they are asked for."""
        try:
            column.to_pylist()
        except Exception as error:
            raise FormatError(
                f"{self._path}: column {name!r} holds a value that Python cannot show: {error}; "
                "run `kinfold verify`, or build with a type that Python has"
            ) from None
