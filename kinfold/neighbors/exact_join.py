"""The exact self-join: every item compared with all the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinfold.arrays import NOTHING, AnyArray, Float32s, UInt32s
from kinfold.blocks import Arrays, Passes, cut
from kinfold.kernels.compare import score_lists_parallel, without_self
from kinfold.metric import Measure
from kinfold.neighbors.engine import ExactEngine, closest
from kinfold.neighbors.recall import exact_lists
from kinfold.threads import limited_threads

BATCH_ROWS = 4096
_LEAST_BATCH_ROWS = 256
_BATCH_OPERATIONS = 4e10
"""Of one batch of an exact search: about a second, after which progress is told and an interrupt
heard."""


@dataclass(frozen=True, slots=True)
class Exact:
    """The k nearest others of every item."""

    k: int
    measure: Measure

    def __call__(self, arrays: Arrays, begin: int, end: int, threads: int) -> dict[str, AnyArray]:
        """``ids`` (m, k) uint32 and ``values`` (m, k) float32 closeness, in order."""
        vectors = arrays["vectors"]
        ids = np.empty((end - begin, self.k), dtype=np.uint32)
        with limited_threads(threads):
            queries = np.ascontiguousarray(vectors[begin:end])
            engine = ExactEngine(vectors, self.measure)
            found, _ = closest(engine, vectors, self.measure, queries, self.k + 1, parallel=True)
            without_self(found, begin, ids)
            values = np.empty(ids.shape, dtype=np.float32)
            score_lists_parallel(queries, vectors, ids, self.measure.by_distance, values)
        return {"ids": ids, "values": values}


@dataclass(frozen=True, slots=True)
class Complete:
    """Lists that cells could not fill, those of items far from all others, found exactly."""

    measure: Measure

    def __call__(self, arrays: Arrays, begin: int, end: int, threads: int) -> dict[str, AnyArray]:
        """``ids`` (m, k) uint32 and ``values`` (m, k) float32 closeness, in order."""
        vectors = arrays["vectors"]
        ids, values = np.array(arrays["ids"][begin:end]), np.array(arrays["values"][begin:end])
        short = np.flatnonzero(ids[:, -1] == NOTHING)
        for batch in np.array_split(short, -(-short.size // _LEAST_BATCH_ROWS) or 1):
            with limited_threads(threads):
                ids[batch], values[batch] = exact_lists(
                    vectors, self.measure, begin + batch, ids.shape[1]
                )
        return {"ids": ids, "values": values}


def complete(
    vectors: Float32s, measure: Measure, ids: UInt32s, values: Float32s, passes: Passes
) -> tuple[UInt32s, Float32s]:
    """Lists without gaps; pass ``complete``, where there are any."""
    if not (ids[:, -1] == NOTHING).any():
        return ids, values
    arrays = {"vectors": vectors, "ids": ids, "values": values}
    found = passes.run("complete", Complete(measure), arrays, cut(len(ids), BATCH_ROWS))
    return found["ids"], found["values"]


def join_exactly(
    vectors: Float32s, measure: Measure, k: int, passes: Passes
) -> tuple[UInt32s, Float32s]:
    """The k nearest others of every item, ties by position; pass ``exact``.

    Returns
    -------
    (n, k) uint32 positions and (n, k) float32 closeness.
    """
    rows, dimension = vectors.shape
    affordable = int(_BATCH_OPERATIONS / (2.0 * rows * dimension))
    step = min(BATCH_ROWS, max(affordable, _LEAST_BATCH_ROWS))
    found = passes.run("exact", Exact(k, measure), {"vectors": vectors}, cut(rows, step))
    return found["ids"], found["values"]
