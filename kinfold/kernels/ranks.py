"""How high two items rank with each other: the worse of their two places."""

from __future__ import annotations

import numba
import numpy as np

from kinfold.arrays import Float32s, Ints, UInt32s
from kinfold.kernels.jit import kernel, unsigned

NOTHING = np.uint32(0xFFFFFFFF)


@kernel()
def better(values: Float32s, value: float) -> int:
    """How many of `values`, which descend, are larger than `value`."""
    low, high = 0, values.shape[0]
    while low < high:
        middle = (low + high) // 2
        if values[middle] > value:
            low = middle + 1
        else:
            high = middle
    return low


@kernel(parallel=True)
def mutual_ranks(ids: UInt32s, values: Float32s, out: Ints) -> None:
    """For every entry of (n, k) neighbour lists the worse of the two ranks, from 1.

    Item j has with i the rank 1 + (those more alike to i than j is), and i with j the same, or
    k + 1 where j's list does not hold i; unless that list ends with items exactly as alike, and
    had no room for one more, or was never filled. Equal similarities share a rank, so that the
    order of duplicates means nothing.
    """
    rows, width = ids.shape
    for i in numba.prange(rows):
        mine = 1
        for a in range(unsigned(width)):
            value = values[i, a]
            if a > 0 and value < values[i, a - unsigned(1)]:
                mine = a + 1
            j = ids[i, a]
            if j == NOTHING:
                out[i, a] = width + 1
                continue
            # By j's own account: a model may judge the two directions differently, and it judges
            # only the k_m that were found. Better than all of j's, yet not among them, is a hub.
            theirs = width + 1
            if value == values[j, width - 1] or ids[j, width - 1] == NOTHING:
                theirs = 1 + better(values[j], value)
            for b in range(unsigned(width)):
                if ids[j, b] == i:
                    theirs = 1 + better(values[j], values[j, b])
                    break
            out[i, a] = max(mine, theirs)
