"""Vectors to find neighbours in."""

from __future__ import annotations

import numpy as np

from kinfold.metric import Measure
from kinfold.neighbors import ExactEngine, FaissEngine, ambient_passes, make_cells
from kinfold.progress import silent
from kinfold.validate import normalised

METRICS = ["cosine", "l2", "inner_product"]
ENGINES = ["exact", "hnsw", "ivf"]


def clustered(rows=3000, dimension=32, centres=60, spread=0.5, seed=0):
    rng = np.random.default_rng(seed)
    middle = rng.normal(size=(centres, dimension))
    vectors = middle[rng.integers(centres, size=rows)] + spread * rng.normal(size=(rows, dimension))
    return vectors.astype(np.float32)


def ready(vectors, metric):
    """(vectors as a build stores them, measure)."""
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    return (normalised(vectors, "vectors", 0) if metric == "cosine" else vectors), Measure(metric)


def engine_of(kind, vectors, measure):
    if kind == "exact":
        return ExactEngine(vectors, measure)
    if kind == "ivf":
        cells = make_cells(vectors, ambient_passes(silent, "cells"))
        engine = FaissEngine.of_cells(cells.centroids, measure)
        engine.add_to(cells.nearest[:, 0], vectors)
        return engine
    engine = FaissEngine.graph(vectors.shape[1], measure)
    engine.add(vectors)
    return engine
