"""The exact self-join against a sorted distance matrix: ties, duplicates, far from the origin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from oracles import dense
from oracles.galleries import GALLERIES

from kinfold.neighbors import ExactEngine, self_join
from kinfold.neighbors.engine import nearest

from .cases import METRICS, clustered, ready


def exact(vectors, metric, k):
    vectors, measure = ready(vectors, metric)
    return self_join(vectors, measure, k)


def expected(vectors, metric, k):
    rows = dense.prepared(vectors, metric)
    return dense.self_join(dense.closeness(rows, rows, metric), k)


def assert_true_neighbours(lists, vectors, metric):
    """Every list holds the k largest values there are; which of several equals is left open."""
    _, values = expected(vectors, metric, lists.k)
    size = np.abs(values).max(axis=1, keepdims=True)
    assert (np.abs(lists.similarities - values) <= 2e-6 * size).all()


@pytest.mark.parametrize("gallery", GALLERIES, ids=str)
def test_named_galleries(gallery):
    for k in {1, gallery.k_d, len(gallery.vectors) - 1}:
        lists = exact(gallery.vectors, gallery.metric, k)
        ids, values = expected(gallery.vectors, gallery.metric, k)
        np.testing.assert_array_equal(lists.ids, ids)
        np.testing.assert_allclose(lists.similarities, values, rtol=2e-6, atol=2e-6)


@settings(max_examples=60)
@given(
    # Whole numbers: products and distances are exact, so that ties are ties and nothing else is.
    hnp.arrays(np.float32, (st.integers(2, 40)).map(lambda n: (n, 4)), elements=st.integers(-3, 3)),
    st.sampled_from(["l2", "inner_product"]),
    st.data(),
)
def test_ties_go_to_the_lower_position(vectors, metric, data):
    k = data.draw(st.integers(1, len(vectors) - 1))
    lists = exact(vectors, metric, k)
    ids, values = expected(vectors, metric, k)
    np.testing.assert_array_equal(lists.similarities, values)
    np.testing.assert_array_equal(lists.ids, ids)


def test_fewer_neighbours_are_the_first_of_more():
    """What an item's neighbours are does not depend on how many were asked for."""
    vectors = np.random.default_rng(0).integers(-2, 3, size=(90, 5)).astype(np.float32)
    for metric in ("l2", "inner_product"):
        wide = exact(vectors, metric, 89)
        for k in (1, 2, 5, 10, 40):
            np.testing.assert_array_equal(exact(vectors, metric, k).ids, wide.ids[:, :k])


@pytest.mark.parametrize("metric", METRICS)
def test_many_rows(metric):
    vectors = clustered(1200, 16)
    assert_true_neighbours(exact(vectors, metric, 10), vectors, metric)


@pytest.mark.parametrize("offset", [100, 1000])
def test_exact_far_from_the_origin(offset):
    """||x||² - 2xy + ||y||² loses all of its digits there; distances do not."""
    vectors = (np.random.default_rng(0).normal(size=(700, 256)) + offset).astype(np.float32)
    assert_true_neighbours(exact(vectors, "l2", 10), vectors, "l2")


@pytest.mark.parametrize("metric", METRICS)
def test_a_large_batch_is_its_queries_one_by_one(metric):
    """Copies that were saved again differ in the last digits: there a batch must not differ."""
    rng = np.random.default_rng(0)
    originals = rng.normal(size=(40, 1024))
    copies = originals[rng.integers(40, size=1500)] + 1e-4 * rng.normal(size=(1500, 1024))
    vectors, measure = ready(copies, metric)
    engine = ExactEngine(vectors, measure)
    together = nearest(engine, vectors, measure, vectors[:200], 10)
    alone = [nearest(engine, vectors, measure, vectors[i : i + 1], 10) for i in range(200)]
    np.testing.assert_array_equal(np.concatenate([ids for ids, _ in alone]), together[0])
    np.testing.assert_array_equal(np.concatenate([values for _, values in alone]), together[1])


def test_batches_of_the_join_change_nothing(monkeypatch):
    vectors = clustered(500, 8)
    whole = exact(vectors, "cosine", 7)
    monkeypatch.setattr("kinfold.neighbors.exact_join.BATCH_ROWS", 64)
    parts = exact(vectors, "cosine", 7)
    np.testing.assert_array_equal(parts.ids, whole.ids)
    np.testing.assert_array_equal(parts.similarities, whole.similarities)


def test_progress_counts_rows(monkeypatch):
    monkeypatch.setattr("kinfold.neighbors.exact_join.BATCH_ROWS", 64)
    seen = []
    vectors, measure = ready(clustered(150, 8), "l2")
    self_join(vectors, measure, 3, progress=seen.append)
    assert [(event.phase, event.done, event.total) for event in seen] == [
        ("neighbors", 64, 150),
        ("neighbors", 128, 150),
        ("neighbors", 150, 150),
    ]
