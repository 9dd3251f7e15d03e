"""LHRR beside its dense oracle, and what a method of ranks promises."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import lhrr as oracle

from kinfold.arrays import NOTHING
from kinfold.config import SimilaritySpec
from kinfold.errors import InputError
from kinfold.metric import Measure
from kinfold.neighbors import NeighborLists, self_join
from kinfold.similarity import resolve
from kinfold.similarity.lhrr import mutual_ranks
from kinfold.validate import normalised


def gallery(rows, dimension, seed):
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(6, dimension))
    noise = 0.6 * generator.normal(size=(rows, dimension))
    return normalised((centres[np.arange(rows) % 6] + noise).astype(np.float32), "rows", 0)


def lists_of(vectors, k):
    measure = Measure("cosine")
    return self_join(vectors, measure, k)


def model(**parameters):
    return resolve(SimilaritySpec(name="lhrr", parameters={"power": 0} | parameters))


def listed(matrix, lists):
    return np.take_along_axis(matrix, lists.ids.astype(np.int64), axis=1)


@pytest.mark.parametrize(("rows", "dimension", "width"), [(40, 8, 39), (70, 16, 20), (60, 3, 15)])
@pytest.mark.parametrize(("k", "iterations"), [(12, 1), (6, 2), (2, 1), (10, 3)])
def test_against_the_oracle(rows, dimension, width, k, iterations):
    vectors = gallery(rows, dimension, rows)
    lists = lists_of(vectors, width)
    found = model(k=k, iterations=iterations, keep=rows).recalculate(lists, vectors)
    expected = oracle.lhrr(lists.ids.tolist(), k, iterations)
    np.testing.assert_allclose(found, listed(expected, lists), atol=1e-5)


def test_reciprocal_ranks():
    vectors = gallery(50, 6, 1)
    lists = lists_of(vectors, 14)
    order = np.argsort(-mutual_ranks(lists), axis=1, kind="stable")
    found = np.take_along_axis(lists.ids, order, axis=1)
    assert found.tolist() == oracle.mutual_order(lists.ids.tolist())


def test_only_ranks_count():
    vectors = gallery(50, 6, 2)
    lists = lists_of(vectors, 14)
    bent = NeighborLists(lists.ids, np.tanh(lists.similarities - 3).astype(np.float32))
    np.testing.assert_array_equal(
        model().recalculate(lists, vectors), model().recalculate(bent, vectors * 7)
    )


def test_the_power_multiplies():
    vectors = gallery(50, 6, 3)
    lists = lists_of(vectors, 14)
    ranks = model().recalculate(lists, vectors)
    np.testing.assert_allclose(
        model(power=3).recalculate(lists, vectors),
        ranks * np.clip(lists.similarities, 0, 1) ** 3,
        rtol=1e-6,
    )


def test_symmetric():
    """Both directions of a pair get the same value: W is symmetric, whatever the lists."""
    vectors = gallery(60, 8, 4)
    lists = lists_of(vectors, 59)
    found = model(keep=60).recalculate(lists, vectors)
    full = np.zeros((60, 60))
    np.put_along_axis(full, lists.ids.astype(np.int64), found, axis=1)
    np.testing.assert_allclose(full, full.T, atol=1e-6)


def test_items_that_nobody_names_together_have_nothing_in_common():
    """Two groups that never appear in each other's first k."""
    vectors = np.zeros((24, 8), dtype=np.float32)
    generator = np.random.default_rng(5)
    vectors[:12, :4] = 1 + 0.3 * generator.normal(size=(12, 4))
    vectors[12:, 4:] = 1 + 0.3 * generator.normal(size=(12, 4))
    vectors = normalised(vectors, "rows", 0)
    lists = lists_of(vectors, 23)
    found = model(k=6).recalculate(lists, vectors)
    across = (lists.ids < 12) != (np.arange(24) < 12)[:, None]
    assert not found[across].any()
    assert found[~across].any()


def test_keeping_less_changes_little():
    vectors = gallery(150, 8, 6)
    lists = lists_of(vectors, 24)
    whole = model(keep=150).recalculate(lists, vectors)
    less = model(keep=40).recalculate(lists, vectors)
    assert ((less >= 0) & (less <= 1)).all()
    assert 0 < np.abs(whole - less).max() < 0.2


def test_holes_and_items_without_neighbours():
    vectors = gallery(40, 6, 7)
    lists = lists_of(vectors, 20)
    ids, similarities = lists.ids.copy(), lists.similarities.copy()
    ids[0], similarities[0] = NOTHING, -np.inf
    ids[1, 3:], similarities[1, 3:] = NOTHING, -np.inf
    found = model().recalculate(NeighborLists(ids, similarities), vectors)
    assert np.isfinite(found).all()
    assert not found[0].any()
    assert not found[1, 3:].any()
    assert found[1, :3].any()


def test_a_gallery_smaller_than_k():
    vectors = gallery(4, 6, 8)
    found = model(k=12).recalculate(lists_of(vectors, 3), vectors)
    expected = oracle.lhrr(lists_of(vectors, 3).ids.tolist(), 12, 1)
    np.testing.assert_allclose(found, listed(expected, lists_of(vectors, 3)), atol=1e-5)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("k", 1), ("iterations", 0), ("iterations", 11), ("power", -0.5), ("keep", 0)],
)
def test_impossible_parameters_are_refused(parameter, value):
    with pytest.raises(InputError, match=f"'lhrr'.*{parameter}"):
        model(**{parameter: value})


def test_neighbours_it_asks_for():
    assert model(k=12).neighbors_needed() == 24
    assert model(k=12).least_neighbors() == 11
