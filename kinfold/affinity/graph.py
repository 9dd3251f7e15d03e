"""The diffusion graph: mutual, union or completed, as a sparse symmetric matrix.

    a_ij = max(sim(i, j), 0) ** gamma  on the graph's edges, a_ii = 0
    S    = D^-1/2 A D^-1/2,            d_ii = sum_j a_ij

(Iscen et al., CVPR 2017). An item without edges keeps a zero row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from kinfold.arrays import NOTHING, AnyArray, Bools
from kinfold.config import Graph
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
    lists: NeighborLists, k_d: int, kind: Graph, min_degree: int, gamma: float
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
    """
    chosen = lists.first(k_d)
    rows, width = chosen.ids.shape
    keep = edges_kept(chosen, kind, min_degree)
    affinity = power(chosen.similarities, gamma)
    keep &= affinity > 0
    left = np.repeat(np.arange(rows, dtype=np.int64), width).reshape(rows, width)[keep]
    right = chosen.ids[keep].astype(np.int64)
    weights = affinity[keep].astype(np.float64)
    directed = sp.csr_array((weights, (left, right)), shape=(rows, rows))
    present = sp.csr_array((np.ones_like(weights), (left, right)), shape=(rows, rows))
    both = (directed + directed.T).tocsr()
    both.data /= (present + present.T).tocsr().data
    return _normalise(both)


def edges_kept(lists: NeighborLists, kind: Graph, min_degree: int) -> Bools:
    """Which entries of (n, k_d) lists become edges, before the other direction is added.

    i accepts j's invitation when j is as close as i's own k_d-th neighbour. Stated by threshold
    and not by membership, the test gives ties their due: of fifty duplicates each is mutual with
    those in its list, although no list of ten can hold them all.
    """
    ids, values = lists.ids, lists.similarities
    found = ids != NOTHING
    if kind == "union":
        result: Bools = found
        return result
    thresholds = values[:, -1]
    safe = np.where(found, ids, 0)
    mutual: Bools = found & (values >= thresholds[safe])
    if kind == "completed":
        # Degrees count the mutual edges of both directions: with ties an item may be chosen by
        # others that are not in its own list.
        degree = _degrees(mutual, ids)
        one_sided = found & ~mutual
        rank = np.cumsum(one_sided, axis=1)
        mutual |= one_sided & (rank <= (min_degree - degree)[:, None])
    return mutual


def _degrees(edges: Bools, ids: AnyArray) -> AnyArray:
    """Undirected degree of every item, an edge counted once whichever side lists it."""
    rows, width = ids.shape
    left = np.repeat(np.arange(rows, dtype=np.int64), width).reshape(rows, width)[edges]
    right = ids[edges].astype(np.int64)
    pattern = sp.csr_array((np.ones(left.size, dtype=np.int8), (left, right)), shape=(rows, rows))
    degrees: AnyArray = np.diff((pattern + pattern.T).tocsr().indptr)
    return degrees


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
