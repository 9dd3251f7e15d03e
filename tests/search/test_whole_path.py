"""kinfold.build and search, from vectors to ranks, against the dense oracle."""

from __future__ import annotations

import numpy as np
import pytest
from oracles.dense import Oracle, ranked
from oracles.galleries import BY_NAME, GALLERIES
from oracles.reading import assert_rows_close, assert_scores_close, by_position, stored_matrix

import kinfold

ALPHA = 0.9
EXACT = {"dtype": "float32", "mass": 1.0, "tolerance": 1e-6, "max_iterations": 1000}

GRAPHS = ["mutual", "union", "completed"]
TRUNCATIONS = ["graph", "nearest"]


@pytest.fixture(scope="module", params=GALLERIES, ids=str)
def gallery(request):
    return request.param


@pytest.fixture(scope="module", params=GRAPHS)
def graph(request):
    return request.param


@pytest.fixture(scope="module", params=[0.0, 3.0], ids=["published", "ours"])
def rank_scale(request):
    """With it goes the diagonal: the published graph and C, or ours."""
    return request.param


@pytest.fixture(scope="module")
def oracle(gallery, graph, rank_scale):
    return Oracle(
        gallery.vectors,
        metric=gallery.metric,
        k_d=gallery.k_d,
        graph=graph,
        min_degree=min(2, gallery.k_d),
        alpha=ALPHA,
        rank_scale=rank_scale,
        unit_diagonal=rank_scale > 0,
    )


@pytest.fixture(scope="module", params=TRUNCATIONS)
def index(request, gallery, graph, rank_scale, tmp_path_factory):
    config = kinfold.BuildConfig(
        metric=gallery.metric,
        k_d=gallery.k_d,
        graph=graph,
        min_degree=min(2, gallery.k_d),
        alpha=ALPHA,
        similarity=["cosine"],
        rank_scale=rank_scale,
        unit_diagonal=rank_scale > 0,
        truncation=request.param,
        max_row=len(gallery.vectors),
        k_q=min(5, len(gallery.vectors)),
        **EXACT,
    )
    return kinfold.build(gallery.vectors, tmp_path_factory.mktemp("index"), config=config)


def test_rows_of_c(index, oracle):
    assert index.manifest.models["default"].not_converged == 0
    assert_rows_close(stored_matrix(index), oracle.C, 1e-5)


def test_graph_as_designed(index, oracle, gallery):
    assert index.manifest.models["default"].edges == np.count_nonzero(oracle.A) // 2
    lonely = np.flatnonzero(~oracle.A.any(axis=1))
    assert index.manifest.models["default"].isolated == len(lonely)
    assert set(gallery.isolated) <= set(lonely)


@pytest.mark.parametrize("seeds", ["plain", "reciprocal", "soft"])
@pytest.mark.parametrize("k_q", [1, 4])
def test_scores_and_ranks(index, oracle, gallery, seeds, k_q):
    n = len(gallery.vectors)
    expected = oracle.seed_matrix(gallery.queries, k_q, seeds) @ oracle.counted(oracle.C)
    hits = index.search(gallery.queries, k=n, k_q=k_q, seeds=seeds)
    assert_scores_close(by_position(hits, hits.scores, n), expected, gallery.metric, 1e-5)
    neighbours = [ranked(row) for row in oracle.query_closeness(gallery.queries)]
    for row, count in enumerate(hits.reached):
        order = hits.positions[row].astype(int)
        assert sorted(order) == list(range(n))
        assert (hits.scores[row, :count] > 0).all()
        assert (hits.scores[row, count:] == 0).all()
        reached = set(order[:count])
        assert reached <= set(np.flatnonzero(expected[row]))
        assert reached >= set(np.flatnonzero(expected[row] > 1e-5 * expected[row].max()))
        assert list(order[count:]) == [j for j in neighbours[row] if j not in reached]


# Galleries without ties: which of several equal items T_i leaves out is nobody's promise.
@pytest.mark.parametrize("name", ["clusters", "isolated", "two parts", "hub", "products"])
@pytest.mark.parametrize("truncation", TRUNCATIONS)
@pytest.mark.parametrize("size", [2, 12, 40])
def test_short_rows(name, truncation, size, tmp_path):
    gallery = BY_NAME[name]
    config = kinfold.BuildConfig(
        metric=gallery.metric,
        k_d=gallery.k_d,
        min_degree=2,
        alpha=ALPHA,
        similarity=["cosine"],
        truncation=truncation,
        max_row=size,
        **EXACT,
    )
    index = kinfold.build(gallery.vectors, tmp_path, config=config)
    oracle = Oracle(
        gallery.vectors, metric=gallery.metric, k_d=gallery.k_d, min_degree=2, alpha=ALPHA
    )
    expected = oracle.truncated(truncation, size)
    assert_rows_close(stored_matrix(index), expected, 1e-5)
    assert index.manifest.models["default"].longest_row <= size
    hits = index.search(gallery.queries, len(index), k_q=3, seeds="plain")
    assert_scores_close(
        by_position(hits, hits.scores, len(index)),
        oracle.seed_matrix(gallery.queries, 3, "plain") @ oracle.counted(expected),
        gallery.metric,
        1e-5,
    )
