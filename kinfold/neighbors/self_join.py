"""The gallery's self-join: the k nearest neighbours of every item."""

from __future__ import annotations

import numpy as np

from kinfold.arrays import Float32s
from kinfold.kernels.compare import score_lists_parallel, without_self
from kinfold.metric import Measure
from kinfold.neighbors.engine import KnnEngine, closest
from kinfold.neighbors.lists import NeighborLists
from kinfold.progress import Progress, ProgressCallback, silent

BATCH_ROWS = 4096
_LEAST_BATCH_ROWS = 256
_BATCH_OPERATIONS = 4e10
"""Of one batch of an exact search: about a second, after which progress is told and an interrupt
heard."""


def self_join(
    engine: KnnEngine,
    vectors: Float32s,
    measure: Measure,
    k: int,
    progress: ProgressCallback = silent,
) -> NeighborLists:
    """Find the k nearest neighbours of every row of `vectors` among the others.

    Parameters
    ----------
    engine:
        Holds the same rows, in the same order.
    vectors:
        (n, d) float32; normalised for cosine.
    k:
        1 <= k < n.

    Returns
    -------
    NeighborLists
        Closeness recomputed exactly for the neighbours found; for metric l2 the similarities are
        negated squared distances until their scale is known.
    """
    rows = vectors.shape[0]
    ids = np.empty((rows, k), dtype=np.uint32)
    values = np.empty((rows, k), dtype=np.float32)
    step = BATCH_ROWS
    if engine.kind == "exact":
        affordable = int(_BATCH_OPERATIONS / (2.0 * rows * vectors.shape[1]))
        step = min(step, max(affordable, _LEAST_BATCH_ROWS))
    for start in range(0, rows, step):
        end = min(start + step, rows)
        queries = np.ascontiguousarray(vectors[start:end])
        found, _ = closest(engine, vectors, measure, queries, k + 1, parallel=True)
        without_self(found, start, ids[start:end])
        score_lists_parallel(
            queries, vectors, ids[start:end], measure.by_distance, values[start:end]
        )
        progress(Progress("neighbors", end, rows))
    return NeighborLists(ids, values)
