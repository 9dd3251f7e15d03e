"""k-reciprocal sets and their expansion, shared by k-reciprocal encoding and CAS."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from kinfold.arrays import NOTHING
from kinfold.kernels.sparse import confident
from kinfold.neighbors import NeighborLists
from kinfold.similarity.rows import index_arrays

EXPANSION_SHARE = 2.0 / 3.0


def pattern(lists: NeighborLists, k: int) -> sp.csr_array:
    """(n, n) CSR of ones: N(i, k) and i itself."""
    ids = lists.ids[:, :k]
    rows = ids.shape[0]
    found = ids != NOTHING
    left = np.repeat(np.arange(rows), ids.shape[1]).reshape(ids.shape)[found]
    right = ids[found].astype(np.int64)
    own = np.arange(rows)
    left, right = np.concatenate([left, own]), np.concatenate([right, own])
    return sp.csr_array((np.ones(left.size, np.float32), (left, right)), shape=(rows, rows))


def reciprocal_sets(lists: NeighborLists, k: int) -> sp.csr_array:
    """R(i, k) with i itself, as (n, n) CSR of ones: both are among the other's k nearest."""
    near = pattern(lists, k)
    return sorted_ones(near.multiply(near.T))


def expanded_sets(lists: NeighborLists, k: int, threads: int) -> tuple[sp.csr_array, sp.csr_array]:
    """(R(i, k), R*(i, k)): the sets, and those grown by their confident members' own sets.

    R*(i) adds R(j, k/2) of every j in R(i) for which |R(j, k/2) ∩ R(i)| > 2/3 |R(j, k/2)|
    (Zhong et al., CVPR 2017).
    """
    sets = reciprocal_sets(lists, k)
    half = reciprocal_sets(lists, max(1, round(k / 2)))
    trusted = np.empty(sets.nnz, dtype=np.bool_)
    confident(*index_arrays(sets), *index_arrays(half), EXPANSION_SHARE, threads, trusted)
    chosen = sets.copy()
    chosen.data = trusted.astype(np.float32)
    chosen.eliminate_zeros()
    return sets, sorted_ones(sets + chosen @ half)


def sorted_ones(matrix: sp.csr_array) -> sp.csr_array:
    """The pattern of a matrix: ones, columns ascending."""
    result = sp.csr_array(matrix)
    result.sum_duplicates()
    result.eliminate_zeros()
    result.sort_indices()
    result.data = np.ones(result.nnz, dtype=np.float32)
    return result
