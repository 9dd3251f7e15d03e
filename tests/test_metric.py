"""What similarity means for cosine, l2 and inner product, alone and in whole builds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import dense
from oracles.reading import assert_rows_close, assert_scores_close, by_position, stored_matrix

import kinfold
from kinfold import BuildConfig
from kinfold.metric import Measure, power

METRICS = ["cosine", "l2", "inner_product"]


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(10, 14))
    rows = np.repeat(centres, 15, axis=0) + 0.5 * rng.normal(size=(150, 14))
    return (rows * rng.uniform(0.5, 2, size=(150, 1))).astype(np.float32)


@pytest.fixture(scope="module")
def queries(vectors):
    rng = np.random.default_rng(1)
    return vectors[::11] + 0.3 * rng.normal(size=vectors[::11].shape).astype(np.float32)


def build(vectors, path, metric, **settings):
    return kinfold.build(vectors, path, config=BuildConfig(metric=metric, **settings))


@pytest.mark.parametrize("metric", METRICS)
def test_a_build_equals_the_oracle(tmp_path, vectors, queries, metric):
    index = build(
        vectors, tmp_path, metric, similarity=["cosine"], k_d=10,
        alpha=0.9, dtype="float32", mass=1, tolerance=1e-6, max_iterations=1000,
    )  # fmt: skip
    oracle = dense.Oracle(vectors, metric=metric, alpha=0.9)
    assert index.manifest.metric_scale == pytest.approx(oracle.scale, rel=1e-6)
    assert_rows_close(stored_matrix(index), oracle.C, 1e-5)
    for seeds in ("plain", "reciprocal", "soft"):
        hits = index.search(queries, 150, k_q=5, seeds=seeds)
        expected = oracle.seed_matrix(queries, 5, seeds) @ oracle.counted(oracle.C)
        assert_scores_close(by_position(hits, hits.scores, 150), expected, metric, 1e-5)


@pytest.mark.parametrize(
    ("metric", "least"), [("cosine", 0.9), ("l2", 0.9), ("inner_product", 0.6)]
)
def test_neighbours_are_of_the_own_cluster(tmp_path, vectors, metric, least):
    """Sensible, and not only equal to another program: clusters of 15 come back together.

    By inner product the longest vectors are everybody's neighbours, whatever their cluster.
    """
    index = build(vectors, tmp_path, metric)
    hits = index.search_by_id(list(range(150)), 10)
    assert (hits.positions // 15 == np.arange(150)[:, None] // 15).mean() > least


@pytest.mark.parametrize("metric", ["l2", "inner_product"])
@pytest.mark.parametrize("factor", [7, 0.01, 1e-8, 1e8])
def test_the_unit_of_the_vectors_does_not_matter(tmp_path, vectors, queries, metric, factor):
    settings = {"similarity": ["cosine"], "dtype": "float32", "tolerance": 1e-6}
    plain = build(vectors, tmp_path / "plain", metric, **settings)
    scaled = build(vectors * np.float32(factor), tmp_path / "scaled", metric, **settings)
    for model in ("default", "knn"):
        for k_q in (1, 5):
            expected = plain.search(queries, 150, model, k_q=k_q)
            found = scaled.search(queries * np.float32(factor), 150, model, k_q=k_q)
            np.testing.assert_array_equal(found.positions[:, :30], expected.positions[:, :30])
            np.testing.assert_array_equal(found.reached, expected.reached)
            if model == "default":
                np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-3, atol=1e-6)
    assert_rows_close(stored_matrix(scaled), stored_matrix(plain), 1e-4)


def test_cosine_does_not_know_lengths(tmp_path, vectors, queries):
    lengths = np.random.default_rng(2).uniform(0.1, 9, size=(150, 1)).astype(np.float32)
    plain = build(vectors, tmp_path / "plain", "cosine")
    scaled = build(vectors * lengths, tmp_path / "scaled", "cosine")
    np.testing.assert_array_equal(
        plain.search(queries, 20).positions, scaled.search(3 * queries, 20).positions
    )


def test_inner_product_does(tmp_path, vectors, queries):
    longer = vectors.copy()
    longer[40:55] *= 50
    index = build(longer, tmp_path, "inner_product")
    best = index.search(np.abs(queries) * np.sign(longer[40]), 1, "knn")
    assert set(best.positions[:, 0].tolist()) <= set(range(40, 55))


@pytest.mark.parametrize("model", ["default", "knn"])
def test_similarity_of_a_hit_is_the_true_cosine(tmp_path, vectors, queries, model):
    hits = build(vectors, tmp_path, "cosine").search(queries, 150, model)
    for row, query in enumerate(queries.astype(float)):
        items = vectors[hits.positions[row]].astype(float)
        lengths = np.linalg.norm(items, axis=1) * np.linalg.norm(query)
        np.testing.assert_allclose(hits.similarities[row], items @ query / lengths, atol=1e-5)


@pytest.mark.parametrize("model", ["default", "knn"])
def test_similarity_of_a_hit_falls_with_the_distance(tmp_path, vectors, queries, model):
    index = build(vectors, tmp_path, "l2", k_d=10)
    hits = index.search(queries, 150, model)
    kth = np.sort(np.linalg.norm(vectors[:, None] - vectors[None], axis=2), axis=1)[:, 10]
    scale = np.sqrt((kth.astype(float) ** 2).mean())
    assert index.manifest.metric_scale == pytest.approx(scale, rel=1e-5)
    for row, query in enumerate(queries.astype(float)):
        squared = ((vectors[hits.positions[row]] - query) ** 2).sum(axis=1)
        np.testing.assert_allclose(hits.similarities[row], 1 / (1 + squared / scale**2), rtol=1e-5)


@pytest.mark.parametrize("model", ["default", "knn"])
def test_similarity_of_a_hit_is_the_product(tmp_path, vectors, queries, model):
    hits = build(vectors, tmp_path, "inner_product").search(queries, 150, model)
    for row, query in enumerate(queries.astype(float)):
        np.testing.assert_allclose(
            hits.similarities[row], vectors[hits.positions[row]] @ query, atol=1e-5 * 100
        )


def test_scale_of_a_gallery_that_has_none(tmp_path):
    """Equal items have no distance, and vectors at right angles no product."""
    equal = build(np.ones((8, 3)), tmp_path / "equal", "l2")
    assert equal.manifest.metric_scale == 1
    np.testing.assert_allclose(equal.search([1, 1, 1], 8).similarities, 1)
    crossed = build(np.eye(8) * 5, tmp_path / "crossed", "inner_product")
    assert crossed.manifest.metric_scale == 1
    assert crossed.manifest.models["default"].isolated == 8
    hits = crossed.search(np.eye(8)[2], 8)
    assert hits.positions[0].tolist() == [2, 0, 1, 3, 4, 5, 6, 7]
    assert hits.reached.tolist() == [1]


def test_products_that_are_all_negative(tmp_path):
    angles = np.array([0, 2.1, 4.2])
    index = build(np.stack([np.cos(angles), np.sin(angles)], axis=1), tmp_path, "inner_product")
    assert index.manifest.models["default"].isolated == 3
    assert index.manifest.metric_scale == 1
    np.testing.assert_array_equal(stored_matrix(index), np.eye(3))


class TestMeasure:
    closeness = np.float32([-np.inf, -4, -1, 0])

    def test_l2(self):
        measure = Measure("l2", 2.0)
        assert (measure.by_distance, measure.normalises) == (True, False)
        found = measure.similarity(self.closeness)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, [0, 0.5, 0.8, 1])
        np.testing.assert_array_equal(measure.relative(found), found)

    @pytest.mark.parametrize("metric", ["cosine", "inner_product"])
    def test_products(self, metric):
        measure = Measure(metric, 4.0 if metric == "inner_product" else 1.0)
        assert (measure.by_distance, measure.normalises) == (False, metric == "cosine")
        np.testing.assert_array_equal(measure.similarity(self.closeness), self.closeness)
        relative = self.closeness / np.float32(measure.scale)
        np.testing.assert_array_equal(measure.relative(self.closeness), relative)

    @pytest.mark.parametrize("gamma", [0.5, 1.0, 3.0])
    def test_affinity(self, gamma):
        similarity = np.float32([-np.inf, -1, 0, 0.5, 1])
        found = Measure("cosine").affinity(similarity, gamma)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, [0, 0, 0, 0.5**gamma, 1], rtol=1e-6)
        halved = Measure("inner_product", 2.0).affinity(similarity * 2, gamma)
        np.testing.assert_array_equal(halved, found)


@given(
    st.lists(st.floats(-(2.0**20), 0, width=32), min_size=2, max_size=20),
    st.floats(2.0**-10, 2.0**10, width=32),
)
def test_l2_similarity_keeps_the_order_of_distances(closeness, scale):
    ordered = np.sort(np.float32(closeness))
    found = Measure("l2", scale).similarity(ordered)
    assert (np.diff(found) >= 0).all()
    assert (found >= 0).all()
    assert (found <= 1).all()


@given(st.lists(st.floats(-2, 2, width=32), min_size=1), st.floats(0.125, 8, width=32))
def test_power_is_zero_below_zero_and_rises(values, gamma):
    ordered = np.sort(np.float32(values))
    found = power(ordered, gamma)
    assert found.dtype == np.float32
    assert (found[ordered <= 0] == 0).all()
    assert (np.diff(found) >= 0).all()
