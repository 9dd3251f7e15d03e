"""Rows of C, block by block.

    c_i = (1 - alpha) (I - alpha S)^-1 e_i   on a truncated set T_i

(Yang et al., "Efficient Image Retrieval via Decoupling Diffusion into Online and Offline
Processing", AAAI 2019.) An item without edges gets c_i = e_i.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp

from kinfold.arrays import NOTHING, Floats, Int64s, Ints, UInt32s, as_unsigned
from kinfold.kernels.rows import diffuse_rows, pack_rows
from kinfold.progress import Progress, ProgressCallback, silent

WALK_STEPS = 4
"""Steps of the graph-guided walk once it has to drop nodes. Eight find a set that is better by 0.1
points of mAP at most, and take twice the time of a row."""

BLOCK_VALUES = 1 << 22
"""Values held in one go; bounds the memory of the buffers to about 200 MB."""

SLICE_ROWS = 2048
"""Rows computed in one go: how often progress is reported, and an interrupt heard, about twice a
second. No result depends on it."""


@dataclass(frozen=True, slots=True)
class RowBlock:
    """Consecutive rows of C as CSR.

    Attributes
    ----------
    first_row:
        Which row of C the block starts with.
    indptr:
        (rows + 1,) int64, from 0.
    columns, values:
        (stored,) uint32 gallery positions, ascending in each row, and their values.
    diagonal:
        (rows,) C_ii of each row.
    """

    first_row: int
    indptr: Int64s
    columns: UInt32s
    values: Floats
    diagonal: Floats


@dataclass(slots=True)
class DiffusionReport:
    """What happened while the rows were computed; filled as blocks are taken.

    Attributes
    ----------
    rows, stored:
        Rows and values of C so far.
    not_converged:
        Rows whose residual stayed above the tolerance, with the first few by number.
    iterations:
        Conjugate gradient iterations in all.
    """

    rows: int = 0
    stored: int = 0
    not_converged: int = 0
    first_not_converged: list[int] = field(default_factory=list)
    iterations: int = 0
    longest_row: int = 0

    def add(self, first_row: int, lengths: Int64s, iterations: Int64s, converged: Int64s) -> None:
        """Take in one block."""
        failed = np.flatnonzero(~converged)
        self.rows += lengths.size
        self.stored += int(lengths.sum())
        self.iterations += int(iterations.sum())
        self.not_converged += failed.size
        room = 10 - len(self.first_not_converged)
        self.first_not_converged += [first_row + int(row) for row in failed[:room]]
        self.longest_row = max(self.longest_row, int(lengths.max()))


def diffuse(
    matrix: sp.csr_array,
    *,
    alpha: float,
    max_row: int,
    mass: float,
    tolerance: float,
    max_iterations: int,
    threads: int,
    rows: Ints | None = None,
    nearest: UInt32s | None = None,
    report: DiffusionReport | None = None,
    progress: ProgressCallback = silent,
) -> Iterator[RowBlock]:
    """Compute rows of C, one block after the other.

    The result does not depend on `threads`: every row is computed by one thread alone.

    Parameters
    ----------
    matrix:
        S: (n, n) CSR, symmetric, columns ascending; float32, or float64 for reference.
    alpha, max_row, mass, tolerance, max_iterations:
        See `BuildConfig`.
    rows:
        (m,) the rows wanted, in this order; None: all n. A block's `first_row` counts in it.
    nearest:
        (m, w) for each of them its neighbours by descending similarity (`NOTHING` fills up):
        T_i is then i and its max_row - 1 nearest, as published. None: T_i follows the graph.
    report:
        Filled while blocks are taken.
    """
    wanted = np.arange(matrix.shape[0]) if rows is None else np.asarray(rows)
    numbers = wanted.astype(np.uint32)
    cap = min(max_row, matrix.shape[0])
    report = report if report is not None else DiffusionReport()
    indptr, indices = as_unsigned(matrix.indptr, 8), as_unsigned(matrix.indices, 4)
    step = max(1, min(numbers.size, BLOCK_VALUES // cap))
    columns = np.empty((step, cap), dtype=np.uint32)
    values = np.empty((step, cap), dtype=matrix.dtype)
    diagonal = np.empty(step, dtype=matrix.dtype)
    lengths = np.empty(step, dtype=np.int64)
    iterations = np.empty(step, dtype=np.int64)
    converged = np.empty(step, dtype=np.bool_)
    for first in range(0, numbers.size, step):
        count = min(step, numbers.size - first)
        if nearest is None:
            listed = np.empty((count, 0), dtype=np.uint32)
        else:
            listed = np.ascontiguousarray(nearest[first : first + count, : cap - 1])
            if listed.shape[1] == 0:
                listed = np.full((count, 1), NOTHING)
        for begin in range(0, count, SLICE_ROWS):
            here = slice(begin, min(begin + SLICE_ROWS, count))
            diffuse_rows(
                indptr, indices, matrix.data, numbers[first:][here], listed[here],
                alpha, cap, WALK_STEPS, mass, tolerance, max_iterations, threads,
                columns[here], values[here], diagonal[here], lengths[here], iterations[here],
                converged[here],
            )  # fmt: skip
            if here.stop < count:
                progress(Progress("diffusion", first + here.stop, numbers.size))
        report.add(first, lengths[:count], iterations[:count], converged[:count])
        block_indptr = np.zeros(count + 1, dtype=np.int64)
        np.cumsum(lengths[:count], out=block_indptr[1:])
        packed_columns = np.empty(block_indptr[-1], dtype=np.uint32)
        packed_values = np.empty(block_indptr[-1], dtype=matrix.dtype)
        pack_rows(columns, values, block_indptr, packed_columns, packed_values)
        yield RowBlock(first, block_indptr, packed_columns, packed_values, diagonal[:count].copy())
        progress(Progress("diffusion", first + count, numbers.size))
