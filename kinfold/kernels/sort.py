"""Sorting a row's columns: a radix sort, several times quicker than a comparison sort here."""

from __future__ import annotations

import numpy as np

from kinfold.arrays import Floats, Ints
from kinfold.kernels.jit import kernel, unsigned

_BITS = 8
_BUCKETS = 1 << _BITS


@kernel()
def sort_columns(
    columns: Ints,
    values: Floats,
    count: int,
    largest: int,
    spare_columns: Ints,
    spare_values: Floats,
    histogram: Ints,
) -> None:
    """Sort ``columns[:count]`` ascending, in place, and carry ``values[:count]`` along.

    Parameters
    ----------
    columns, values:
        What to sort; columns in 0..`largest`.
    spare_columns, spare_values:
        Scratch of the same length.
    histogram:
        (256,) scratch.
    """
    shift = np.uint32(0)
    mask = np.uint32(_BUCKETS - 1)
    while (np.uint32(largest) >> shift) > 0:
        histogram[:] = 0
        for a in range(unsigned(count)):
            histogram[(columns[a] >> shift) & mask] += np.uint32(1)
        start = np.uint32(0)
        for bucket in range(_BUCKETS):
            size = histogram[bucket]
            histogram[bucket] = start
            start += size
        for a in range(unsigned(count)):
            bucket = (columns[a] >> shift) & mask
            place = histogram[bucket]
            histogram[bucket] = place + np.uint32(1)
            spare_columns[place] = columns[a]
            spare_values[place] = values[a]
        for a in range(unsigned(count)):
            columns[a] = spare_columns[a]
            values[a] = spare_values[a]
        shift += np.uint32(_BITS)
