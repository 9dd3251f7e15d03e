"""The edges of the diffusion graph: which entries of neighbour lists they are, and their weights.

Every kernel here cuts the rows of what it writes into as many ranges as there are threads. A
thread reads all lists and writes its own rows, so that no result depends on how many there are.
"""

from __future__ import annotations

import numba
import numpy as np

from kinfold.arrays import NOTHING, Float32s, Floats, Int64s, Ints, UInt8s, UInt32s
from kinfold.kernels.jit import kernel, signed, unsigned
from kinfold.kernels.ranks import mutual_rank

_NOTHING = NOTHING

USABLE, MUTUAL, KEPT = 1, 2, 4
"""Bits of an entry of a list: its weight is positive; both accept each other; it is an edge."""


@kernel(parallel=True)
def weigh_entries(
    ids: UInt32s, values: Float32s, gamma: float, rank_scale: float, threads: int,
    weights: Float32s, flags: UInt8s,
) -> None:  # fmt: skip
    """Weights of all entries of (n, k) lists, and their `USABLE` and `MUTUAL` bits.

    max(value, 0) ** gamma * exp(-(rank - 1) / rank_scale); `rank_scale` 0: ranks do not count.
    """
    n, width = ids.shape
    for thread in numba.prange(threads):
        for i in range(thread * n // threads, (thread + 1) * n // threads):
            mine = 1
            for a in range(width):
                if a > 0 and values[i, a] < values[i, a - 1]:
                    mine = a + 1
                flags[i, a] = 0
                weights[i, a] = 0
                if ids[i, a] == _NOTHING or not values[i, a] > 0:
                    continue
                rank = mutual_rank(ids, values, i, a, mine)
                weight = values[i, a]
                if gamma != 1:
                    weight = weight ** np.float32(gamma)
                if rank_scale > 0:
                    weight *= np.exp((1 - rank) / rank_scale)
                weights[i, a] = weight
                if weights[i, a] > 0:
                    flags[i, a] = USABLE | (MUTUAL if rank <= width else 0)


@kernel()
def place_of(ids: UInt32s, width: int, row: int, other: int) -> int:
    """Where `other` stands among the first `width` of a list; `width` where it does not."""
    for a in range(unsigned(width)):
        if ids[row, a] == other:
            return signed(a)
    return signed(width)


@kernel()
def has(ids: UInt32s, flags: UInt8s, bit: int, row: int, other: int) -> bool:
    """Whether a list names `other` in an entry with this bit."""
    a = place_of(ids, ids.shape[1], row, other)
    return bool(a < ids.shape[1] and (flags[row, a] & bit) > 0)


@kernel(parallel=True)
def count_edges(ids: UInt32s, flags: UInt8s, bit: int, threads: int, counts: Int64s) -> None:
    """How many items every item is joined to, by its own entries with this bit or by others'."""
    n, width = ids.shape
    for thread in numba.prange(threads):
        begin, end = thread * n // threads, (thread + 1) * n // threads
        for i in range(begin, end):
            own = 0
            for a in range(width):
                own += flags[i, a] & bit != 0
            counts[i] = own
        for j in range(n):
            for a in range(unsigned(width)):
                i = signed(ids[j, a])
                if flags[j, a] & bit != 0 and begin <= i < end and not has(ids, flags, bit, i, j):
                    counts[i] += 1


@kernel(parallel=True)
def complete_edges(flags: UInt8s, degrees: Int64s, min_degree: int, threads: int) -> None:
    """`KEPT`: mutual entries, and an item's best others until it has `min_degree` of both."""
    n, width = flags.shape
    for thread in numba.prange(threads):
        for i in range(thread * n // threads, (thread + 1) * n // threads):
            missing = min_degree - degrees[i]
            for a in range(width):
                if flags[i, a] & MUTUAL:
                    flags[i, a] |= KEPT
                elif flags[i, a] & USABLE and missing > 0:
                    flags[i, a] |= KEPT
                    missing -= 1


@kernel(parallel=True)
def fill_edges(
    ids: UInt32s, flags: UInt8s, bit: int, indptr: Ints, threads: int,
    filled: Int64s, indices: UInt32s,
) -> None:  # fmt: skip
    """The columns of a symmetric matrix with `count_edges` entries a row, ascending.

    `filled` (n,) is scratch.
    """
    n, width = ids.shape
    for thread in numba.prange(threads):
        begin, end = thread * n // threads, (thread + 1) * n // threads
        for i in range(begin, end):
            place = indptr[i]
            for a in range(width):
                if flags[i, a] & bit:
                    indices[place] = ids[i, a]
                    place += 1
            filled[i] = place
        for j in range(n):
            for a in range(unsigned(width)):
                i = signed(ids[j, a])
                if flags[j, a] & bit != 0 and begin <= i < end and not has(ids, flags, bit, i, j):
                    indices[filled[i]] = j
                    filled[i] += 1
        for i in range(begin, end):
            sort_ids(indices[indptr[i] : indptr[i + 1]])


@kernel()
def sort_ids(ids: UInt32s) -> None:
    """Sort a short array of positions in place, ascending; quick where it is almost sorted."""
    for a in range(1, ids.shape[0]):
        value = ids[a]
        place = a
        while place > 0 and ids[place - 1] > value:
            ids[place] = ids[place - 1]
            place -= 1
        ids[place] = value


@kernel(parallel=True)
def weigh_edges(
    ids: UInt32s, flags: UInt8s, weights: Float32s, indptr: Ints, indices: UInt32s, threads: int,
    data: Float32s, degrees: Floats,
) -> None:  # fmt: skip
    """Each edge's weight, the mean over the usable entries that name it, and their sums by row."""
    n, width = ids.shape
    for thread in numba.prange(threads):
        for i in range(thread * n // threads, (thread + 1) * n // threads):
            degree = 0.0
            for e in range(indptr[i], indptr[i + 1]):
                j = signed(indices[e])
                mine, theirs = place_of(ids, width, i, j), place_of(ids, width, j, i)
                total, lists = 0.0, 0
                if mine < width and flags[i, mine] & USABLE:
                    total += weights[i, mine]
                    lists += 1
                if theirs < width and flags[j, theirs] & USABLE:
                    total += weights[j, theirs]
                    lists += 1
                data[e] = total / lists
                degree += total / lists
            degrees[i] = degree


@kernel(parallel=True)
def scale_edges(
    indptr: Ints, indices: UInt32s, scale: Floats, threads: int, data: Float32s
) -> None:
    """Multiply every entry by its row's and its column's scale, in place; symmetric to the bit."""
    n = indptr.shape[0] - 1
    for thread in numba.prange(threads):
        for i in range(thread * n // threads, (thread + 1) * n // threads):
            for e in range(indptr[i], indptr[i + 1]):
                data[e] *= scale[i] * scale[indices[e]]


__all__ = [
    "KEPT",
    "MUTUAL",
    "USABLE",
    "complete_edges",
    "count_edges",
    "fill_edges",
    "scale_edges",
    "weigh_edges",
    "weigh_entries",
]
