"""What a model says it costs is what it takes."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from benchmarks.galleries import curved_manifolds
from kinfold.config import SimilaritySpec
from kinfold.metric import Measure
from kinfold.neighbors import NeighborLists, self_join
from kinfold.similarity import SimilarityModel, model_names, resolve

ROWS, WIDEST = 6000, 60
# alpha-qe works in pieces of a fixed size, larger than such a gallery; those that state no cost
# have the default, which is meant to be too high.
STATED = [
    name
    for name in model_names()
    if type(resolve(SimilaritySpec(name=name))).cost is not SimilarityModel.cost
    and name != "alpha-qe"
]


@pytest.fixture(scope="module")
def gallery():
    vectors = curved_manifolds(ROWS, 32, queries=10).vectors
    measure = Measure("cosine")
    return self_join(vectors, measure, WIDEST), vectors


def peak(model, lists, vectors):
    """Bytes that NumPy had at the peak."""
    model.recalculate(lists, vectors)
    tracemalloc.start()
    try:
        model.recalculate(lists, vectors)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("k_m", [pytest.param(40, marks=pytest.mark.long), WIDEST])
@pytest.mark.parametrize("name", STATED)
def test_memory(gallery, name, k_m):
    model = resolve(SimilaritySpec(name=name))
    lists = NeighborLists(
        *(np.array(a[:, :k_m]) for a in (gallery[0].ids, gallery[0].similarities))
    )
    taken = peak(model, lists, gallery[1]) / ROWS
    assert taken / 1.2 < model.cost(k_m, 32).memory < 3 * taken + 200


@pytest.mark.parametrize("name", model_names())
def test_costs_grow(name):
    model = resolve(SimilaritySpec(name=name))
    small, large = model.cost(40, 64), model.cost(80, 128)
    assert 0 <= small.seconds <= large.seconds
    assert 0 < small.memory <= large.memory
