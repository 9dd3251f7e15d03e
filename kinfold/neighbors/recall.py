"""How many of the true neighbours an approximate graph holds, estimated on a sample."""

from __future__ import annotations

import numpy as np

from kinfold.arrays import Float32s
from kinfold.kernels.compare import score_lists_parallel, without_self
from kinfold.metric import Measure
from kinfold.neighbors.engine import ExactEngine
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
    rows = vectors.shape[0]
    sample = np.unique(np.linspace(0, rows - 1, min(rows, sample_rows), dtype=np.int64))
    queries = np.ascontiguousarray(vectors[sample])
    found = ExactEngine(vectors, measure).candidates(queries, k + 1)
    true_ids = np.empty((sample.size, k), dtype=np.uint32)
    for i, row in enumerate(sample):
        without_self(found[i : i + 1], int(row), true_ids[i : i + 1])
    true_values = np.empty((sample.size, k), dtype=np.float32)
    score_lists_parallel(queries, vectors, true_ids, measure.by_distance, true_values)
    reached = lists.similarities[sample, :k] >= true_values[:, -1:]
    return float(reached.mean())
