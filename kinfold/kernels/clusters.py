"""CAS on flat rows: the affinity, and the terms and rounds of its diffusion (BSD)."""

from __future__ import annotations

import numba
import numpy as np

from kinfold.arrays import NOTHING, Float32s, Floats, Int64s, Ints, UInt32s
from kinfold.kernels.edges import place_of
from kinfold.kernels.jit import kernel, signed, unsigned
from kinfold.kernels.members import insert, shared

_NOTHING = NOTHING


@kernel()
def squared_distance(similarity: float) -> float:
    """2 (1 - sim) of vectors of length one, never below 0."""
    # In float32, as the similarity is.
    return 2.0 * min(max(np.float64(np.float32(1) - similarity), 0.0), 2.0)


@kernel()
def nearest_distance(ids: UInt32s, values: Float32s, k: int, i: int, j: int) -> float:
    """The squared distance of two items, the smaller of what their lists say; inf: neither does."""
    distance = np.inf
    a = place_of(ids, k, i, j)
    if a < k:
        distance = squared_distance(values[i, a])
    a = place_of(ids, k, j, i)
    if a < k:
        distance = min(distance, squared_distance(values[j, a]))
    return distance


@kernel(parallel=True)
def affinity_rows(
    ids: UInt32s, values: Float32s, k: int, back_indptr: Ints, back: UInt32s, scale: float,
    begin: int, end: int, threads: int, starts: Ints, columns: UInt32s, out: Float32s,
    lengths: Int64s, degrees: Floats,
) -> None:  # fmt: skip
    """W_ij = exp(-d² / scale) where either is among the other's k nearest, W_ii = 1; and its sums.

    `back` are the items in whose lists an item is (`fill_reverse`). Rows begin at `starts`, which
    leaves room for all; what underflows to zero is left out.
    """
    for thread in numba.prange(threads):
        for i in range(begin + thread, end, threads):
            mine = columns[starts[i - begin] : starts[i - begin + 1]]
            mine[0] = i
            count = signed(1)
            for a in range(unsigned(k)):
                if ids[i, a] != _NOTHING:
                    count = insert(mine, count, ids[i, a])
            for e in range(back_indptr[i], back_indptr[i + 1]):
                count = insert(mine, count, back[e])
            degree = 0.0
            kept = unsigned(0)
            for a in range(unsigned(count)):
                j = mine[a]
                weight = 1.0
                if j != i:
                    weight = np.exp(-nearest_distance(ids, values, k, i, j) / scale)
                if weight > 0:
                    mine[kept] = j
                    out[unsigned(starts[i - begin]) + kept] = weight
                    degree += weight
                    kept += unsigned(1)
            lengths[i - begin] = kept
            degrees[i - begin] = degree


@kernel(parallel=True)
def count_upper(
    indptr: Ints, columns: UInt32s, begin: int, end: int, threads: int, out: Int64s
) -> None:
    """How many entries of each row are on the diagonal or right of it."""
    for thread in numba.prange(threads):
        for i in range(begin + thread, end, threads):
            count = signed(0)
            for e in range(unsigned(indptr[i]), unsigned(indptr[i + 1])):
                count += columns[e] >= i
            out[i - begin] = count


@kernel(parallel=True)
def upper_places(
    indptr: Ints, columns: UInt32s, upper: Ints, begin: int, end: int, threads: int, out: Ints
) -> None:
    """Where in the upper triangle each entry of a symmetric matrix is, or its mirror image.

    The triangle's rows, the diagonal first, begin at `upper`.
    """
    base = unsigned(indptr[begin])
    for thread in numba.prange(threads):
        for i in range(begin + thread, end, threads):
            for e in range(unsigned(indptr[i]), unsigned(indptr[i + 1])):
                j = columns[e]
                row = min(unsigned(j), unsigned(i))
                other = max(unsigned(j), unsigned(i))
                # The last entries of the row are the triangle's.
                place = unsigned(upper[row + unsigned(1)])
                at = unsigned(indptr[row + unsigned(1)])
                while True:
                    place -= unsigned(1)
                    at -= unsigned(1)
                    if columns[at] == other:
                        break
                out[e - base] = place


@kernel(parallel=True)
def count_terms(
    walk_indptr: Ints, walk: UInt32s, indptr: Ints, columns: UInt32s, upper: Ints,
    begin: int, end: int, threads: int, counts: Ints,
) -> None:  # fmt: skip
    """How many terms (S F + F S)_ij has, for every entry of F's upper triangle in the block."""
    for thread in numba.prange(threads):
        for i in range(begin + thread, end, threads):
            place = upper[i] - upper[begin]
            size = upper[i + 1] - upper[i]
            for e in range(indptr[i + 1] - size, indptr[i + 1]):
                j = columns[e]
                count = shared(walk_indptr, walk, i, indptr, columns, j)
                if j != i:
                    count += shared(walk_indptr, walk, j, indptr, columns, i)
                counts[place] = count
                place += 1


