"""SuperGlobal's refinement of one item's neighbour list (Shao et al., ICCV 2023)."""

from __future__ import annotations

import numba
import numpy as np

from kinfold.arrays import NOTHING, Float32s, Ints, UInt32s
from kinfold.kernels.jit import kernel, unsigned

_NOTHING = NOTHING


@kernel()
def products(members: Float32s, size: int, out: Float32s) -> None:
    """Inner products of the first `size` members, (size, size) in `out`.

    Not by BLAS: that would start threads of its own inside each of ours.
    """
    for m in range(unsigned(size)):
        for other in range(m + unsigned(1)):
            out[m, other] = inner(members[m], members[other])
            out[other, m] = out[m, other]


@kernel(reassociate=True)
def inner(left: Float32s, right: Float32s) -> float:
    """The inner product."""
    total = np.float32(0)
    for a in range(unsigned(left.shape[0])):
        total += left[a] * right[a]
    return float(total)


@kernel()
def best_of(values: Float32s, size: int, without: int, count: int, out: Ints) -> None:
    """The places of the `count` largest of ``values[:size]``, one place left out, ties by place."""
    kept = 0
    for place in range(size):
        if place == without or count == 0:
            continue
        if kept == count and values[place] <= values[out[kept - 1]]:
            continue
        kept = min(kept + 1, count)
        a = kept - 1
        while a > 0 and values[out[a - 1]] < values[place]:
            out[a] = out[a - 1]
            a -= 1
        out[a] = place


@kernel()
def mixed(own: float, values: Float32s, others: Ints, weights: Float32s, scale: float) -> float:
    """(own + sum of weight * value of the others) / scale."""
    total = own
    for a in range(others.shape[0]):
        total += weights[a] * values[others[a]]
    return total / scale


@kernel(parallel=True)
def refine_lists(
    vectors: Float32s, lists: UInt32s, neighbors: int, beta: float, threads: int, out: Float32s
) -> None:
    """Re-score (n, k) lists of items by SuperGlobal; `out` (n, k) in [0, 1], 0 for `NOTHING`.

    The refined vectors are never formed but for the best few: x'_m · q needs only products
    between members, which one small matrix holds.
    """
    n, width = lists.shape
    d = vectors.shape[1]
    most = min(neighbors, width)
    for thread in numba.prange(threads):
        member = np.empty((width + 1, d), dtype=np.float32)
        product = np.empty((width + 1, width + 1), dtype=np.float32)
        others = np.empty((width + 1, most), dtype=np.int64)
        weights = np.empty((width + 1, most), dtype=np.float32)
        sums = np.empty(width + 1, dtype=np.float32)
        first = np.empty(width + 1, dtype=np.float32)
        seen = np.empty(width + 1, dtype=np.float32)
        best = np.empty(most + 1, dtype=np.int64)
        refined = np.empty(d, dtype=np.float32)
        expanded = np.empty(d, dtype=np.float32)
        for i in range(thread, n, threads):
            size = 1
            member[0] = vectors[i]
            for j in range(width):
                if lists[i, j] != _NOTHING:
                    member[size] = vectors[lists[i, j]]
                    size += 1
            products(member, size, product)
            near = min(neighbors, size - 1)
            for m in range(size):
                best_of(product[m], size, m, near, others[m])
                sums[m] = 1
                for a in range(near):
                    value = np.float32(beta) * max(product[m, others[m, a]], np.float32(0))
                    weights[m, a] = value
                    sums[m] += value
                first[m] = mixed(
                    product[m, 0], product[0], others[m, :near], weights[m, :near], sums[m]
                )
            best_of(first, size, size, near + 1, best)
            expanded[:] = -np.inf
            for b in range(near + 1):
                m = best[b]
                refined[:] = member[m]
                for a in range(near):
                    refined += weights[m, a] * member[others[m, a]]
                for c in range(d):
                    expanded[c] = max(expanded[c], refined[c] / sums[m])
            for m in range(size):
                seen[m] = inner(member[m], expanded)
            length = np.sqrt(inner(expanded, expanded))
            place = 1
            for j in range(width):
                if lists[i, j] == _NOTHING:
                    out[i, j] = 0
                    continue
                second = mixed(
                    seen[place], seen, others[place, :near], weights[place, :near], sums[place]
                )
                score = (first[place] + second) / (1 + length)
                out[i, j] = min(max(score, np.float32(0)), np.float32(1))
                place += 1
