"""The dense program that `cas` is measured against computes CAS, and so the same as ours."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import models as oracle

from benchmarks.cas import agreement
from benchmarks.dense_cas import dense_cas
from benchmarks.galleries import curved_manifolds
from kinfold.metric import Measure
from kinfold.neighbors import self_join
from kinfold.similarity.cas import Cas

ROWS = 240
SETTINGS = {"k1": 8, "k2": 3, "mu": 0.11, "beta": 0.1, "kappa": 0.7}


@pytest.fixture(scope="module")
def vectors():
    return curved_manifolds(ROWS, 16, queries=10, seed=3).vectors


def lists_of(vectors, k):
    measure = Measure("cosine")
    return self_join(vectors, measure, k)


def test_it_is_the_oracle_when_it_iterates_long_enough(vectors):
    lists = lists_of(vectors, ROWS - 1)
    rows = oracle.cas_rows(*oracle.full_of(lists, ROWS), **SETTINGS)
    expected = np.take_along_axis(1 - oracle.jensen_shannon(rows), lists.ids.astype(int), axis=1)
    found = dense_cas(lists.ids, lists.similarities, **SETTINGS, iterations=200)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("iterations", [1, 10])
def test_it_is_ours_after_as_many_iterations(vectors, iterations):
    lists = lists_of(vectors, 40)
    model = Cas(**SETTINGS, power=0, keep=ROWS, iterations=iterations, tolerance=1e-30)
    found = dense_cas(lists.ids, lists.similarities, **SETTINGS, iterations=iterations)
    ours = model.recalculate(lists, vectors)
    np.testing.assert_allclose(found, ours, atol=2e-6)
    assert agreement(found, ours) > 0.9999


def test_agreement_is_spearmans():
    left = np.array([[1.0, 2, 3], [1, 2, 3]])
    assert agreement(left, -left) == pytest.approx(-1)
    assert agreement(left, np.array([[1.0, 2, 3], [3, 2, 1]])) == pytest.approx(0)
