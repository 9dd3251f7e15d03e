"""Sets of items, each ascending in one flat array: k-reciprocal sets and what grows from them."""

from __future__ import annotations

import numba

from kinfold.arrays import NOTHING, AnyArray, Int64s, Ints, UInt32s
from kinfold.kernels.edges import sort_ids
from kinfold.kernels.jit import kernel, signed, unsigned

_NOTHING = NOTHING


@kernel(parallel=True)
def reciprocal_rows(
    ids: UInt32s, k: int, begin: int, end: int, threads: int, columns: UInt32s, lengths: Int64s
) -> None:
    """R(i, k) and i itself for the rows `begin` to `end`: those among whose k nearest i is.

    `columns` (end - begin, k + 1) and `lengths` are written.
    """
    for thread in numba.prange(threads):
        for i in range(begin + thread, end, threads):
            mine = columns[i - begin]
            mine[0] = i
            count = 1
            for a in range(unsigned(k)):
                j = ids[i, a]
                if j == _NOTHING:
                    continue
                for b in range(unsigned(k)):
                    if ids[j, b] == i:
                        mine[count] = j
                        count += 1
                        break
            sort_ids(mine[:count])
            lengths[i - begin] = count


@kernel(parallel=True)
def compact(source: AnyArray, starts: Ints, indptr: Ints, threads: int, out: AnyArray) -> None:
    """Copy the first entries of every row of one flat array to another without gaps.

    Row r begins at ``starts[r]`` in `source`; in `out` it is ``out[indptr[r]:indptr[r + 1]]``.
    """
    n = indptr.shape[0] - 1
    for thread in numba.prange(threads):
        for r in range(thread * n // threads, (thread + 1) * n // threads):
            place = unsigned(starts[r])
            for e in range(unsigned(indptr[r]), unsigned(indptr[r + 1])):
                out[e] = source[place]
                place += unsigned(1)


@kernel()
def shared(
    left_indptr: Ints, left: UInt32s, i: int, right_indptr: Ints, right: UInt32s, j: int
) -> int:
    """How many items set i of one array and set j of another have in common."""
    a, a_end = unsigned(left_indptr[i]), unsigned(left_indptr[i + 1])
    b, b_end = unsigned(right_indptr[j]), unsigned(right_indptr[j + 1])
    count = 0
    while a < a_end and b < b_end:
        x, y = left[a], right[b]
        count += x == y
        a += unsigned(x <= y)
        b += unsigned(y <= x)
    return count


@kernel()
def trusts(
    indptr: Ints, sets: UInt32s, half_indptr: Ints, half: UInt32s, share: float, i: int, j: int
) -> bool:
    """Whether more than `share` of j's smaller set is inside i's set.

    The expansion test of k-reciprocal encoding (Zhong et al., CVPR 2017).
    """
    inside = shared(indptr, sets, i, half_indptr, half, j)
    return inside > share * signed(half_indptr[j + 1] - half_indptr[j])


@kernel()
def insert(found: UInt32s, count: int, item: int) -> int:
    """Put an item into the ascending ``found[:count]``, unless it is there; returns the count."""
    low, high = signed(0), signed(count)
    while low < high:
        middle = (low + high) // 2
        if found[middle] < item:
            low = middle + 1
        else:
            high = middle
    if low < count and found[low] == item:
        return count
    for a in range(count, low, -1):
        found[a] = found[a - 1]
    found[low] = item
    return count + 1


@kernel(parallel=True)
def grown_bounds(
    indptr: Ints, sets: UInt32s, half_indptr: Ints, half: UInt32s, both: bool,
    begin: int, end: int, threads: int, bounds: Int64s,
) -> None:  # fmt: skip
    """What `grown_rows` cannot need more entries than, row by row."""
    for thread in numba.prange(threads):
        for i in range(begin + thread, end, threads):
            most = signed(indptr[i + 1] - indptr[i])
            for e in range(indptr[i], indptr[i + 1]):
                j = sets[e]
                most += signed(half_indptr[j + 1] - half_indptr[j])
            if both:
                for h in range(half_indptr[i], half_indptr[i + 1]):
                    m = half[h]
                    most += signed(indptr[m + 1] - indptr[m])
            bounds[i - begin] = most


@kernel(parallel=True)
def grown_rows(
    indptr: Ints, sets: UInt32s, half_indptr: Ints, half: UInt32s, share: float, both: bool,
    begin: int, end: int, threads: int, starts: Ints, columns: UInt32s, lengths: Int64s,
) -> None:  # fmt: skip
    """R*(i): the set i with the smaller sets of its confident members; see `trusts`.

    `both`: with those j, too, in whose R*(j) item i is, so that the result is symmetric. Such a j
    shares with i a member m, which j trusts and whose smaller set holds i; sets being mutual, all
    m are in i's smaller set, and j in the set of m.

    Row i of `columns` begins at ``starts[i - begin]``.
    """
    for thread in numba.prange(threads):
        for i in range(begin + thread, end, threads):
            mine = columns[starts[i - begin] : starts[i - begin + 1]]
            count = signed(0)
            for e in range(indptr[i], indptr[i + 1]):
                mine[count] = sets[e]
                count += 1
            for e in range(indptr[i], indptr[i + 1]):
                j = sets[e]
                if trusts(indptr, sets, half_indptr, half, share, i, j):
                    for h in range(half_indptr[j], half_indptr[j + 1]):
                        count = insert(mine, count, half[h])
            if both:
                for h in range(half_indptr[i], half_indptr[i + 1]):
                    m = half[h]
                    for e in range(indptr[m], indptr[m + 1]):
                        j = sets[e]
                        if trusts(indptr, sets, half_indptr, half, share, j, m):
                            count = insert(mine, count, j)
            lengths[i - begin] = count


@kernel(parallel=True)
def count_reverse(ids: UInt32s, k: int, threads: int, counts: Int64s) -> None:
    """In how many lists, of their first k, every item is. Threads as in `kernels.edges`."""
    n = ids.shape[0]
    for thread in numba.prange(threads):
        begin, end = thread * n // threads, (thread + 1) * n // threads
        counts[begin:end] = 0
        for j in range(n):
            for a in range(unsigned(k)):
                i = signed(ids[j, a])
                if begin <= i < end:
                    counts[i] += 1


@kernel(parallel=True)
def fill_reverse(
    ids: UInt32s, k: int, indptr: Ints, threads: int, filled: Int64s, out: UInt32s
) -> None:
    """Which lists those are, ascending; `filled` (n,) is scratch."""
    n = ids.shape[0]
    for thread in numba.prange(threads):
        begin, end = thread * n // threads, (thread + 1) * n // threads
        filled[begin:end] = indptr[begin:end]
        for j in range(n):
            for a in range(unsigned(k)):
                i = signed(ids[j, a])
                if begin <= i < end:
                    out[filled[i]] = j
                    filled[i] += 1


@kernel(parallel=True)
def near_rows(
    ids: UInt32s, k: int, kappa: float, indptr: Ints, sets: UInt32s,
    begin: int, end: int, threads: int, starts: Ints, rows: UInt32s, weights: AnyArray,
    lengths: Int64s,
) -> None:  # fmt: skip
    """The weights of a mean over N(i, k) and i itself, with kappa times the mean over set i.

    An item in both is there twice. `kappa` 0: the sets are not looked at. Row i of `rows` and
    `weights` begins at ``starts[i - begin]`` and has room for all.
    """
    for thread in numba.prange(threads):
        for i in range(begin + thread, end, threads):
            count = starts[i - begin]
            if kappa > 0:
                size = signed(indptr[i + 1] - indptr[i])
                for e in range(indptr[i], indptr[i + 1]):
                    rows[count] = sets[e]
                    weights[count] = kappa / ((kappa + 1) * size)
                    count += 1
            first = count
            rows[count] = i
            count += 1
            for a in range(k):
                if ids[i, a] != _NOTHING:
                    rows[count] = ids[i, a]
                    count += 1
            for e in range(first, count):
                weights[e] = 1 / ((kappa + 1) * (count - first))
            lengths[i - begin] = count - starts[i - begin]
