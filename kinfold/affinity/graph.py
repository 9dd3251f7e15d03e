"""The diffusion graph: mutual, union or completed, as a sparse symmetric matrix.

    a_ij = max(sim(i, j), 0) ** gamma * exp(-(rank_ij - 1) / rank_scale)  on edges, a_ii = 0
    S    = D^-1/2 A D^-1/2,                                               d_ii = sum_j a_ij

(Iscen et al., CVPR 2017, without the exponential). rank_ij is the worse of the ranks that i and j
have among each other's neighbours. It is ours, and what makes the choice of k_d matter little: an
edge between items that are each other's first counts more than one at the end of two long lists.
An item without edges keeps a zero row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from kinfold.arrays import NOTHING, AnyArray, Bools, Ints, UInt32s
from kinfold.config import Graph
from kinfold.kernels.ranks import mutual_ranks
from kinfold.metric import power
from kinfold.neighbors import NeighborLists


@dataclass(frozen=True, slots=True)
class AffinityGraph:
    """S with what is worth knowing about it.

    Attributes
    ----------
    matrix:
        (n, n) CSR, float32, symmetric, columns ascending in each row; no stored zeros.
    edges:
        Undirected edges.
    isolated:
        Items without any edge.
    """

    matrix: sp.csr_array
    edges: int
    isolated: int


def build_graph(
    lists: NeighborLists,
    k_d: int,
    kind: Graph,
    min_degree: int,
    gamma: float,
    rank_scale: float = 0.0,
) -> AffinityGraph:
    """Join items to their neighbours and normalise.

    Parameters
    ----------
    lists:
        At least `k_d` wide, similarities at most about 1. Where the two directions
        of an edge disagree (a similarity model may be asymmetric), their mean is taken.
    kind, min_degree:
        ``mutual``, ``union`` or ``completed``; see `BuildConfig`.
    gamma:
        Exponent of the affinity.
    rank_scale:
        How slowly the weight of an edge falls with the rank; 0: ranks do not count.
    """
    chosen = lists.first(k_d)
    ranks = np.empty(chosen.ids.shape, dtype=np.int32)
    mutual_ranks(np.ascontiguousarray(chosen.ids), np.ascontiguousarray(chosen.similarities), ranks)
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


def _symmetric(ids: UInt32s, chosen: Bools, values: AnyArray) -> sp.csr_array:
    """M + Mᵀ, M holding `values` at the chosen entries of (n, k) lists; columns ascending."""
    rows, width = ids.shape
    left = np.repeat(np.arange(rows, dtype=np.int64), width).reshape(rows, width)[chosen]
    right = ids[chosen].astype(np.int64)
    data = np.broadcast_to(values, ids.shape)[chosen].astype(np.float64)
    directed = sp.csr_array((data, (left, right)), shape=(rows, rows))
    result = sp.csr_array(directed + directed.T)
    result.sort_indices()
    return result


def edges_kept(ids: UInt32s, ranks: Ints, usable: Bools, kind: Graph, min_degree: int) -> Bools:
    """Which of the usable entries of (n, k_d) lists become edges, before the other direction.

    i accepts j's invitation when j is in its list, or exactly as close as the last item there.
    That gives ties their due: of fifty duplicates each is mutual with those in its list, although
    no list of ten can hold them all.
    """
    if kind == "union":
        return usable
    mutual: Bools = usable & (ranks <= ids.shape[1])
    if kind == "completed":
        # Degrees count the mutual edges of both directions: with ties an item may be chosen by
        # others that are not in its own list.
        degree = np.diff(_symmetric(ids, mutual, np.ones(1)).indptr)
        one_sided = usable & ~mutual
        rank = np.cumsum(one_sided, axis=1)
        mutual |= one_sided & (rank <= (min_degree - degree)[:, None])
    return mutual


def _normalise(affinity: sp.csr_array) -> AffinityGraph:
    degree = np.asarray(affinity.sum(axis=1)).ravel()
    scale = np.zeros_like(degree)
    np.divide(1.0, np.sqrt(degree), out=scale, where=degree > 0)
    affinity.sort_indices()
    counts = np.diff(affinity.indptr)
    data = affinity.data * np.repeat(scale, counts) * scale[affinity.indices]
    matrix = sp.csr_array(
        (data.astype(np.float32), affinity.indices, affinity.indptr), shape=affinity.shape
    )
    return AffinityGraph(matrix, edges=int(matrix.nnz) // 2, isolated=int((counts == 0).sum()))
