"""What the methods share that hold gallery and queries in one graph of N = n + m items."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp

from kinfold.arrays import AnyArray, Float32s, Int64s
from kinfold.evaluate.baselines.registry import Prepared, refuse_large
from kinfold.validate import row_chunks


class Together(Prepared):
    """A gallery that waits for its queries: nothing can be done before they are known.

    Parameters
    ----------
    gallery:
        (n, d) float32, rows of length one; kept.
    title:
        Of the method, for messages.
    rerank:
        Takes (N, d) float32 items, the gallery first, and n; gives (m, n) scores.

    Raises
    ------
    InputError
        If there are more than `DENSE_ROWS` items.
    """

    def __init__(
        self, gallery: Float32s, title: str, rerank: Callable[[Float32s, int], Float32s]
    ) -> None:
        refuse_large(len(gallery), title)
        self._gallery = gallery
        self._title = title
        self._rerank = rerank

    def scores(self, queries: Float32s) -> Float32s:
        """See `Prepared.scores`."""
        n, m = len(self._gallery), len(queries)
        refuse_large(n + m, self._title)
        if m == 0:
            return np.empty((0, n), dtype=np.float32)
        return self._rerank(np.concatenate([self._gallery, queries]), n)


def squared_distances(items: Float32s) -> Float32s:
    """(N, N) float32: 2 - 2 x_i · x_j, never negative, exactly 0 on the diagonal."""
    distances: Float32s = items @ items.T
    distances *= -2
    distances += 2
    np.maximum(distances, 0, out=distances)
    np.fill_diagonal(distances, 0)
    return distances


def scale_rows(distances: Float32s) -> None:
    """Divide every row by its largest value, in place; rows of zeros stay."""
    largest = distances.max(axis=1, keepdims=True)
    distances /= np.where(largest > 0, largest, np.float32(1))


def nearest(distances: Float32s, k: int) -> Int64s:
    """The k nearest items of every item, itself always first.

    Parameters
    ----------
    distances:
        (N, N) float32, none negative. Not changed.
    k:
        1 <= k, the item itself counted; more than N means N.

    Returns
    -------
    (N, min(k, N)) int64, nearest first, equal distances in the order of their positions.
    """
    items = len(distances)
    width = min(k, items)
    found = np.empty((items, width), dtype=np.int64)
    for rows in row_chunks(items, items):
        block = distances[rows].copy()
        # By its number, not by its distance: a duplicate is as near.
        block[np.arange(len(block)), np.arange(rows.start, rows.stop)] = -1
        last = np.partition(block, width - 1, axis=1)[:, width - 1 : width]
        chosen = block < last
        tied = block == last
        missing = width - chosen.sum(axis=1, keepdims=True)
        chosen |= tied & (np.cumsum(tied, axis=1) <= missing)
        columns = np.nonzero(chosen)[1].reshape(-1, width)
        order = np.argsort(np.take_along_axis(block, columns, axis=1), axis=1, kind="stable")
        found[rows] = np.take_along_axis(columns, order, axis=1)
    return found


def sparse_rows(lists: Int64s, values: AnyArray | float) -> sp.csr_array:
    """(N, N) CSR float32 with ``values`` (broadcast to (N, k)) at the entries of (N, k) lists."""
    items, width = lists.shape
    data = np.broadcast_to(values, lists.shape).astype(np.float32).ravel()
    indptr = np.arange(0, items * width + 1, width)
    matrix = sp.csr_array((data, lists.flatten(), indptr), shape=(items, items))
    matrix.sort_indices()
    return matrix


def reciprocal(near: Int64s, k: int) -> sp.csr_array:
    """R(i, k): CSR of ones where each is among the other's k nearest, the item itself counted."""
    found = sparse_rows(near[:, :k], 1)
    return sp.csr_array(found.multiply(found.T))


def expanded(near: Int64s, k: int, half: int) -> sp.csr_array:
    """R*(i): R(i, k), and R(j, half) of its members j that lie in it by more than two thirds.

    Zhong et al., CVPR 2017, equation 3; k and half count the item itself. Returns CSR of ones,
    columns ascending.
    """
    sets, halves = reciprocal(near, k), reciprocal(near, half)
    size = np.asarray(halves.sum(axis=1)).ravel()
    # (i, j): how many of R(j, half) are in R(i, k); the item j itself always is, so none is lost.
    trusted = sp.csr_array((sets @ halves.T).multiply(sets))
    trusted.data = (3 * trusted.data > 2 * size[trusted.indices]).astype(np.float32)
    grown = sp.csr_array(sets + trusted @ halves)
    grown.eliminate_zeros()
    grown.sort_indices()
    grown.data[:] = 1
    return grown


def row_numbers(matrix: sp.csr_array) -> AnyArray:
    """(nnz,) the row of every stored entry."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def unit_rows(matrix: sp.csr_array) -> sp.csr_array:
    """Rows divided by their sums; rows of sum 0 stay. Float32."""
    sums = np.asarray(matrix.sum(axis=1)).ravel()
    scale = np.divide(1, sums, out=np.zeros_like(sums), where=sums != 0)
    return sp.csr_array(sp.diags_array(scale) @ matrix, dtype=np.float32)


def symmetric_transition(weights: sp.csr_array) -> sp.csr_array:
    """S = D^-1/2 W D^-1/2 of a symmetric W, float32; a row without weights stays 0."""
    degree = np.asarray(weights.sum(axis=1, dtype=np.float64)).ravel()
    root = np.divide(1, np.sqrt(degree), out=np.zeros_like(degree), where=degree > 0)
    scale = sp.diags_array(root)
    return sp.csr_array(scale @ weights @ scale, dtype=np.float32)
