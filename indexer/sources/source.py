"""What a source gives, and how its columns are told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from kinfold.arrays import AnyArray, Bools
from kinfold.errors import InputError
from kinfold.index.extras import Extras
from kinfold.validate import check_matrix

DEFAULT_ID = "id"


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

    def leaves_out(self, name: str) -> bool:
        """Whether the user chose other columns, so that this one need not be usable."""
        chosen = self.payload is None or name in self.payload
        return not chosen and name != (self.ids or DEFAULT_ID)


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
    extras:
        What the index keeps beside: thumbnails, the encoder, a projection.
    """

    name: str
    vectors: AnyArray
    ids: AnyArray | None = None
    columns: pa.Table | None = None
    payload_names: list[str] = field(default_factory=list)
    extras: Extras = field(default_factory=Extras)

    def __len__(self) -> int:
        return int(self.vectors.shape[0])

    @property
    def item_bytes(self) -> int:
        """What ids, payload and extras take, at most."""
        columns = 0 if self.columns is None else int(self.columns.get_total_buffer_size())
        return columns + self.extras.bytes

    @property
    def payload(self) -> pa.Table | None:
        """The columns that are kept with the items."""
        if self.columns is None or not self.payload_names:
            return None
        return self.columns.select(self.payload_names)

    def with_payload(self, names: Sequence[str] | None) -> Source:
        """The same, of which only some columns are kept with the items; None: as it is."""
        if names is None:
            return self
        for name in names:
            self.column(name)
        return replace(self, payload_names=list(names))

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
        if pa.types.is_nested(column.type):
            raise InputError(
                f"{self.name}: column {name!r}: expected single values, found {column.type}"
            )
        values: AnyArray = column.to_numpy()
        return np.array(values.tolist()) if values.dtype.kind == "O" else values

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
        """The rows of a mask; errors count rows among them, and the name then says so."""
        rows = np.flatnonzero(keep)
        if rows.size == len(self):
            return self
        columns = None if self.columns is None else self.columns.filter(pa.array(keep))
        ids = None if self.ids is None else self.ids[rows]
        name = f"{self.name} (rows counted among the {rows.size} of {len(self)} that are used)"
        return replace(
            self,
            name=name,
            vectors=self.vectors[rows],
            ids=ids,
            columns=columns,
            extras=self.extras.of(rows),
        )


def assemble(name: str, vectors: AnyArray, others: Mapping[str, Any], wanted: Columns) -> Source:
    """A source from its vectors and its other columns of the same length."""
    check_matrix(vectors, name)
    table = _as_table(name, others, wanted)
    default = DEFAULT_ID if DEFAULT_ID in others else None
    id_name = wanted.ids if wanted.ids is not None else default
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


def _as_table(name: str, others: Mapping[str, Any], wanted: Columns) -> pa.Table | None:
    columns: dict[str, Any] = {}
    for other, values in others.items():
        try:
            columns[other] = pa.array(_native(values)) if isinstance(values, np.ndarray) else values
        except pa.ArrowException:
            if not wanted.leaves_out(other):
                raise InputError(
                    f"{name}: array {other!r}: expected numbers, strings, times or true and false, "
                    f"found dtype {values.dtype}; leave it out by naming the others with --payload"
                ) from None
    return pa.table(columns) if columns else None


def _native(values: AnyArray) -> AnyArray:
    """The same values in this machine's byte order, the only one that Arrow takes."""
    return values.astype(values.dtype.newbyteorder("="), copy=False)
