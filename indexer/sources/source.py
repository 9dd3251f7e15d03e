"""What a source gives, and how its columns are told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from kinfold.arrays import AnyArray, Bools
from kinfold.errors import InputError


@dataclass(frozen=True, slots=True)
class Columns:
    """Names that the user gave; None means "find it".

    Attributes
    ----------
    vectors:
        The array or column of vectors. None: the only one that there is.
    ids:
        The array or column of ids. None: ``id`` if there is one, else the row numbers.
    payload:
        Columns kept with the items. None: all others.
    """

    vectors: str | None = None
    ids: str | None = None
    payload: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A gallery, or a set of queries, as it was read; values are checked by the build.

    Attributes
    ----------
    name:
        What errors call it: the file's path.
    vectors:
        (n, d), any numeric dtype; may be a memory map.
    ids:
        (n,) or None.
    columns:
        Everything else of n values, by name: payload of a gallery, labels of queries.
    """

    name: str
    vectors: AnyArray
    ids: AnyArray | None = None
    columns: pa.Table | None = None
    payload_names: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return int(self.vectors.shape[0])

    @property
    def payload(self) -> pa.Table | None:
        """The columns that are kept with the items."""
        if self.columns is None or not self.payload_names:
            return None
        return self.columns.select(self.payload_names)

    def column(self, name: str) -> AnyArray:
        """One column as an array; raises `InputError` naming those that exist."""
        names = [] if self.columns is None else self.columns.column_names
        if self.columns is None or name not in names:
            raise InputError(
                f"{self.name}: no column {name!r}; it has: {', '.join(names) or 'none'}"
            )
        column = self.columns.column(name)
        if column.null_count:
            raise InputError(f"{self.name}: column {name!r} has {column.null_count} empty values")
        values: AnyArray = column.to_numpy()
        return values.astype(np.str_) if values.dtype.kind == "O" else values

    def mask(self, name: str) -> Bools:
        """A column of true and false."""
        values = self.column(name)
        if values.dtype.kind == "b":
            return values
        if values.dtype.kind in "iu" and np.isin(values, (0, 1)).all():
            result: Bools = values.astype(bool)
            return result
        raise InputError(
            f"{self.name}: column {name!r}: expected true and false, found dtype {values.dtype}"
        )

    def where(self, keep: Bools) -> Source:
        """The rows of a mask."""
        rows = np.flatnonzero(keep)
        columns = None if self.columns is None else self.columns.take(pa.array(rows))
        ids = None if self.ids is None else self.ids[rows]
        return replace(self, vectors=self.vectors[rows], ids=ids, columns=columns)


def assemble(name: str, vectors: AnyArray, others: dict[str, Any], wanted: Columns) -> Source:
    """A source from its vectors and its other columns of the same length."""
    table = pa.table(others) if others else None
    id_name = wanted.ids if wanted.ids is not None else ("id" if "id" in others else None)
    ids = None
    if id_name is not None:
        if id_name not in others:
            raise InputError(
                f"{name}: no id column {id_name!r}; it has: {', '.join(others) or 'no others'}"
            )
        column = others[id_name]
        ids = column if isinstance(column, np.ndarray) else column.to_numpy()
    if wanted.payload is None:
        kept = [other for other in others if other != id_name]
    else:
        missing = [other for other in wanted.payload if other not in others]
        if missing:
            raise InputError(
                f"{name}: no payload column {missing[0]!r}; it has: {', '.join(others) or 'none'}"
            )
        kept = list(wanted.payload)
    return Source(name, vectors, ids, table, kept)
