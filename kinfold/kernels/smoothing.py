"""Neighbor-guided Similarity Smoothing (NSS) of CAS, row by row (Luo et al., ICML 2024)."""

from __future__ import annotations

import numba
import numpy as np

from kinfold.arrays import Floats, Ints
from kinfold.kernels.jit import kernel
from kinfold.kernels.sparse import add_row, clear


@kernel(parallel=True)
def smooth_rows(
    near_indptr: Ints, near_indices: Ints,
    walk_indptr: Ints, walk_indices: Ints, walk_values: Floats,
    indptr: Ints, indices: Ints, values: Floats,
    beta: float, threads: int, out: Floats,
) -> None:  # fmt: skip
    """Make each row of F agree with what the item's confident neighbours see.

        w_j  = a on xi, min(mean_{l in xi} P_lj, a) elsewhere;  a = mean of P over xi × xi
        F^_j = [F_j (a w_j + 2 beta) + a² mean(F) - a mean(F w)] / (a² + 2 beta)

    P is the square of the row-normalised walk; it is never formed: its mean row is the mean walk
    row walked once more. Means run over the cluster, the pattern of the row. Rows are
    L1-normalised.

    Parameters
    ----------
    near_indptr, near_indices:
        xi: the k1-reciprocal set of every item, inside its cluster.
    walk_indptr, walk_indices, walk_values:
        W with rows that sum to one, CSR.
    indptr, indices, values:
        F on the clusters, CSR; `out` takes the result on the same pattern.
    """
    n = indptr.shape[0] - 1
    for thread in numba.prange(threads):
        first = np.zeros(n, dtype=values.dtype)
        second = np.zeros(n, dtype=values.dtype)
        first_touched = np.empty(n + 1, dtype=np.uint32)
        second_touched = np.empty(n + 1, dtype=np.uint32)
        near = np.zeros(n, dtype=np.bool_)
        for i in range(thread, n, threads):
            members = near_indptr[i + 1] - near_indptr[i]
            count = 0
            for e in range(near_indptr[i], near_indptr[i + 1]):
                near[near_indices[e]] = True
                count = add_row(
                    walk_indptr, walk_indices, walk_values, near_indices[e], 1.0 / members,
                    first, first_touched, count,
                )  # fmt: skip
            reached = 0
            for t in range(count):
                reached = add_row(
                    walk_indptr, walk_indices, walk_values, first_touched[t],
                    first[first_touched[t]], second, second_touched, reached,
                )  # fmt: skip
            anchor = 0.0
            for e in range(near_indptr[i], near_indptr[i + 1]):
                anchor += second[near_indices[e]]
            anchor /= members
            size = indptr[i + 1] - indptr[i]
            mean, weighted = 0.0, 0.0
            for e in range(indptr[i], indptr[i + 1]):
                j = indices[e]
                weight = anchor if near[j] else min(second[j], anchor)
                mean += values[e] / size
                weighted += values[e] * weight / size
            total = 0.0
            for e in range(indptr[i], indptr[i + 1]):
                j = indices[e]
                weight = anchor if near[j] else min(second[j], anchor)
                smooth = (
                    values[e] * (anchor * weight + 2 * beta)
                    + anchor * anchor * mean
                    - anchor * weighted
                ) / (anchor * anchor + 2 * beta)
                out[e] = max(smooth, 0.0)
                total += out[e]
            for e in range(indptr[i], indptr[i + 1]):
                out[e] /= total
            for e in range(near_indptr[i], near_indptr[i + 1]):
                near[near_indices[e]] = False
            clear(first, first_touched, count)
            clear(second, second_touched, reached)
