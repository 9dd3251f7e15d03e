"""What every answer keeps to, on every named gallery."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import dense
from oracles.galleries import BY_NAME
from oracles.reading import assert_scores_close, by_position, counted_matrix

import kinfold

from .conftest import built

MODELS = ["default", "knn"]


def same(left, right):
    for name in ("ids", "scores", "similarities", "positions", "reached"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)


def row_of(hits, row):
    return hits.part(row, row + 1)


@pytest.fixture(params=[1, 3, "n"])
def k(request, gallery):
    return len(gallery.vectors) if request.param == "n" else request.param


@pytest.mark.parametrize("model", MODELS)
def test_shapes_types_and_order(index, gallery, model, k):
    hits = index.search(gallery.queries, k, model)
    m = len(gallery.queries)
    assert len(hits) == m
    for name, dtype in {
        "ids": np.int64, "scores": np.float32, "similarities": np.float32, "positions": np.uint32,
    }.items():  # fmt: skip
        array = getattr(hits, name)
        assert (array.shape, array.dtype) == ((m, k), dtype)
    assert (hits.reached.shape, hits.reached.dtype) == ((m,), np.int64)
    np.testing.assert_array_equal(hits.ids, hits.positions)
    assert (np.diff(hits.scores, axis=1) <= 0).all()
    tied = np.diff(hits.scores, axis=1) == 0
    for row, count in enumerate(hits.reached):
        rising = np.diff(hits.positions[row].astype(int)) > 0
        if model == "knn":
            assert rising[tied[row]].all()
            assert count == 0
        else:
            assert rising[: max(count - 1, 0)][tied[row, : max(count - 1, 0)]].all()
            assert (hits.scores[row, :count] > 0).all()
            assert (hits.scores[row, count:] == 0).all()


@pytest.mark.parametrize("model", MODELS)
def test_a_batch_is_its_queries_one_by_one(index, gallery, model, k):
    together = index.search(gallery.queries, k, model)
    for row, query in enumerate(gallery.queries):
        same(index.search(query, k, model), row_of(together, row))
        same(index.search(query[None, :], k, model), row_of(together, row))


@pytest.mark.parametrize("model", MODELS)
def test_asking_again_changes_nothing(index, gallery, model, k):
    first = index.search(gallery.queries, k, model)
    index.search(gallery.vectors, 1, model)
    same(index.search(gallery.queries, k, model), first)


@pytest.mark.parametrize("model", MODELS)
def test_fewer_hits_are_the_first_of_more(index, gallery, model):
    everything = index.search(gallery.queries, len(index), model)
    for k in (1, 2, 5, len(index) - 1):
        hits = index.search(gallery.queries, k, model)
        np.testing.assert_array_equal(hits.positions, everything.positions[:, :k])
        np.testing.assert_array_equal(hits.scores, everything.scores[:, :k])
        np.testing.assert_array_equal(hits.reached, np.minimum(everything.reached, k))


@pytest.mark.parametrize("model", MODELS)
def test_everything_is_ranked_once(index, gallery, model):
    hits = index.search(gallery.queries, len(index), model)
    everything = np.arange(len(index))
    assert (np.sort(hits.positions, axis=1) == everything).all()


def test_scores_are_seeds_times_c(index, gallery):
    """F = S_q · C with the very C that is stored, float16 and all."""
    n = len(index)
    hits = index.search(gallery.queries, n, k_q=min(4, n), seeds="plain")
    oracle = dense.Oracle(gallery.vectors, metric=gallery.metric, k_d=gallery.k_d)
    expected = oracle.seed_matrix(gallery.queries, min(4, n), "plain") @ counted_matrix(index)
    found = by_position(hits, hits.scores, n)
    if gallery.name != "duplicates":  # where which of the equal items is a seed matters
        np.testing.assert_array_equal(found > 0, expected > 0)
    assert_scores_close(found, expected, gallery.metric, 2e-5)
    np.testing.assert_array_equal(hits.reached, (found > 0).sum(axis=1))


def test_what_was_not_reached_follows_in_the_order_of_knn(index, gallery):
    n = len(index)
    hits = index.search(gallery.queries, n)
    neighbours = index.search(gallery.queries, n, "knn").positions
    for row, count in enumerate(hits.reached):
        reached = set(hits.positions[row, :count].tolist())
        rest = [j for j in neighbours[row].tolist() if j not in reached]
        assert hits.positions[row, count:].tolist() == rest


def test_similarities_are_absolute(index, gallery):
    """Of query and item alone, the same whichever way the item was found."""
    n = len(index)
    oracle = dense.Oracle(gallery.vectors, metric=gallery.metric, k_d=gallery.k_d)
    expected = dense.similarity(
        oracle.query_closeness(gallery.queries), gallery.metric, oracle.scale
    )
    assert index.manifest.metric_scale == pytest.approx(oracle.scale, rel=1e-6)
    tables = []
    for model in MODELS:
        hits = index.search(gallery.queries, n, model)
        tables.append(by_position(hits, hits.similarities, n))
        np.testing.assert_allclose(tables[-1], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(tables[0], tables[1])


def test_knn_is_plain_knn(index, gallery):
    hits = index.search(gallery.queries, len(index), "knn")
    np.testing.assert_array_equal(hits.scores, hits.similarities)
    close = dense.Oracle(gallery.vectors, gallery.metric, gallery.k_d).query_closeness(
        gallery.queries
    )
    np.testing.assert_array_equal(hits.positions, [dense.ranked(row) for row in close])


def test_queries_of_any_number_type(clusters):
    queries = np.round(BY_NAME["clusters"].queries * 8)
    expected = clusters.search(queries.astype(np.float32), 5)
    for dtype in (np.float16, np.float64, np.int8, np.int64):
        same(clusters.search(queries.astype(dtype), 5), expected)
    same(clusters.search(queries.tolist(), 5), expected)
    same(clusters.search(np.asfortranarray(queries), 5), expected)
    same(clusters.search(queries[::-1][::-1], 5), expected)
    same(clusters.search(tuple(queries[0].tolist()), 5), row_of(expected, 0))


def test_a_query_is_left_alone(clusters):
    queries = BY_NAME["clusters"].queries.copy()
    clusters.search(queries, 5)
    np.testing.assert_array_equal(queries, BY_NAME["clusters"].queries)


def test_no_query_no_hits(clusters):
    for model in MODELS:
        hits = clusters.search(np.empty((0, 12)), 5, model)
        assert hits.positions.shape == hits.scores.shape == (0, 5)


def test_only_the_direction_of_a_query_matters_for_cosine(clusters):
    queries = BY_NAME["clusters"].queries
    np.testing.assert_array_equal(
        clusters.search(queries, 20).positions, clusters.search(queries * 2.0**40, 20).positions
    )


@pytest.mark.parametrize("factor", [1e-15, 1e-6, 1.0, 1e6, 1e12])
def test_the_length_of_a_query_changes_no_ranking_by_inner_product(tmp_path_factory, factor):
    """Its similarities to the third power leave float32 long before the query itself does."""
    gallery = BY_NAME["products"]
    index = built(gallery, tmp_path_factory.mktemp("products"), seeds="plain")
    expected = index.search(gallery.queries, 20)
    hits = index.search(gallery.queries.astype(np.float64) * factor, 20)
    np.testing.assert_array_equal(hits.reached, expected.reached)
    np.testing.assert_array_equal(hits.positions, expected.positions)
    assert np.isfinite(hits.scores).all()


def test_a_high_gamma_finds_every_item_once(tmp_path):
    """Weights near the smallest float32: their products with C are zero here and there."""
    rng = np.random.default_rng(0)
    index = kinfold.build(
        rng.normal(size=(60, 8)), tmp_path,
        config=kinfold.BuildConfig(gamma=100, dtype="float32", seeds="plain", k_q=10),
    )  # fmt: skip
    hits = index.search(rng.normal(size=(300, 8)), 20)
    for positions in hits.positions.tolist():
        assert len(set(positions)) == 20


@pytest.mark.parametrize("k_q", [1, 2, 7])
@pytest.mark.parametrize("seeds", ["plain", "reciprocal"])
def test_a_search_may_override_the_seeds(clusters, tmp_path, k_q, seeds):
    """The same answers as from an index that was built with them."""
    gallery = BY_NAME["clusters"]
    other = built(gallery, tmp_path, k_q=k_q, seeds=seeds)
    same(
        clusters.search(gallery.queries, 15, k_q=k_q, seeds=seeds),
        other.search(gallery.queries, 15),
    )


def test_overrides_do_change_something(clusters):
    queries = BY_NAME["clusters"].queries
    scores = [
        clusters.search(queries, 15, k_q=k_q, seeds=seeds).scores
        for k_q in (1, 7)
        for seeds in ("plain", "reciprocal")
    ]
    # One seed is always kept, so with k_q = 1 the rule cannot matter.
    np.testing.assert_array_equal(scores[0], scores[1])
    assert (scores[2] != scores[3]).any()
    assert (scores[0] != scores[2]).any()


def test_models_are_named(clusters):
    assert clusters.models == ["default", "knn"]
    queries = BY_NAME["clusters"].queries
    same(clusters.search(queries, 5, "default"), clusters.search(queries, 5))
    clusters.warm_up()
    same(clusters.search(queries, 5, "default"), clusters.search(queries, 5))


def test_as_many_seeds_as_a_tiny_gallery_has(tmp_path):
    """The default k_q is larger than the gallery."""
    index = kinfold.build(np.eye(3)[:, :2] + 0.5, tmp_path)
    hits = index.search([1.0, 0.2], 3)
    assert sorted(hits.positions[0].tolist()) == [0, 1, 2]
    assert index.explain([1.0, 0.2], 0, k_q=3).neighbors
