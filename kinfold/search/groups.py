"""Groups: which items share a value of a payload column."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.types as kinds

from kinfold.arrays import Int64s
from kinfold.errors import InputError


@dataclass(frozen=True, slots=True)
class Groups:
    """The groups of a gallery by one column.

    Attributes
    ----------
    of:
        (n,) int64: the number of each item's group. An item without a value (null, or NaN) is a
        group of its own.
    count:
        How many groups there are.
    """

    of: Int64s
    count: int


def group_rows(column: pa.ChunkedArray, name: str) -> Groups:
    """Group the rows of a column by its values; raises `InputError` where that has no meaning."""
    kind = column.type
    if kinds.is_dictionary(kind):
        # As values: two entries of a dictionary may be equal, and chunks may have different ones.
        kind = kind.value_type
        column = pa.chunked_array([chunk.dictionary_decode() for chunk in column.chunks], kind)
    if kinds.is_nested(kind) or kinds.is_union(kind) or isinstance(kind, pa.BaseExtensionType):
        raise InputError(
            f"group_by: column {name!r} holds {kind}; expected a column of single values"
        )
    values = column.combine_chunks()
    if isinstance(values, pa.ChunkedArray):  # older Arrow
        values = pa.concat_arrays(values.chunks)
    if kinds.is_floating(kind):
        known = values.is_valid().to_numpy(zero_copy_only=False)
        numbers = values.cast(pa.float64()).fill_null(0).to_numpy(zero_copy_only=False)
        known = known & ~np.isnan(numbers)
        codes = np.unique(numbers[known], return_inverse=True)[1]
    else:
        if kinds.is_string_view(kind):
            values = values.cast(pa.large_string())
        encoded = values.dictionary_encode()
        known = encoded.is_valid().to_numpy(zero_copy_only=False)
        codes = encoded.indices.drop_null().to_numpy(zero_copy_only=False)
    first_alone = int(codes.max()) + 1 if codes.size else 0
    of = np.empty(known.shape[0], dtype=np.int64)
    of[known] = codes
    alone = int(np.count_nonzero(~known))
    of[~known] = first_alone + np.arange(alone)
    return Groups(of, first_alone + alone)
