"""The user's own ids: from position to id, and back by binary search on mapped arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from kinfold.arrays import AnyArray, Int64s, UInt32s
from kinfold.errors import CorruptIndexError, UnknownNameError
from kinfold.index import layout
from kinfold.index.columns import take_rows

Id = int | str


class Ids(Protocol):
    """Translates between gallery positions and the user's ids."""

    def of(self, positions: UInt32s) -> AnyArray:
        """Ids of positions, same shape; int64, or str objects."""
        ...

    def position(self, wanted: Id) -> int:
        """The position of an id; raises `UnknownNameError`."""
        ...


def _unknown(wanted: Id, kind: str) -> UnknownNameError:
    return UnknownNameError(f"no item has the id {wanted!r} (the ids of this index are {kind})")


class RowIds:
    """Ids that are the row numbers; nothing is stored."""

    def __init__(self, rows: int) -> None:
        self._rows = rows

    def of(self, positions: UInt32s) -> AnyArray:
        """See `Ids.of`."""
        return positions.astype(np.int64)

    def position(self, wanted: Id) -> int:
        """See `Ids.position`."""
        if isinstance(wanted, (int, np.integer)) and 0 <= int(wanted) < self._rows:
            return int(wanted)
        raise _unknown(wanted, f"the row numbers 0 to {self._rows - 1}")


class StoredIds:
    """Ids in a mapped Arrow column, with the mapped order that sorts them.

    Parameters
    ----------
    path:
        The file of the ids, for messages.
    table:
        One column of n int64 or large_string.
    order:
        (n,) uint32: positions by ascending id.
    """

    def __init__(self, path: Path, table: pa.Table, order: UInt32s, is_text: bool) -> None:
        self._path = path
        self._table = table
        self._order = order
        self._is_text = is_text
        column = table.column(0)
        kind = pa.large_string() if is_text else pa.int64()
        if column.type != kind or column.num_chunks != 1 or column.null_count:
            raise CorruptIndexError(
                f"{path}: corrupt: expected {kind} in one piece and without nulls, found "
                f"{column.type} in {column.num_chunks} with {column.null_count} nulls"
            )
        self._numbers: Int64s | None = None
        if is_text:
            _, offsets, texts = column.chunk(0).buffers()
            self._offsets: Int64s = np.frombuffer(offsets, dtype=np.int64)
            self._texts = memoryview(texts or b"")
        else:
            self._numbers = column.chunk(0).to_numpy()

    def of(self, positions: UInt32s) -> AnyArray:
        """See `Ids.of`."""
        if self._numbers is not None:
            return self._numbers[positions]
        rows = positions.reshape(-1).astype(np.int64)
        texts = take_rows(self._path, self._table, rows).column(0).to_numpy()
        result: AnyArray = np.asarray(texts, dtype=object).reshape(positions.shape)
        return result

    def position(self, wanted: Id) -> int:
        """See `Ids.position`."""
        is_text = isinstance(wanted, str)
        if is_text != self._is_text or not isinstance(wanted, (str, int, np.integer)):
            raise _unknown(wanted, "strings" if self._is_text else "integers")
        # Two of one kind, as was just checked, which a type cannot say.
        target: Any = wanted
        low, high = 0, self._order.shape[0]
        while low < high:
            middle = (low + high) // 2
            if self._at(middle) < target:
                low = middle + 1
            else:
                high = middle
        if low < self._order.shape[0] and self._at(low) == target:
            return int(self._order[low])
        raise _unknown(wanted, "strings" if self._is_text else "integers")

    def _at(self, place: int) -> Any:
        """The id at a place of the sorted order."""
        position = int(self._order[place])
        if position >= self._order.shape[0]:
            raise CorruptIndexError(
                f"{self._path.with_name(layout.IDS_ORDER)}: corrupt: expected positions below "
                f"{self._order.shape[0]}, found {position}; run `kinfold verify`"
            )
        if self._numbers is not None:
            return int(self._numbers[position])
        begin, end = int(self._offsets[position]), int(self._offsets[position + 1])
        try:
            if not 0 <= begin <= end <= self._texts.nbytes:
                raise ValueError(f"claims bytes {begin} to {end} of {self._texts.nbytes}")
            return str(self._texts[begin:end], "utf-8")
        except ValueError as error:
            raise CorruptIndexError(
                f"{self._path}: corrupt: the id of row {position}: {error}; run `kinfold verify`"
            ) from None
