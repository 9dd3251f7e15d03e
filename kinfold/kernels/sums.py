"""Weighted sums of sparse rows, for the rows of a block."""

from __future__ import annotations

import numba
import numpy as np

from kinfold.arrays import Float32s, Floats, Int64s, Ints, UInt32s
from kinfold.kernels.jit import kernel, signed, unsigned
from kinfold.kernels.sort import sort_columns
from kinfold.kernels.sparse import BUCKETS, add_row, clear, largest


@kernel(parallel=True)
def sum_bounds(
    summed_indptr: Ints, summed: UInt32s, indptr: Ints, threads: int, bounds: Int64s
) -> None:
    """How many entries a sum cannot have more than."""
    m = summed_indptr.shape[0] - 1
    for thread in numba.prange(threads):
        for r in range(thread, m, threads):
            most = signed(0)
            for e in range(unsigned(summed_indptr[r]), unsigned(summed_indptr[r + 1])):
                j = unsigned(summed[e])
                most += signed(indptr[j + unsigned(1)] - indptr[j])
            bounds[r] = most


@kernel(parallel=True)
def sum_rows(
    summed_indptr: Ints, summed: UInt32s, weights: Floats,
    indptr: Ints, indices: UInt32s, values: Float32s,
    keep: int, normalise: bool, threads: int,
    starts: Ints, columns: UInt32s, out: Float32s, lengths: Int64s,
) -> None:  # fmt: skip
    """The `keep` largest entries of sums of rows of an (n, n) CSR F, by ascending column.

    Row r is the sum of weights[e] F[summed[e]], e from ``summed_indptr[r]`` to the next; all are
    positive. `normalise`: it is scaled to sum to one. It is written from ``starts[r]`` on, where
    there must be room for it up to ``starts[r + 1]``.
    """
    n, m = indptr.shape[0] - 1, summed_indptr.shape[0] - 1
    for thread in numba.prange(threads):
        total = np.zeros(n, dtype=np.float32)
        touched = np.empty(n + 1, dtype=np.uint32)
        ordered = np.empty(n + 1, dtype=np.float32)
        doubtful = np.empty(n + 1, dtype=np.float32)
        buckets = np.empty(BUCKETS, dtype=np.uint32)
        spare = np.empty(n, dtype=np.uint32)
        spare_values = np.empty(n, dtype=np.float32)
        histogram = np.empty(256, dtype=np.uint32)
        for r in range(thread, m, threads):
            count = signed(0)
            for e in range(unsigned(summed_indptr[r]), unsigned(summed_indptr[r + 1])):
                count = add_row(
                    indptr, indices, values, summed[e], weights[e], total, touched, count
                )
            mine = columns[starts[r] : starts[r + 1]]
            given = out[starts[r] : starts[r + 1]]
            kept = largest(total, touched, count, keep, ordered, doubtful, buckets, mine, given)
            clear(total, touched, count)
            if normalise:
                mass = 0.0
                for a in range(kept):
                    mass += given[a]
                for a in range(kept):
                    given[a] /= max(mass, np.float32(1e-30))
            sort_columns(mine, given, kept, n - 1, spare, spare_values, histogram)
            lengths[r] = kept
