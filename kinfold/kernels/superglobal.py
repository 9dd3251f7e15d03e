"""SuperGlobal's refinement of one item's neighbour list (Shao et al., ICCV 2023)."""

from __future__ import annotations

import numba
import numpy as np

from kinfold.arrays import NOTHING, Float32s, UInt32s
from kinfold.kernels.jit import kernel

_NOTHING = NOTHING


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
    for thread in numba.prange(threads):
        member = np.empty((width + 1, d), dtype=np.float32)
        weight = np.zeros((width + 1, width + 1), dtype=np.float32)
        for i in range(thread, n, threads):
            size = 1
            member[0] = vectors[i]
            for j in range(width):
                if lists[i, j] != _NOTHING:
                    member[size] = vectors[lists[i, j]]
                    size += 1
            inside = member[:size]
            product = np.dot(inside, inside.T)
            near = min(neighbors, size - 1)
            sums = np.ones(size, dtype=np.float32)
            for m in range(size):
                weight[m, :size] = 0
                weight[m, m] = 1
                taken = 0
                for other in np.argsort(-product[m], kind="mergesort"):
                    if taken == near:
                        break
                    if other != m:
                        value = np.float32(beta) * max(product[m, other], np.float32(0))
                        weight[m, other] = value
                        sums[m] += value
                        taken += 1
            mixed = weight[:size, :size]
            first = np.dot(np.ascontiguousarray(mixed), np.ascontiguousarray(product[:, 0])) / sums
            expanded = np.full(d, -np.inf, dtype=np.float32)
            best = np.argsort(-first, kind="mergesort")[: near + 1]
            for m in best:
                refined = np.zeros(d, dtype=np.float32)
                for other in range(size):
                    if mixed[m, other] > 0:
                        refined += mixed[m, other] * inside[other]
                refined /= sums[m]
                expanded = np.maximum(expanded, refined)
            seen = np.dot(inside, expanded)
            second = np.dot(np.ascontiguousarray(mixed), seen) / sums
            length = np.sqrt(np.dot(expanded, expanded))
            place = 1
            for j in range(width):
                if lists[i, j] == _NOTHING:
                    out[i, j] = 0
                else:
                    score = (first[place] + second[place]) / (1 + length)
                    out[i, j] = min(max(score, np.float32(0)), np.float32(1))
                    place += 1
