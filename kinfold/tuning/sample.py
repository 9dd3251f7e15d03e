"""Which items of a gallery are looked at, so that neighbourhoods stay whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinfold.arrays import AnyArray, Bools, Float32s, Int64s
from kinfold.metric import Measure
from kinfold.validate import as_float32, check_lengths, normalised, row_chunks

MOST_ITEMS = 3000
"""Galleries up to this size are looked at whole."""
MOST_HIDDEN = 300
HIDDEN_SHARE = 0.2
REGIONS = 20
INNER = 50
"""Items nearest to the middle of a region, whose own neighbours are in it too."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A part of a gallery.

    Attributes
    ----------
    rows:
        (s,) positions in the gallery, ascending.
    hidden:
        (s,) which of them play queries and are left out of the graph.
    """

    rows: Int64s
    hidden: Bools


def draw(vectors: AnyArray, metric: Measure, seed: int = 0) -> Sample:
    """Draw a sample: all of a small gallery, whole regions of a large one.

    A random part of a large gallery would have thin clusters, which want other parameters than
    those they came from. So it is the surroundings of a few random items, complete, and the
    queries come from their middle, a fifth of it.
    """
    generator = np.random.default_rng(seed)
    count = vectors.shape[0]
    if count <= MOST_ITEMS:
        rows = np.arange(count)
        chosen = generator.permutation(count)[: min(MOST_HIDDEN, int(HIDDEN_SHARE * count))]
    else:
        centres = np.sort(generator.choice(count, REGIONS, replace=False))
        regions = around(
            vectors, metric, read_rows(vectors, metric, centres), MOST_ITEMS // REGIONS
        )
        rows = np.unique(regions)
        chosen = np.concatenate(
            [
                generator.choice(region[:INNER], int(HIDDEN_SHARE * INNER), replace=False)
                for region in regions
            ]
        )
        chosen = np.searchsorted(rows, np.unique(chosen))
    hidden = np.zeros(rows.size, dtype=bool)
    hidden[chosen] = True
    return Sample(rows.astype(np.int64), hidden)


def read_rows(vectors: AnyArray, metric: Measure, rows: Int64s) -> Float32s:
    """Some rows of a gallery as the metric compares them."""
    out = np.empty((rows.size, vectors.shape[1]), dtype=np.float32)
    for place, row in enumerate(rows.tolist()):
        # One by one, so that a refusal names the row of the gallery.
        one = as_float32(vectors[row : row + 1], "vectors", row)
        if metric.normalises:
            one = normalised(one, "vectors", row)
        else:
            check_lengths(one, "vectors", row)
        out[place] = one[0]
    return out


def around(vectors: AnyArray, metric: Measure, queries: Float32s, width: int) -> Int64s:
    """(m, width) gallery rows nearest to each query, best first; one pass over the vectors."""
    rows, dimension = vectors.shape
    width = min(width, rows)
    best = np.full((queries.shape[0], width), -np.inf, dtype=np.float32)
    found = np.zeros((queries.shape[0], width), dtype=np.int64)
    for piece in row_chunks(rows, max(dimension, queries.shape[0])):
        chunk = as_float32(vectors[piece], "vectors", piece.start)
        if metric.normalises:
            chunk = normalised(chunk, "vectors", piece.start)
        values = np.concatenate([best, closeness_of(queries, chunk, metric)], axis=1)
        places = np.broadcast_to(np.arange(piece.start, piece.stop), (len(queries), len(chunk)))
        places = np.concatenate([found, places], axis=1)
        order = np.argsort(-values, axis=1, kind="stable")[:, :width]
        best = np.take_along_axis(values, order, axis=1)
        found = np.take_along_axis(places, order, axis=1)
    return found


def closeness_of(queries: Float32s, vectors: Float32s, metric: Measure) -> Float32s:
    """(m, n) inner products, or negated squared distances where the metric has them."""
    products: Float32s = queries @ vectors.T
    if not metric.by_distance:
        return products
    squares = np.einsum("ij,ij->i", vectors, vectors)
    own = np.einsum("ij,ij->i", queries, queries)
    negated: Float32s = 2 * products - squares[None, :] - own[:, None]
    return np.minimum(negated, np.float32(0), out=negated)