@kernel()
def write_terms(
    walk_indptr: Ints, walk: UInt32s, weights: Float32s, roots: Floats, i: int,
    indptr: Ints, columns: UInt32s, places: Ints, j: int, factor: float,
    first: int, where: Ints, factors: Float32s,
) -> int:  # fmt: skip
    """The places of the F_jk, k in row i of S, and factor * S_ik, from the term `first` on."""
    a, a_end = unsigned(walk_indptr[i]), unsigned(walk_indptr[i + 1])
    b, b_end = unsigned(indptr[j]), unsigned(indptr[j + 1])
    t = unsigned(first)
    while a < a_end and b < b_end:
        x, y = walk[a], columns[b]
        if x == y:
            where[t] = places[b]
            factors[t] = factor * weights[a] * (roots[i] * roots[x])
            t += unsigned(1)
        a += unsigned(x <= y)
        b += unsigned(y <= x)
    return signed(t)


@kernel(parallel=True)
def fill_terms(
    walk_indptr: Ints, walk: UInt32s, weights: Float32s, roots: Floats,
    indptr: Ints, columns: UInt32s, upper: Ints, places: Ints, begin: int, end: int, threads: int,
    starts: Ints, where: Ints, factors: Float32s,
) -> None:  # fmt: skip
    """The terms that `count_terms` counted, those of row i from ``starts[i - begin]`` on.

    F being symmetric, (S F + F S)_ij = sum_k S_ik F_jk + sum_k S_jk F_ik, each by ascending k; on
    the diagonal the two are one. S_ij = W_ij / sqrt(d_i d_j); `roots` are the d ** -1/2.
    """
    for thread in numba.prange(threads):
        for i in range(begin + thread, end, threads):
            term = starts[i - begin]
            size = upper[i + 1] - upper[i]
            for e in range(indptr[i + 1] - size, indptr[i + 1]):
                j = columns[e]
                term = write_terms(
                    walk_indptr, walk, weights, roots, i, indptr, columns, places, j,
                    2.0 if j == i else 1.0, term, where, factors,
                )  # fmt: skip
                if j != i:
                    term = write_terms(
                        walk_indptr, walk, weights, roots, j, indptr, columns, places, i,
                        1.0, term, where, factors,
                    )  # fmt: skip


@kernel(parallel=True)
def diffuse_round(
    upper: Ints, values: Floats, starts: Ints, counts: Ints, where: Ints, factors: Float32s,
    alpha: float, begin: int, end: int, threads: int, out: Floats, changes: Floats, peaks: Floats,
) -> None:  # fmt: skip
    """F <- alpha/2 (S F + F S) + (1 - alpha) E on F's upper triangle, for the rows of a block.

    `changes` and `peaks` (threads,) take the largest change and the largest entry.
    """
    base = unsigned(upper[begin])
    for thread in numba.prange(threads):
        change, peak = 0.0, 0.0
        for i in range(unsigned(begin + thread), unsigned(end), unsigned(threads)):
            term = unsigned(starts[i])
            own = 1 - alpha
            for e in range(unsigned(upper[i]), unsigned(upper[i + unsigned(1)])):
                total = 0.0
                last = term + unsigned(counts[e])
                for t in range(term, last):
                    total += factors[t] * values[where[t]]
                term = last
                # The first of a row is on the diagonal.
                fresh = 0.5 * alpha * total + own
                own = 0.0
                out[e - base] = fresh
                change = max(change, abs(fresh - values[e]))
                peak = max(peak, fresh)
        changes[thread] = change
        peaks[thread] = peak


@kernel(parallel=True)
def affinity_inside(
    walk_indptr: Ints, walk: UInt32s, weights: Float32s, roots: Floats,
    indptr: Ints, columns: UInt32s, begin: int, end: int, threads: int,
    starts: Ints, kept: UInt32s, out: Floats, lengths: Int64s,
) -> None:  # fmt: skip
    """S itself where it has entries inside the clusters; rows begin at `starts`."""
    for thread in numba.prange(threads):
        for i in range(begin + thread, end, threads):
            a, a_end = unsigned(walk_indptr[i]), unsigned(walk_indptr[i + 1])
            b, b_end = unsigned(indptr[i]), unsigned(indptr[i + 1])
            place = unsigned(starts[i - begin])
            while a < a_end and b < b_end:
                x, y = walk[a], columns[b]
                if x == y:
                    kept[place] = x
                    out[place] = weights[a] * (roots[i] * roots[x])
                    place += unsigned(1)
                a += unsigned(x <= y)
                b += unsigned(y <= x)
            lengths[i - begin] = signed(place) - starts[i - begin]


@kernel(parallel=True)
def encode_rows(
    ids: UInt32s, values: Float32s, indptr: Ints, grown: UInt32s,
    begin: int, end: int, threads: int, columns: UInt32s, out: Float32s, lengths: Int64s,
) -> None:  # fmt: skip
    """exp(-d) for the members of a set that are in either's list, scaled to sum to one.

    Rows are written on the pattern of the sets, from its first entry in the block on.
    """
    base, width = unsigned(indptr[begin]), ids.shape[1]
    for thread in numba.prange(threads):
        for i in range(begin + thread, end, threads):
            first = unsigned(indptr[i]) - base
            place = first
            mass = 0.0
            for e in range(unsigned(indptr[i]), unsigned(indptr[i + 1])):
                j = grown[e]
                weight = 1.0
                if j != i:
                    weight = np.exp(-nearest_distance(ids, values, width, i, j))
                if weight > 0:
                    columns[place] = j
                    out[place] = weight
                    mass += weight
                    place += unsigned(1)
            for e in range(first, place):
                out[e] /= mass
            lengths[i - begin] = signed(place - first)
