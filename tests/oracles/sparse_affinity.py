"""The diffusion graph by SciPy's sparse matrices: what the library's kernels are compared with."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from kinfold.arrays import NOTHING
from kinfold.metric import power
from oracles.dense import mutual_rank


def mutual_ranks(ids, values):
    """For every entry the worse of the two ranks, from 1; pair by pair."""
    out = np.full(ids.shape, ids.shape[1] + 1, dtype=np.int32)
    for i, place in np.argwhere(ids != NOTHING):
        out[i, place] = mutual_rank(ids, values, i, place)
    return out


def build_graph(
    lists,
    k_d,
    kind,
    min_degree,
    gamma,
    rank_scale=0.0,
):
    """S of the lists, as CSR of float32."""
    chosen = lists.first(k_d)
    ranks = mutual_ranks(chosen.ids, chosen.similarities)
    affinity = power(chosen.similarities, gamma)
    if rank_scale > 0:
        affinity *= np.exp((1 - ranks) / np.float32(rank_scale))
    usable = (chosen.ids != NOTHING) & (affinity > 0)
    edges = _symmetric(
        chosen.ids, edges_kept(chosen.ids, ranks, usable, kind, min_degree), np.ones(1)
    )
    edges.data[:] = 1.0
    # An edge's weight is the mean over the lists that name it, whichever of them asked for it.
    weights = _symmetric(chosen.ids, usable, affinity)
    weights.data /= _symmetric(chosen.ids, usable, np.ones(1)).data
    return _normalise(sp.csr_array(weights.multiply(edges)))


def _symmetric(ids, chosen, values):
    """M + Mᵀ, M holding `values` at the chosen entries of (n, k) lists; columns ascending."""
    rows, width = ids.shape
    left = np.repeat(np.arange(rows, dtype=np.int64), width).reshape(rows, width)[chosen]
    right = ids[chosen].astype(np.int64)
    data = np.broadcast_to(values, ids.shape)[chosen].astype(np.float64)
    directed = sp.csr_array((data, (left, right)), shape=(rows, rows))
    result = sp.csr_array(directed + directed.T)
    result.sort_indices()
    return result


def edges_kept(ids, ranks, usable, kind, min_degree):
    """Which of the usable entries of (n, k_d) lists become edges, before the other direction.

    i accepts j's invitation when j is in its list, or exactly as close as the last item there.
    That gives ties their due: of fifty duplicates each is mutual with those in its list, although
    no list of ten can hold them all.
    """
    if kind == "union":
        return usable
    mutual = usable & (ranks <= ids.shape[1])
    if kind == "completed":
        # Degrees count the mutual edges of both directions: with ties an item may be chosen by
        # others that are not in its own list.
        degree = np.diff(_symmetric(ids, mutual, np.ones(1)).indptr)
        one_sided = usable & ~mutual
        rank = np.cumsum(one_sided, axis=1)
        mutual |= one_sided & (rank <= (min_degree - degree)[:, None])
    return mutual


def _normalise(affinity):
    degree = np.asarray(affinity.sum(axis=1)).ravel()
    scale = np.zeros_like(degree)
    np.divide(1.0, np.sqrt(degree), out=scale, where=degree > 0)
    affinity.sort_indices()
    counts = np.diff(affinity.indptr)
    data = affinity.data * np.repeat(scale, counts) * scale[affinity.indices]
    return sp.csr_array(
        (data.astype(np.float32), affinity.indices, affinity.indptr), shape=affinity.shape
    )
