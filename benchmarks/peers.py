"""The peer of every ratio: Offline Diffusion as published, in a few lines of SciPy.

Written from the formulas of Yang et al. (AAAI 2019): a mutual kNN graph, S normalised on the whole
graph, and for each row a slice of the T nearest items and a conjugate gradient on it.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import faiss
import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sla

from kinfold.arrays import AnyArray, Float32s


def neighbors(vectors: Float32s, k: int) -> tuple[AnyArray, AnyArray]:
    """The k nearest others of every row by exact search: (n, k) ids and similarities."""
    similarities, ids = faiss.knn(vectors, vectors, k + 1, metric=faiss.METRIC_INNER_PRODUCT)
    return ids[:, 1:], similarities[:, 1:]


def affinity(ids: AnyArray, similarities: AnyArray, k_d: int, gamma: float) -> sp.csr_array:
    """S of the mutual graph."""
    rows = ids.shape[0]
    left = np.repeat(np.arange(rows), k_d)
    weights = np.maximum(similarities[:, :k_d], 0).ravel() ** gamma
    directed = sp.csr_array((weights, (left, ids[:, :k_d].ravel())), shape=(rows, rows))
    mutual = directed.minimum(directed.T).tocsr()
    degree = np.asarray(mutual.sum(axis=1)).ravel()
    scale = np.divide(1, np.sqrt(degree), out=np.zeros(rows), where=degree > 0)
    scaled = sp.diags_array(scale) @ mutual @ sp.diags_array(scale)
    return sp.csr_array(scaled.tocsr().astype(np.float32))


def diffusion_row(
    matrix: sp.csr_array, nearest: AnyArray, row: int, alpha: float, tolerance: float
) -> tuple[AnyArray, AnyArray, bool]:
    """One row of C on the row's item and its nearest: (columns, values, converged)."""
    chosen = np.concatenate(([row], nearest))
    local = matrix[chosen][:, chosen]
    system = sp.eye_array(chosen.size, dtype=np.float32, format="csr") - alpha * local
    start = np.zeros(chosen.size, dtype=np.float32)
    start[0] = 1 - alpha
    values, status = sla.cg(system, start, rtol=tolerance, atol=0.0, maxiter=1000)
    return chosen, values, status == 0


def diffusion_rows(
    matrix: sp.csr_array,
    ids: AnyArray,
    rows: AnyArray,
    alpha: float,
    tolerance: float,
    threads: int,
) -> list[tuple[AnyArray, AnyArray, bool]]:
    """`diffusion_row` for many rows, spread over threads."""
    with ThreadPoolExecutor(threads) as pool:
        return list(
            pool.map(lambda row: diffusion_row(matrix, ids[row], int(row), alpha, tolerance), rows)
        )
