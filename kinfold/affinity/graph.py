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

import numba
import numpy as np
import scipy.sparse as sp

from kinfold.arrays import Float32s, Int64s, UInt32s
from kinfold.config import Graph
from kinfold.kernels.edges import (
    KEPT,
    MUTUAL,
    USABLE,
    complete_edges,
    count_edges,
    fill_edges,
    scale_edges,
    weigh_edges,
    weigh_entries,
)
from kinfold.neighbors import NeighborLists


@dataclass(frozen=True, slots=True)
class AffinityGraph:
    """S with what is worth knowing about it.

    Attributes
    ----------
    matrix:
        (n, n) CSR, float32, symmetric, columns ascending in each row; no stored zeros. `indptr` is
        int64 and `indices` int32, so that kernels take both as unsigned without a copy.
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
    threads: int | None = None,
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
    threads:
        How many may be used; None: as many as Numba is given. No bit depends on it.

    Notes
    -----
    i accepts j's invitation when j is in its list, or exactly as close as the last item there.
    That gives ties their due: of fifty duplicates each is mutual with those in its list, although
    no list of ten can hold them all. An edge's weight is the mean over the lists that name it,
    whichever of them asked for it.

    Beside its result it takes five bytes an entry of the (n, k_d) lists, and those lists' copy
    where they are views of wider ones.
    """
    threads = threads or numba.get_num_threads()
    ids = np.ascontiguousarray(lists.ids[:, :k_d])
    similarities = np.ascontiguousarray(lists.similarities[:, :k_d])
    rows = ids.shape[0]
    weights = np.empty(ids.shape, dtype=np.float32)
    flags = np.empty(ids.shape, dtype=np.uint8)
    weigh_entries(ids, similarities, gamma, rank_scale, threads, weights, flags)
    counts = np.empty(rows, dtype=np.int64)
    bit = USABLE if kind == "union" else MUTUAL
    if kind == "completed":
        # Degrees count the mutual edges of both directions: with ties an item may be chosen by
        # others that are not in its own list.
        count_edges(ids, flags, MUTUAL, threads, counts)
        complete_edges(flags, counts, min_degree, threads)
        bit = KEPT
    count_edges(ids, flags, bit, threads, counts)
    indptr = np.zeros(rows + 1, dtype=np.int64)
    np.cumsum(counts, out=indptr[1:])
    isolated = int((counts == 0).sum())
    indices = np.empty(indptr[-1], dtype=np.uint32)
    fill_edges(ids, flags, bit, indptr, threads, counts, indices)
    data = np.empty(indptr[-1], dtype=np.float32)
    degrees = np.empty(rows, dtype=np.float64)
    weigh_edges(ids, flags, weights, indptr, indices, threads, data, degrees)
    scale = np.zeros(rows, dtype=np.float64)
    np.divide(1.0, np.sqrt(degrees), out=scale, where=degrees > 0)
    scale_edges(indptr, indices, scale, threads, data)
    return AffinityGraph(csr(indptr, indices, data), int(indptr[-1]) // 2, isolated)


def csr(indptr: Int64s, indices: UInt32s, data: Float32s) -> sp.csr_array:
    """A square CSR matrix of these very arrays; SciPy's constructor would copy, or narrow them."""
    rows = indptr.size - 1
    matrix = sp.csr_array((rows, rows), dtype=np.float32)
    matrix.indptr, matrix.indices, matrix.data = indptr, indices.view(np.int32), data
    return matrix
