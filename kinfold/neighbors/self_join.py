"""The gallery's self-join: the k nearest neighbours of every item."""

from __future__ import annotations

from typing import Literal

import numba

from kinfold.arrays import Float32s
from kinfold.blocks import LocalRunner, MemoryPasses, Passes
from kinfold.config import Join, Metric
from kinfold.metric import Measure
from kinfold.neighbors.cell_join import join_cells
from kinfold.neighbors.cells import Cells, make_cells
from kinfold.neighbors.descent import descend_while_worthwhile
from kinfold.neighbors.exact_join import complete, join_exactly
from kinfold.neighbors.lists import NeighborLists
from kinfold.progress import ProgressCallback, silent

JoinKind = Literal["exact", "cells"]

EXACT_OPERATIONS = 2e11
"""auto: multiplications (n² d) up to which the self-join is exact: four seconds on two cores."""

EXACT_OPERATIONS_OF_PRODUCTS = 5e12
"""The same for inner products of vectors of any length: the largest are far away in space, where
cells do not look for them. A minute or two."""

_LEAST_ROWS = 32
"""Items, so many times k, below which comparing all is quicker than looking for cells."""


def choose_join(wanted: Join, rows: int, dimension: int, metric: Metric) -> JoinKind:
    """The join that `join` stands for; auto decides by its size."""
    if wanted != "auto":
        return wanted
    most = EXACT_OPERATIONS_OF_PRODUCTS if metric == "inner_product" else EXACT_OPERATIONS
    return "exact" if float(rows) ** 2 * dimension <= most else "cells"


def self_join(
    vectors: Float32s,
    measure: Measure,
    k: int,
    *,
    how: JoinKind = "exact",
    passes: Passes | None = None,
    cells: Cells | None = None,
    progress: ProgressCallback = silent,
) -> NeighborLists:
    """Find the k nearest neighbours of every row of `vectors` among the others.

    The result depends neither on the number of threads nor on how passes are cut into blocks.

    Parameters
    ----------
    vectors:
        (n, d) float32; normalised for cosine. A memory map is read, never copied whole.
    k:
        1 <= k < n.
    how:
        exact: every item is compared with all others. cells: with those that lie near it, see
        `join_cells`; lists are then made better while that pays, see `descend_while_worthwhile`;
        a list that cells did not fill is found exactly. Of vectors compared by inner product the
        longest are near in value and far in space, so that cells find fewer: mind the recall.
    passes:
        Runs the work and keeps it. None: in memory, with as many threads as kernels may use now.
    cells:
        Of the same vectors, where they are known; for how = cells.
    progress:
        Told of finished rows, where `passes` is None.

    Returns
    -------
    NeighborLists
        Closeness computed exactly for the neighbours found; for metric l2 the similarities are
        negated squared distances until their scale is known. Possibly read-only memory maps.
    """
    if passes is None:
        passes = ambient_passes(progress, "neighbors")
    if how == "exact" or vectors.shape[0] < _LEAST_ROWS * k:
        return NeighborLists(*join_exactly(vectors, measure, k, passes))
    if cells is None:
        cells = make_cells(vectors, passes)
    ids, values = join_cells(vectors, measure, k, cells, passes)
    ids, values = descend_while_worthwhile(vectors, measure, ids, values, passes)
    return NeighborLists(*complete(vectors, measure, ids, values, passes))


def ambient_passes(progress: ProgressCallback, phase: str) -> Passes:
    """Passes in memory, with as many threads as kernels may use now."""
    return MemoryPasses(LocalRunner(numba.get_num_threads()), progress, phase)
