"""How alike two sparse rows are: Jensen–Shannon, Jaccard and cosine, for lists of pairs."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from kinfold.arrays import NOTHING, Float32s, Ints, UInt32s
from kinfold.kernels.jit import kernel, unsigned

_NOTHING = NOTHING

DIVERGENCE, JACCARD, COSINE = 0, 1, 2
"""What `compare_lists` compares by. Rows sum to one for the first two, and have length one for
the last."""


@kernel()
def jensen_shannon(mine: Float32s, columns: UInt32s, values: Float32s, length: int) -> float:
    """1 - the Jensen–Shannon divergence (base 2) of a gathered row and a sparse one, in [0, 1].

    Both sum to one. Only what they share counts: an entry that one of them lacks adds half of
    itself to the divergence.
    """
    shared = 0.0
    for a in range(unsigned(length)):
        x = np.float64(mine[columns[a]])
        if x > 0.0:
            y = np.float64(values[a])
            both = x + y
            shared += both - x * np.log2(2.0 * x / both) - y * np.log2(2.0 * y / both)
    return min(max(0.5 * shared, 0.0), 1.0)


@kernel()
def jaccard(mine: Float32s, columns: UInt32s, values: Float32s, length: int) -> float:
    """Sum min / sum max of a gathered row and a sparse one, in [0, 1]; both sum to one."""
    smaller = 0.0
    for a in range(unsigned(length)):
        smaller += min(np.float64(mine[columns[a]]), np.float64(values[a]))
    return min(max(smaller / (2.0 - smaller), 0.0), 1.0)


@kernel()
def cosine(mine: Float32s, columns: UInt32s, values: Float32s, length: int) -> float:
    """The inner product of a gathered row and a sparse one, in [0, 1]; both have length one."""
    total = 0.0
    for a in range(unsigned(length)):
        total += np.float64(mine[columns[a]]) * np.float64(values[a])
    return min(max(total, 0.0), 1.0)


@kernel(parallel=True)
def compare_lists(
    columns: UInt32s, values: Float32s, length: Ints, lists: UInt32s,
    kind: int, threads: int, out: Float32s,
) -> None:  # fmt: skip
    """Compare row i with the rows ``lists[i]``: (n, w) sparse rows, (n, k) lists, (n, k) out.

    `kind`: `DIVERGENCE`, `JACCARD` or `COSINE`. `NOTHING` gets 0.
    """
    n = columns.shape[0]
    for thread in numba.prange(threads):
        mine = np.zeros(n, dtype=np.float32)
        for i in range(thread, n, threads):
            for a in range(length[i]):
                mine[columns[i, a]] = values[i, a]
            for j in range(lists.shape[1]):
                other = lists[i, j]
                if other == _NOTHING:
                    out[i, j] = 0
                elif kind == DIVERGENCE:
                    out[i, j] = jensen_shannon(mine, columns[other], values[other], length[other])
                elif kind == JACCARD:
                    out[i, j] = jaccard(mine, columns[other], values[other], length[other])
                else:
                    out[i, j] = cosine(mine, columns[other], values[other], length[other])
            for a in range(length[i]):
                mine[columns[i, a]] = 0


@kernel(inline=True)
def log2_of(value: float) -> Any:
    """log2 of a positive float32, within about 1e-7; exact for powers of two.

    Without a call, so that a loop of them is done several at a time. The polynomial is that of
    Cephes (logf).
    """
    bits = np.float32(value).view(np.uint32) - np.uint32(0x3F3504F3)
    exponent = np.int32(bits) >> np.int32(23)
    mantissa = np.uint32((bits & np.uint32(0x007FFFFF)) + np.uint32(0x3F3504F3)).view(np.float32)
    x = mantissa - np.float32(1)
    y = np.float32(7.0376836292e-2)
    y = y * x + np.float32(-1.1514610310e-1)
    y = y * x + np.float32(1.1676998740e-1)
    y = y * x + np.float32(-1.2420140846e-1)
    y = y * x + np.float32(1.4249322787e-1)
    y = y * x + np.float32(-1.6668057665e-1)
    y = y * x + np.float32(2.0000714765e-1)
    y = y * x + np.float32(-2.4999993993e-1)
    y = y * x + np.float32(3.3333331174e-1)
    y = y * x - np.float32(0.5)
    natural = x + (x * x) * y
    return np.float32(exponent) + natural * np.float32(1.4426950408889634)


@kernel()
def divergence_terms(left: Float32s, right: Float32s, count: int) -> None:
    """What either entry of `count` pairs adds to `jensen_shannon`, in its place.

    x + y - x log2(2x / (x + y)) - y log2(2y / (x + y)) is -x log2 p - y log2 q with p and q the
    shares in x + y. The two are added elsewhere: in one expression a product would be fused into
    the sum, and the result depend on which row is whose.
    """
    for a in range(unsigned(count)):
        both = left[a] + right[a]
        # A share can underflow to 0, whose logarithm would be wrong, but is finite.
        left[a] = -left[a] * log2_of(left[a] / both)
        right[a] = -right[a] * log2_of(right[a] / both)


@kernel(parallel=True)
def compare_rows(
    indptr: Ints, columns: UInt32s, values: Float32s, lists: UInt32s,
    kind: int, longest: int, begin: int, end: int, threads: int, out: Float32s,
) -> None:  # fmt: skip
    """As `compare_lists`, rows being flat: for the rows `begin` to `end` of (n, k) lists.

    `longest`: entries of the longest of all rows. Both ways round the result is the same bits.
    """
    n, k = indptr.shape[0] - 1, lists.shape[1]
    for thread in numba.prange(threads):
        mine = np.zeros(n, dtype=np.float32)
        # The shared entries of all pairs of an item, to take their logarithms in one go.
        left = np.empty(k * longest + 1, dtype=np.float32)
        right = np.empty(k * longest + 1, dtype=np.float32)
        stops = np.empty(k, dtype=np.uint64)
        for i in range(begin + thread, end, threads):
            for e in range(unsigned(indptr[i]), unsigned(indptr[i + 1])):
                mine[columns[e]] = values[e]
            count = unsigned(0)
            for a in range(unsigned(k)):
                other = lists[i, a]
                out[i - begin, a] = 0
                if other != _NOTHING:
                    first, last = unsigned(indptr[other]), unsigned(indptr[other + unsigned(1)])
                    if kind == DIVERGENCE:
                        for e in range(first, last):
                            x = mine[columns[e]]
                            left[count] = x
                            right[count] = values[e]
                            count += unsigned(x > 0)
                    elif kind == JACCARD:
                        out[i - begin, a] = jaccard(
                            mine, columns[first:last], values[first:last], last - first
                        )
                    else:
                        out[i - begin, a] = cosine(
                            mine, columns[first:last], values[first:last], last - first
                        )
                stops[a] = count
            if kind == DIVERGENCE:
                divergence_terms(left, right, count)
                t = unsigned(0)
                for a in range(unsigned(k)):
                    total = 0.0
                    while t < stops[a]:
                        total += np.float64(left[t]) + np.float64(right[t])
                        t += unsigned(1)
                    out[i - begin, a] = min(max(0.5 * total, 0.0), 1.0)
            for e in range(unsigned(indptr[i]), unsigned(indptr[i + 1])):
                mine[columns[e]] = 0
