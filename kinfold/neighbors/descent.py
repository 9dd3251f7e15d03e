"""Neighbour descent: lists made better by asking the neighbours for theirs.

After W. Dong, C. Moses, K. Li, "Efficient k-nearest neighbor graph construction for generic
similarity measures", WWW 2011. Each pass makes new lists of the old ones, so that it does not
matter which item comes first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinfold.arrays import AnyArray, Float32s, Int64s, UInt32s
from kinfold.blocks import Arrays, Block, Passes, cut
from kinfold.kernels.descent import descend, reverse_lists
from kinfold.metric import Measure
from kinfold.neighbors.recall import SAMPLE_ROWS, exact_lists, spread_rows
from kinfold.neighbors.spread import spread

RECALL_AT = 15
"""Neighbours that the decision looks at: those of the default graph."""
GOOD_RECALL = 0.97
WORTHWHILE = 0.01
"""What a round must add to recall, or it is not made."""
MOST_ROUNDS = 2

_WIDTH = 15
_REVERSE = 10
_BLOCK_ROWS = 1 << 16
_PIECE_ROWS = 1024


@dataclass(frozen=True, slots=True)
class Descend:
    """One round; rows are items."""

    by_distance: bool

    def __call__(self, arrays: Arrays, begin: int, end: int, threads: int) -> dict[str, AnyArray]:
        """``ids`` (m, k) uint32 and ``values`` (m, k) float32 closeness, in order."""
        items = np.arange(begin, end)
        ids, values = self.better(arrays, items, threads)
        return {"ids": ids, "values": values}

    def better(self, arrays: Arrays, items: Int64s, threads: int) -> tuple[UInt32s, Float32s]:
        """New lists of `items`: (m, k) each."""
        vectors, reverse = arrays["vectors"], arrays["reverse"]
        old, closeness = arrays["ids"], arrays["values"]
        ids = np.empty((items.size, old.shape[1]), dtype=np.uint32)
        values = np.empty(ids.shape, dtype=np.float32)
        width = min(_WIDTH, old.shape[1])
        met = (width + reverse.shape[1]) * (width + 1) + old.shape[1]
        size = 1 << (2 * met).bit_length()

        def work(block: Block) -> None:
            out = slice(*block)
            descend(
                vectors, self.by_distance, items[out], width, old, closeness, reverse,
                np.empty(size, dtype=np.uint32), ids[out], values[out],
            )  # fmt: skip

        spread(work, cut(items.size, _PIECE_ROWS), threads)
        return ids, values


def descend_while_worthwhile(
    vectors: Float32s, measure: Measure, ids: UInt32s, values: Float32s, passes: Passes
) -> tuple[UInt32s, Float32s]:
    """Better lists, in as many rounds as a sample says are worth their time.

    The sample's true neighbours are found exactly. A round is made of it first, which costs almost
    nothing and says what a round of all would give. Rounds are called ``descent``.

    Parameters
    ----------
    ids, values:
        (n, k) lists with exact closeness, in order.
    """
    rows, k = ids.shape
    sample = spread_rows(rows, SAMPLE_ROWS)
    at = min(RECALL_AT, k)
    goal = exact_lists(vectors, measure, sample, at)[1][:, -1:]
    task = Descend(measure.by_distance)
    number, known = 0, passes.last_round("descent")
    if known is not None:
        number = known[0] + 1
        ids, values = known[1]["ids"], known[1]["values"]
    while number < MOST_ROUNDS:
        recall = float((np.asarray(values[sample, :at]) >= goal).mean())
        if recall >= GOOD_RECALL:
            break
        reverse = np.empty((rows, _REVERSE), dtype=np.uint32)
        reverse_lists(ids, min(_WIDTH, k), reverse)
        arrays = {"vectors": vectors, "ids": ids, "values": values, "reverse": reverse}
        _, trial = task.better(arrays, sample, 1)
        if float((trial[:, :at] >= goal).mean()) - recall < WORTHWHILE:
            break
        found = passes.next_round(
            "descent", number, task, arrays, cut(rows, _BLOCK_ROWS, passes.share)
        )
        ids, values = found["ids"], found["values"]
        number += 1
    return ids, values
