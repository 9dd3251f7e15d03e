"""Comparing a row with a few others, exactly and always in the same order of additions."""

from __future__ import annotations

import numba
import numpy as np

from kinfold.arrays import NOTHING, Float32s, UInt32s
from kinfold.kernels.jit import kernel, unsigned

_NOTHING = NOTHING


@kernel()
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
