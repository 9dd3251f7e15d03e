"""How many of the true neighbours an approximate graph holds, estimated on a sample."""

from __future__ import annotations

import numpy as np

from kinfold.arrays import Float32s, Int64s, UInt32s
from kinfold.kernels.compare import score_lists_parallel, without_self
from kinfold.metric import Measure
from kinfold.neighbors.engine import ExactEngine, closest
from kinfold.neighbors.lists import NeighborLists

SAMPLE_ROWS = 500


def estimate_recall(
    lists: NeighborLists,
    vectors: Float32s,
    measure: Measure,
    k: int,
    sample_rows: int = SAMPLE_ROWS,
) -> float:
    """Recall@k of `lists`, in [0, 1], over evenly spread rows searched exactly.

    A neighbour counts as found when it is at least as close as the true k-th one, so that ties
    and duplicates cost nothing.

    Parameters
    ----------
    lists:
        Of the same `vectors`, closeness as `self_join` returns it; at least k wide.
    """
    sample = spread_rows(vectors.shape[0], sample_rows)
    _, true_values = exact_lists(vectors, measure, sample, k)
    reached = lists.similarities[sample, :k] >= true_values[:, -1:]
    return float(reached.mean())


def spread_rows(rows: int, count: int) -> Int64s:
    """About `count` row numbers, evenly spread, ascending."""
    return np.unique(np.linspace(0, rows - 1, min(rows, count), dtype=np.int64))


def exact_lists(
    vectors: Float32s, measure: Measure, sample: Int64s, k: int
) -> tuple[UInt32s, Float32s]:
    """The k nearest others of some items and their closeness: (m, k) each, in order."""
    queries = np.ascontiguousarray(vectors[sample])
    engine = ExactEngine(vectors, measure)
    found, _ = closest(engine, vectors, measure, queries, k + 1, parallel=True)
    ids = np.empty((sample.size, k), dtype=np.uint32)
    for i, row in enumerate(sample.tolist()):
        without_self(found[i : i + 1], row, ids[i : i + 1])
    values = np.empty(ids.shape, dtype=np.float32)
    score_lists_parallel(queries, vectors, ids, measure.by_distance, values)
    return ids, values
