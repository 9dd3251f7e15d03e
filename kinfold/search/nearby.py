"""The nearest of the items that a mask allows, and never fewer than there are."""

from __future__ import annotations

import numpy as np

from kinfold.arrays import NOTHING, AnyArray, Float32s, UInt32s
from kinfold.index import StoredIndex
from kinfold.kernels.compare import closeness, doubtful, score_lists
from kinfold.neighbors.engine import SPARE
from kinfold.search.masks import Mask

FEW = 4096
"""Items at most that are compared one by one, whatever the engine."""

FEW_SHARE = 1 / 16
"""As `FEW`, as a share of the gallery: a graph or an inverted file leads past so few."""


def nearest_allowed(
    stored: StoredIndex, queries: Float32s, k: int, mask: Mask
) -> tuple[UInt32s, Float32s]:
    """The k nearest allowed items of each of (m, d) queries with their similarities, best first.

    Exact engines give what a scan of the allowed items gives, ties by position. An approximate
    one may miss near items, as it does without a mask, but where it finds fewer than there are
    the allowed items are scanned.

    Returns
    -------
    (m, w) positions and (m, w) similarities, w = min(k, allowed items).
    """
    k = min(k, mask.count)
    by_distance = stored.measure.by_distance
    wide = min(k + SPARE, mask.count) if stored.engine.kind == "exact" else k
    if mask.count <= max(FEW, int(FEW_SHARE * mask.allowed.size)) or wide == mask.count:
        found = np.empty((queries.shape[0], k), dtype=np.uint32)
        out = np.empty((queries.shape[0], k), dtype=np.float32)
        doubt = np.arange(queries.shape[0])
    else:
        share = mask.count / mask.allowed.size
        found = (
            stored.engine.candidates(queries, wide)
            if share == 1
            else stored.engine.candidates_among(queries, wide, mask.bits, share)
        )
        out = np.empty(found.shape, dtype=np.float32)
        score_lists(queries, stored.vectors, found, by_distance, out)
        unsure = (found == NOTHING).any(axis=1)
        if wide > k:
            doubts = np.empty(queries.shape[0], dtype=np.bool_)
            doubtful(queries, stored.vectors, found, out, k, doubts)
            unsure |= doubts
        found, out = np.ascontiguousarray(found[:, :k]), np.ascontiguousarray(out[:, :k])
        doubt = np.flatnonzero(unsure)
    for row in doubt:
        found[row], out[row] = _scan(stored, queries[row], k, mask.positions)
    return found, stored.measure.similarity(out)


def _scan(
    stored: StoredIndex, query: Float32s, k: int, positions: UInt32s
) -> tuple[UInt32s, Float32s]:
    """The k nearest of the items at ascending positions, each of them looked at."""
    values = np.empty(positions.shape[0], dtype=np.float32)
    closeness(query, stored.vectors, positions, stored.measure.by_distance, values)
    if k < values.shape[0]:
        last = np.partition(values, values.shape[0] - k)[values.shape[0] - k]
        near: AnyArray = np.flatnonzero(values >= last)
        positions, values = positions[near], values[near]
    order = np.argsort(-values, kind="stable")[:k]
    return positions[order], values[order]
