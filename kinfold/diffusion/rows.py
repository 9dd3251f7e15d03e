"""All rows of C of a graph at once, in memory and by items: for tuning, and for analysis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from kinfold.arrays import AnyArray, Floats, UInt32s
from kinfold.blocks import LocalRunner, MemoryPasses
from kinfold.diffusion.order import LocalOrder
from kinfold.diffusion.tasks import DiffuseGroups, DiffuseNearest, Solving, row_blocks
from kinfold.progress import ProgressCallback, silent


@dataclass(frozen=True, slots=True)
class DiffusionReport:
    """What happened while rows were computed.

    Attributes
    ----------
    rows, stored:
        Rows and values of C.
    not_converged:
        Rows whose residual stayed above the tolerance.
    iterations:
        Conjugate gradient iterations in all.
    """

    rows: int
    stored: int
    not_converged: int
    iterations: int
    longest_row: int

    @classmethod
    def of(cls, length: AnyArray, iterations: AnyArray, converged: AnyArray) -> DiffusionReport:
        """From what the tasks give, (n,) each."""
        return cls(
            rows=length.size,
            stored=int(length.sum(dtype=np.int64)),
            not_converged=int(length.size - np.count_nonzero(converged)),
            iterations=int(iterations.sum(dtype=np.int64)),
            longest_row=int(length.max(initial=0)),
        )


@dataclass(frozen=True, slots=True)
class Diffused:
    """The matrix C, and how it came about.

    Attributes
    ----------
    matrix:
        (n, n) CSR, columns ascending.
    diagonal:
        (n,) C_ii before anything was cut off.
    """

    matrix: sp.csr_array
    diagonal: Floats
    report: DiffusionReport


def diffuse(
    matrix: sp.csr_array,
    solving: Solving,
    threads: int,
    *,
    nearest: UInt32s | None = None,
    progress: ProgressCallback = silent,
) -> Diffused:
    """Compute C.

    The result does not depend on `threads`: every row is computed by one thread alone.

    Parameters
    ----------
    matrix:
        S: (n, n) CSR, symmetric, columns ascending, float32; with `nearest` also float64, for
        reference.
    nearest:
        (n, w) each item's neighbours by descending similarity (`NOTHING` fills up): T_i is then i
        and its max_row - 1 nearest, as published. None: T_i follows the graph.
    """
    order = LocalOrder.of(matrix)
    arrays = order.relabelled(matrix)
    task: DiffuseGroups | DiffuseNearest = DiffuseGroups(solving)
    if nearest is not None:
        task = DiffuseNearest(solving)
        arrays |= {"nearest": nearest, "order": order.order, "places": order.places}
    blocks = row_blocks(order.starts, solving.max_row)
    found = MemoryPasses(LocalRunner(threads), progress, "diffusion").run(
        "rows", task, arrays, blocks
    )
    report = DiffusionReport.of(found["length"], found["iterations"], found["converged"])
    by_items = _by_items(order, found["length"], found["columns"], found["values"])
    return Diffused(by_items, found["diagonal"][order.places], report)


def _by_items(
    order: LocalOrder, length: AnyArray, columns: AnyArray, values: AnyArray
) -> sp.csr_array:
    """Rows by slots as a matrix by items."""
    indptr = np.concatenate([[0], np.cumsum(length)])
    size = len(length)
    by_slots = sp.csr_array((values, order.order[columns].astype(np.int64), indptr), (size, size))
    result = sp.csr_array(by_slots[order.places.astype(np.int64)])
    result.sort_indices()
    return result
