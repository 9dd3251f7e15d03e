"""Comparing a row with a few others, exactly and always in the same order of additions."""

from __future__ import annotations

import numba
import numpy as np

from kinfold.arrays import NOTHING, Bools, Float32s, Ints, UInt32s
from kinfold.kernels.jit import kernel, unsigned

_NOTHING = NOTHING

TRUST = 2e-6
"""By which share of the squared lengths an engine's inner products may be off, generously."""


@kernel(reassociate=True)
def closeness(
    left: Float32s, vectors: Float32s, others: UInt32s, by_distance: bool, out: Float32s
) -> None:
    """Write the closeness of `left` (d,) to each row ``vectors[others]`` into `out`.

    Closeness is the inner product, or the negated squared distance. It is symmetric to the last
    bit: products commute and the sums run in one order. NOTHING gets -inf.
    """
    d = unsigned(left.shape[0])
    for j in range(unsigned(others.shape[0])):
        other = others[j]
        if other == _NOTHING:
            out[j] = -np.inf
            continue
        total = np.float32(0)
        if by_distance:
            for a in range(d):
                step = left[a] - vectors[other, a]
                total -= step * step
        else:
            for a in range(d):
                total += left[a] * vectors[other, a]
        out[j] = total


@kernel()
def order_list(others: UInt32s, values: Float32s) -> None:
    """Sort one neighbour list in place: larger values first, smaller positions on a tie.

    An insertion sort: the lists arrive almost in order.
    """
    for j in range(1, others.shape[0]):
        other, value = others[j], values[j]
        place = j
        while place > 0 and (
            values[place - 1] < value or (values[place - 1] == value and others[place - 1] > other)
        ):
            others[place] = others[place - 1]
            values[place] = values[place - 1]
            place -= 1
        others[place] = other
        values[place] = value


@kernel()
def score_lists(
    queries: Float32s, vectors: Float32s, others: UInt32s, by_distance: bool, out: Float32s
) -> None:
    """Exact closeness of (m, d) queries to their (m, k) lists, each list then put in order."""
    for i in range(others.shape[0]):
        closeness(queries[i], vectors, others[i], by_distance, out[i])
        order_list(others[i], out[i])


@kernel(parallel=True)
def score_lists_parallel(
    queries: Float32s, vectors: Float32s, others: UInt32s, by_distance: bool, out: Float32s
) -> None:
    """As `score_lists`, rows spread over the threads; for builds."""
    for i in numba.prange(others.shape[0]):
        closeness(queries[i], vectors, others[i], by_distance, out[i])
        order_list(others[i], out[i])


@kernel(parallel=True)
def order_lists(others: UInt32s, values: Float32s) -> None:
    """Put (m, k) neighbour lists in order, in place: see `order_list`."""
    for i in numba.prange(others.shape[0]):
        order_list(others[i], values[i])


@kernel()
def squared_length(vector: Float32s) -> float:
    """||v||²."""
    total = np.float64(0)
    for a in range(unsigned(vector.shape[0])):
        total += np.float64(vector[a]) * np.float64(vector[a])
    return total


@kernel()
def doubtful(
    queries: Float32s, vectors: Float32s, others: UInt32s, values: Float32s, k: int, out: Bools
) -> int:
    """Mark the queries whose k best might not all be among their candidates; returns how many.

    (m, w) candidates in order with their exact values, w > k. An engine that adds in another
    order, or subtracts large squares, is off by some millionths of the squared lengths; where the
    last candidate is not farther than that behind the k-th, one that was left out may be as near.
    """
    count = 0
    last = others.shape[1] - 1
    for i in range(others.shape[0]):
        slack = 0.0
        if others[i, last] != _NOTHING:
            slack = squared_length(queries[i]) + squared_length(vectors[others[i, last]])
        out[i] = values[i, k - 1] - values[i, last] <= TRUST * slack
        count += out[i]
    return count


@kernel()
def scan(
    query: Float32s, vectors: Float32s, by_distance: bool, out: UInt32s, best: Float32s
) -> None:
    """The k nearest of all rows, ties by position, into ``out`` and ``best`` (k,): no shortcut."""
    k = out.shape[0]
    one = np.empty(1, dtype=np.uint32)
    value = np.empty(1, dtype=np.float32)
    size = 0
    for row in range(vectors.shape[0]):
        one[0] = row
        closeness(query, vectors, one, by_distance, value)
        if size == k and value[0] <= best[k - 1]:
            continue
        place = min(size, k - 1)
        size = min(size + 1, k)
        while place > 0 and best[place - 1] < value[0]:
            out[place] = out[place - 1]
            best[place] = best[place - 1]
            place -= 1
        out[place] = row
        best[place] = value[0]


@kernel(parallel=True)
def scan_parallel(
    queries: Float32s, rows: Ints, vectors: Float32s, by_distance: bool,
    out: UInt32s, best: Float32s,
) -> None:  # fmt: skip
    """`scan` for the queries named by `rows`, into the same rows of ``out`` and ``best``."""
    for r in numba.prange(rows.shape[0]):
        row = rows[r]
        scan(queries[row], vectors, by_distance, out[row], best[row])


@kernel()
def without_self(found: UInt32s, first_row: int, out: UInt32s) -> None:
    """Copy (m, k + 1) lists of rows first_row… to (m, k) without the row itself.

    The row is looked for by its position in the gallery: among duplicates it need not be its own
    first neighbour, nor be in the list at all. Then the last, farthest entry goes.
    """
    k = out.shape[1]
    for i in range(out.shape[0]):
        me = np.uint32(first_row + i)
        kept = 0
        for j in range(found.shape[1]):
            if kept < k and found[i, j] != me:
                out[i, kept] = found[i, j]
                kept += 1


@kernel(parallel=True)
def closeness_lists(vectors: Float32s, others: UInt32s, out: Float32s) -> None:
    """Inner products of every row of (n, d) vectors with the rows of its (n, k) list."""
    for i in numba.prange(others.shape[0]):
        closeness(vectors[i], vectors, others[i], False, out[i])
