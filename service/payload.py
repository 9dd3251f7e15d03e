"""Payload rows as JSON has them, whatever Arrow type a column is of.

What JSON lacks becomes what a reader would expect: times as ISO 8601 text, durations as seconds,
bytes as base64, decimals as text, NaN and infinity as null.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as kinds

from kinfold.arrays import UInt32s
from kinfold.index import Manifest
from kinfold.index.columns import open_arrow, take_rows
from kinfold.index.layout import PAYLOAD

_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


class Payload:
    """The payload of an open version, mapped.

    Reads the file itself: what the library gives is Python's values, which end at microseconds
    and at the year 9999.
    """

    def __init__(self, version: Path, manifest: Manifest) -> None:
        self._path = version / PAYLOAD
        self._names = manifest.payload_columns
        self._table = open_arrow(self._path, manifest.rows, self._names) if self._names else None

    def rows(self, positions: UInt32s) -> list[dict[str, Any]]:
        """The rows at gallery positions, (p,); empty objects where there is no payload."""
        if self._table is None:
            return [{} for _ in positions]
        taken = take_rows(self._path, self._table, positions.astype(np.int64))
        columns = [_column(column) for column in taken.columns]
        return [dict(zip(self._names, row, strict=True)) for row in zip(*columns, strict=True)]

    def values(self, name: str, positions: UInt32s) -> list[Any]:
        """The values of one column, which there is, at gallery positions, (p,)."""
        if self._table is None:
            return [None for _ in positions]
        column = self._table.select([name])
        return _column(take_rows(self._path, column, positions.astype(np.int64)).column(0))


def _column(column: pa.ChunkedArray) -> list[Any]:
    """Values of one column as JSON has them."""
    if _is_plain(column.type):
        values: list[Any] = column.to_pylist()
        if kinds.is_floating(column.type):
            return [None if value is None else _finite(value) for value in values]
        return values
    return [as_json(value) for value in column]


def _is_plain(kind: pa.DataType) -> bool:
    """Whether Arrow's own conversion gives what JSON has; it is much the fastest."""
    return bool(
        kinds.is_boolean(kind)
        or kinds.is_integer(kind)
        or kinds.is_float32(kind)
        or kinds.is_float64(kind)
        or kinds.is_string(kind)
        or kinds.is_large_string(kind)
        or kinds.is_string_view(kind)
        or kinds.is_null(kind)
    )


def as_json(value: pa.Scalar) -> Any:
    """One Arrow value as JSON has it."""
    if not value.is_valid:
        return None
    for matches, convert in _CONVERSIONS:
        if matches(value.type):
            return convert(value)
    return value.as_py() if _is_plain(value.type) else str(value)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _bytes(value: pa.Scalar) -> str:
    return b64encode(value.as_buffer()).decode("ascii")


def _date(value: pa.Scalar) -> str:
    if kinds.is_date32(value.type):
        return _iso(value.value, "D")
    return _iso(value.value, "ms").partition("T")[0]


def _timestamp(value: pa.Scalar) -> str:
    """ISO 8601; Arrow keeps a time of any zone in UTC, so that one ends in Z."""
    return _iso(value.value, value.type.unit) + ("Z" if value.type.tz else "")


def _iso(value: int, unit: str) -> str:
    """Count of units since 1970, by NumPy: the standard library ends at year 9999 and at μs."""
    text = str(np.array(value, dtype=f"datetime64[{unit}]"))
    return text.rstrip("0").rstrip(".") if "." in text else text


def _time(value: pa.Scalar) -> str:
    """Time of day: the date of the same count since midnight, less the day."""
    return _iso(value.value, value.type.unit).partition("T")[2]


def _duration(value: pa.Scalar) -> float:
    return float(value.value / _PER_SECOND[value.type.unit])


def _list(value: pa.Scalar) -> list[Any]:
    return [as_json(item) for item in value.values]


def _map(value: pa.Scalar) -> list[list[Any]]:
    """Pairs, since a key need not be text."""
    return [[as_json(pair[0]), as_json(pair[1])] for pair in value.values]


def _struct(value: pa.Scalar) -> dict[str, Any]:
    return {value.type.field(i).name: as_json(value[i]) for i in range(value.type.num_fields)}


def _inner(value: pa.Scalar) -> Any:
    """Of a dictionary, a union, a run or an extension type: the value that it stands for."""
    inner = value.value
    return as_json(inner) if isinstance(inner, pa.Scalar) else str(inner)


def _is_any_list(kind: pa.DataType) -> bool:
    return isinstance(
        kind,
        (
            pa.ListType,
            pa.LargeListType,
            pa.FixedSizeListType,
            pa.ListViewType,
            pa.LargeListViewType,
        ),
    )


def _is_any_bytes(kind: pa.DataType) -> bool:
    return bool(
        kinds.is_binary(kind)
        or kinds.is_large_binary(kind)
        or kinds.is_fixed_size_binary(kind)
        or kinds.is_binary_view(kind)
    )


def _is_uuid(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.UuidType)


def _stands_for_another(kind: pa.DataType) -> bool:
    return bool(
        kinds.is_dictionary(kind)
        or kinds.is_union(kind)
        or kinds.is_run_end_encoded(kind)
        or isinstance(kind, pa.BaseExtensionType)
    )


_CONVERSIONS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Scalar], Any]], ...] = (
    (_is_any_bytes, _bytes),
    (kinds.is_floating, lambda value: _finite(float(value.as_py()))),
    (kinds.is_decimal, lambda value: str(value.as_py())),
    (kinds.is_date, _date),
    (kinds.is_timestamp, _timestamp),
    (kinds.is_time, _time),
    (kinds.is_duration, _duration),
    (kinds.is_map, _map),
    (_is_any_list, _list),
    (kinds.is_struct, _struct),
    (_is_uuid, lambda value: str(value.as_py())),
    (_stands_for_another, _inner),
)
