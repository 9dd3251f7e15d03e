"""Sparse rows of bounded length, made by products and compared in pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from kinfold.arrays import NOTHING, AnyArray, Float32s, Int64s, UInt32s, as_unsigned
from kinfold.kernels.overlap import compare_lists
from kinfold.kernels.sparse import chained_rows
from kinfold.neighbors import NeighborLists
from kinfold.validate import row_chunks


@dataclass(frozen=True, slots=True)
class Rows:
    """n sparse rows of at most w entries.

    Attributes
    ----------
    columns, values:
        (n, w) uint32, ascending in each row, and float32.
    length:
        (n,) int64: entries of each row; what is behind them means nothing.
    """

    columns: UInt32s
    values: Float32s
    length: Int64s

    @classmethod
    def product(
        cls,
        first: sp.csr_array,
        second: sp.csr_array,
        third: sp.csr_array,
        keep: int,
        threads: int,
        *,
        normalise: bool,
        between: int | None = None,
    ) -> Rows:
        """The `keep` largest entries of every row of first @ second @ third (values positive).

        `between`: how many entries of a row of first @ second go on, the largest; None: all.
        """
        rows = third.shape[0]
        width = min(keep, rows)
        made = cls(
            np.empty((rows, width), dtype=np.uint32),
            np.empty((rows, width), dtype=np.float32),
            np.empty(rows, dtype=np.int64),
        )
        chained_rows(
            *arrays_of(first), *arrays_of(second), *arrays_of(third),
            min(between or rows, rows), width, normalise, threads,
            made.columns, made.values, made.length,
        )  # fmt: skip
        return made

    def matrix(self) -> sp.csr_array:
        """The rows as an (n, n) CSR matrix."""
        rows, width = self.columns.shape
        indptr = np.concatenate(([0], np.cumsum(self.length)))
        columns = np.empty(indptr[-1], dtype=np.int32 if indptr[-1] < 2**31 else np.int64)
        values = np.empty(indptr[-1], dtype=np.float32)
        for piece in row_chunks(rows, width):
            inside = np.arange(width) < self.length[piece, None]
            part = slice(indptr[piece.start], indptr[piece.stop])
            columns[part] = self.columns[piece][inside]
            values[part] = self.values[piece][inside]
        return sp.csr_array((values, columns, indptr), shape=(rows, rows))

    def unit(self) -> Rows:
        """Every row scaled to length one."""
        rows, width = self.values.shape
        scaled = np.empty((rows, width), dtype=np.float32)
        for piece in row_chunks(rows, width):
            inside = np.arange(width) < self.length[piece, None]
            values = np.where(inside, self.values[piece], 0).astype(np.float64)
            norms = np.sqrt((values**2).sum(axis=1, keepdims=True))
            scaled[piece] = values / np.maximum(norms, 1e-300)
        return Rows(self.columns, scaled, self.length)

    def compare(self, lists: UInt32s, kind: int, threads: int) -> Float32s:
        """Row i with each row of ``lists[i]``, in [0, 1]; see `kernels.overlap`."""
        out = np.empty(lists.shape, dtype=np.float32)
        compare_lists(self.columns, self.values, self.length, lists, kind, threads, out)
        return out


def arrays_of(matrix: sp.csr_array) -> tuple[AnyArray, AnyArray, AnyArray]:
    """(indptr, indices, values) as kernels take them: unsigned, unsigned, float32."""
    return (*index_arrays(matrix), matrix.data.astype(np.float32, copy=False))


def index_arrays(matrix: sp.csr_array) -> tuple[AnyArray, AnyArray]:
    """(indptr, indices) as kernels take them: unsigned, without a copy where they are as wide."""
    return as_unsigned(matrix.indptr, 8), as_unsigned(matrix.indices, 4)


def identity(rows: int) -> sp.csr_array:
    """The (n, n) identity."""
    return sp.eye_array(rows, dtype=np.float32, format="csr")


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
