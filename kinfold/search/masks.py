"""Masks: which items of the gallery a filter allows, evaluated once and kept for a while."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import cached_property
from threading import Lock
from typing import Generic, TypeVar

import numpy as np
import pyarrow as pa

from kinfold.arrays import Bools, UInt8s, UInt32s
from kinfold.errors import InputError
from kinfold.index import StoredIndex
from kinfold.search.filters import And, Filter, Node, Not, Or
from kinfold.search.groups import Groups, group_rows
from kinfold.search.values import matches

_MOST_MASKS = 64
_MOST_MASK_BYTES = 128 << 20
_MOST_GROUPINGS = 4

Kept = TypeVar("Kept")


class Mask:
    """Which items may be given.

    Parameters
    ----------
    allowed:
        (n,) bool; belongs to the mask from now on.
    """

    def __init__(self, allowed: Bools) -> None:
        allowed.flags.writeable = False
        self.allowed = allowed
        self.count = int(np.count_nonzero(allowed))

    @cached_property
    def bits(self) -> UInt8s:
        """One bit an item, the first of them the lowest of a byte."""
        return np.packbits(self.allowed, bitorder="little")

    @cached_property
    def positions(self) -> UInt32s:
        """(count,) positions of the items, ascending."""
        return np.flatnonzero(self.allowed).astype(np.uint32)


class Columns:
    """The payload of an open version as filters and groups need it; shared by threads."""

    def __init__(self, stored: StoredIndex) -> None:
        self._stored = stored
        rows = stored.manifest.rows
        # A mask with its bits, and with positions where they are few.
        self._masks: _Recent[Mask] = _Recent(
            max(1, min(_MOST_MASKS, _MOST_MASK_BYTES // (2 * rows)))
        )
        self._groups: _Recent[Groups] = _Recent(_MOST_GROUPINGS)
        self._columns: _Recent[pa.ChunkedArray] = _Recent(1 << 16)

    @cached_property
    def everything(self) -> Mask:
        """The mask that allows all items."""
        return Mask(np.ones(self._stored.manifest.rows, dtype=np.bool_))

    def mask(self, wanted: Filter | None) -> Mask:
        """The items that a filter allows; None allows all of them."""
        if wanted is None:
            return self.everything
        return self._masks.get(wanted, lambda: Mask(self._evaluate(wanted.root)))

    def groups(self, name: str) -> Groups:
        """To which group each item belongs by a column's values."""
        return self._groups.get(name, lambda: group_rows(self.column(name, "group_by"), name))

    def column(self, name: str, what: str) -> pa.ChunkedArray:
        """A column of the payload, known to be sound; `what` asks for it."""
        known = self._stored.manifest.payload_columns
        payload = self._stored.payload
        if payload is None or name not in known:
            raise InputError(
                f"{what}: the payload has no column {name[:60]!r}; "
                + (f"it has: {', '.join(known)}" if known else "this index has no payload")
            )
        return self._columns.get(name, lambda: payload.column(name))

    def _evaluate(self, node: Node) -> Bools:
        """The items that a tree is true of, (n,), in an array of its own."""
        match node:
            case And(parts):
                result = self._evaluate(parts[0])
                for part in parts[1:]:
                    result &= self._evaluate(part)
                return result
            case Or(parts):
                result = self._evaluate(parts[0])
                for part in parts[1:]:
                    result |= self._evaluate(part)
                return result
            case Not(part):
                return ~self._evaluate(part)
        column = self.column(node.column, "filter")
        pieces = [matches(chunk, node, node.column) for chunk in column.chunks]
        return np.concatenate(pieces)


class _Recent(Generic[Kept]):
    """The values that were asked for last, made when they are first asked for."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Hashable, Kept] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], Kept]) -> Kept:
        """The value of a key; two threads may make the same one at once."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        made = make()
        with self._lock:
            self._values[key] = made
            while len(self._values) > self._most:
                self._values.popitem(last=False)
        return made
