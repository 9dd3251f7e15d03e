"""How high two items rank with each other: the worse of their two places."""

from __future__ import annotations

import numpy as np

from kinfold.arrays import Float32s, UInt32s
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


@kernel()
def mutual_rank(ids: UInt32s, values: Float32s, i: int, a: int, mine: int) -> int:
    """The worse of the ranks, from 1, that i and the item at place `a` of its list have.

    `mine` is the rank by i's account. Item j has with i the rank 1 + (those more alike to i than
    j is), and i with j the same, or k + 1 where j's list does not hold i; unless that list ends
    with items exactly as alike, and had no room for one more, or was never filled. Equal
    similarities share a rank, so that the order of duplicates means nothing.
    """
    width = ids.shape[1]
    j, value = ids[i, a], values[i, a]
    # By j's own account: a model may judge the two directions differently, and it judges
    # only the k_m that were found. Better than all of j's, yet not among them, is a hub.
    theirs = width + 1
    if value == values[j, width - 1] or ids[j, width - 1] == NOTHING:
        theirs = 1 + better(values[j], value)
    for b in range(unsigned(width)):
        if ids[j, b] == i:
            theirs = 1 + better(values[j], values[j, b])
            break
    return int(max(mine, theirs))
