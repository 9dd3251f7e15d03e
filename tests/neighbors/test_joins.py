"""What both joins promise, whatever the metric."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import dense

from kinfold.arrays import NOTHING
from kinfold.neighbors import choose_join, self_join

from .cases import METRICS, clustered, ready

ROWS, K = 800, 12


@pytest.fixture(scope="module", params=METRICS)
def metric(request):
    return request.param


@pytest.fixture(scope="module", params=["exact", "cells"])
def how(request):
    return request.param


@pytest.fixture(scope="module")
def data(metric):
    return ready(clustered(ROWS, 24, 40, seed=1), metric)


@pytest.fixture(scope="module")
def lists(how, data):
    return self_join(*data, K, how=how)


def test_shapes_and_types(lists):
    assert lists.ids.shape == lists.similarities.shape == (ROWS, K)
    assert (lists.ids.dtype, lists.similarities.dtype) == (np.uint32, np.float32)
    assert lists.k == K


def test_nobody_is_his_own_neighbour_nor_anybody_twice(lists):
    for row, ids in enumerate(lists.ids.tolist()):
        found = [j for j in ids if j != NOTHING]
        assert row not in found
        assert len(set(found)) == len(found)
        assert max(found) < ROWS


def test_lists_descend_with_ties_by_position(lists):
    values, ids = lists.similarities, lists.ids.astype(np.int64)
    assert (values[:, :-1] >= values[:, 1:]).all()
    tied = values[:, :-1] == values[:, 1:]
    assert (ids[:, :-1] < ids[:, 1:])[tied].all()


def test_similarities_are_those_of_the_vectors(lists, data):
    vectors, measure = data
    expected = dense.closeness(vectors.astype(float), vectors.astype(float), measure.metric)
    size = np.abs(expected).max()
    found = lists.ids != NOTHING
    rows = np.repeat(np.arange(ROWS), K).reshape(ROWS, K)[found]
    exact = expected[rows, lists.ids[found]]
    np.testing.assert_allclose(lists.similarities[found], exact, atol=2e-6 * size)
    assert (lists.similarities[~found] == -np.inf).all()


def test_closeness_is_symmetric(lists):
    """Both directions of a pair carry the same bits: the mutual test compares them."""
    pairs = {}
    for row in range(ROWS):
        for j, value in zip(lists.ids[row].tolist(), lists.similarities[row].tolist(), strict=True):
            pairs[row, j] = value
    both = [(value, pairs[j, i]) for (i, j), value in pairs.items() if (j, i) in pairs]
    assert len(both) > ROWS
    assert all(there == back for there, back in both)


def test_first_and_thresholds(lists):
    first = lists.first(3)
    np.testing.assert_array_equal(first.ids, lists.ids[:, :3])
    np.testing.assert_array_equal(lists.thresholds(3), lists.similarities[:, 2])
    np.testing.assert_array_equal(lists.thresholds(K + 5), lists.similarities[:, K - 1])


def test_auto_is_exact_as_long_as_that_is_quick():
    assert choose_join("auto", 1000, 2048, "cosine") == "exact"
    assert choose_join("auto", 100_000, 64, "cosine") == "cells"
    assert choose_join("auto", 100_000, 64, "inner_product") == "exact"
    assert choose_join("auto", 1_000_000, 64, "inner_product") == "cells"
    for how in ("exact", "cells"):
        assert choose_join(how, 10, 10, "l2") == choose_join(how, 10**9, 10**4, "l2") == how
