"""Neighbor-guided Similarity Smoothing (NSS) of CAS, row by row (Luo et al., ICML 2024)."""

from __future__ import annotations

import numba
import numpy as np

from kinfold.arrays import Float32s, Floats, Ints, UInt32s
from kinfold.kernels.jit import kernel, unsigned


@kernel(parallel=True)
def smooth_rows(
    near_indptr: Ints, near: UInt32s,
    walk_indptr: Ints, walk: UInt32s, weights: Float32s, degrees: Floats,
    indptr: Ints, columns: UInt32s, values: Floats,
    beta: float, longest: int, begin: int, end: int, threads: int, out: Float32s,
) -> None:  # fmt: skip
    """Make each row of F agree with what the item's confident neighbours see.

        w_j  = a on xi, min(mean_{l in xi} P_lj, a) elsewhere;  a = mean of P over xi × xi
        F^_j = [F_j (a w_j + 2 beta) + a² mean(F) - a mean(F w)] / (a² + 2 beta)

    P is the square of D^-1 W; it is never formed: what xi sees of j is the mean walk row walked
    once more, and W being symmetric, that is a product with row j of W, for the few j in question.
    Means run over the cluster, the pattern of the row. Rows are L1-normalised.

    Parameters
    ----------
    near_indptr, near:
        xi: the k1-reciprocal set of every item, inside its cluster; ascending.
    walk_indptr, walk, weights, degrees:
        W, CSR, symmetric, and its row sums.
    indptr, columns, values:
        F on the clusters, CSR.
    longest:
        Entries of the block's longest row of F.
    out:
        The result for the rows `begin` to `end`, on the same pattern.
    """
    n = indptr.shape[0] - 1
    base = unsigned(indptr[begin])
    for thread in numba.prange(threads):
        mean_walk = np.zeros(n, dtype=np.float64)
        seen = np.empty(longest, dtype=np.float64)
        confident = np.empty(longest, dtype=np.bool_)
        for i in range(begin + thread, end, threads):
            xi, xi_end = unsigned(near_indptr[i]), unsigned(near_indptr[i + 1])
            share = 1.0 / np.float64(xi_end - xi)
            for x in range(xi, xi_end):
                member = near[x]
                factor = share / degrees[member]
                for e in range(
                    unsigned(walk_indptr[member]), unsigned(walk_indptr[member + unsigned(1)])
                ):
                    mean_walk[walk[e]] += factor * (weights[e] / degrees[walk[e]])
            start, stop = unsigned(indptr[i]), unsigned(indptr[i + 1])
            size = stop - start
            anchor = 0.0
            place = xi
            for a in range(size):
                j = columns[start + a]
                reached = 0.0
                for e in range(unsigned(walk_indptr[j]), unsigned(walk_indptr[j + unsigned(1)])):
                    reached += mean_walk[walk[e]] * weights[e]
                seen[a] = reached
                confident[a] = place < xi_end and near[place] == j
                if confident[a]:
                    anchor += reached * share
                    place += unsigned(1)
            mean, weighted = 0.0, 0.0
            for a in range(size):
                weight = anchor if confident[a] else min(seen[a], anchor)
                mean += values[start + a] / np.float64(size)
                weighted += values[start + a] * weight / np.float64(size)
                seen[a] = weight
            total = 0.0
            for a in range(size):
                smooth = (
                    values[start + a] * (anchor * seen[a] + 2 * beta)
                    + anchor * anchor * mean
                    - anchor * weighted
                ) / (anchor * anchor + 2 * beta)
                seen[a] = max(smooth, 0.0)
                total += seen[a]
            for a in range(size):
                out[start - base + a] = seen[a] / total
            for x in range(xi, xi_end):
                member = near[x]
                for e in range(
                    unsigned(walk_indptr[member]), unsigned(walk_indptr[member + unsigned(1)])
                ):
                    mean_walk[walk[e]] = 0.0
