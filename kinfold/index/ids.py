"""The user's own ids: from position to id, and back by binary search on mapped arrays."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from kinfold.arrays import AnyArray, Int64s, UInt32s
from kinfold.errors import UnknownNameError

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
    """Ids in a mapped Arrow array, with the mapped order that sorts them.

    Parameters
    ----------
    values:
        (n,) int64 or large_string.
    order:
        (n,) uint32: positions by ascending id.
    """

    def __init__(self, values: pa.Array, order: UInt32s) -> None:
        self._values = values
        self._order = order
        self._is_text = not pa.types.is_integer(values.type)
        self._numbers: Int64s | None = None if self._is_text else values.to_numpy()

    def of(self, positions: UInt32s) -> AnyArray:
        """See `Ids.of`."""
        if self._numbers is not None:
            return self._numbers[positions]
        texts = self._values.take(pa.array(positions.reshape(-1))).to_numpy(zero_copy_only=False)
        result: AnyArray = np.asarray(texts, dtype=object).reshape(positions.shape)
        return result

    def position(self, wanted: Id) -> int:
        """See `Ids.position`."""
        is_text = isinstance(wanted, str)
        if is_text != self._is_text or not isinstance(wanted, (str, int, np.integer)):
            raise _unknown(wanted, "strings" if self._is_text else "integers")
        low, high = 0, self._order.shape[0]
        while low < high:
            middle = (low + high) // 2
            if self._at(middle) < wanted:
                low = middle + 1
            else:
                high = middle
        if low < self._order.shape[0] and self._at(low) == wanted:
            return int(self._order[low])
        raise _unknown(wanted, "strings" if self._is_text else "integers")

    def _at(self, place: int) -> Any:
        position = int(self._order[place])
        if self._numbers is not None:
            return int(self._numbers[position])
        return self._values[position].as_py()
