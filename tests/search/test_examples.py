"""Several examples as one query, against the same made of dense arrays."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from oracles import dense
from oracles.galleries import BY_NAME
from oracles.reading import counted_matrix

import kinfold

CASES = [([3], []), ([3, 40], []), ([3, 9, 20], [31]), ([1, 2], [3, 4, 50]), ([35], [11])]
GALLERIES = ["clusters", "two parts", "hub", "products", "duplicates"]


@pytest.fixture(scope="module", params=GALLERIES)
def gallery(request):
    return BY_NAME[request.param]


@pytest.fixture(scope="module")
def index(gallery, tmp_path_factory):
    n = len(gallery.vectors)
    config = kinfold.BuildConfig(
        metric=gallery.metric, k_d=gallery.k_d, seeds="plain", k_q=4, dtype="float32"
    )
    payload = pa.table({"odd": np.arange(n) % 2 == 1})
    path = tmp_path_factory.mktemp("examples")
    return kinfold.build(gallery.vectors, path, config=config, payload=payload)


def standing_for(index, positive, negative):
    vectors = index.vectors.astype(np.float64)
    vector = vectors[positive].mean(axis=0)
    if negative:
        vector = 2 * vector - vectors[negative].mean(axis=0)
    if index.manifest.metric == "cosine":
        vector /= np.linalg.norm(vector)
    return vector


@pytest.mark.parametrize(("positive", "negative"), CASES, ids=str)
def test_means_of_f(index, gallery, positive, negative):
    n = len(index)
    oracle = dense.Oracle(gallery.vectors, metric=gallery.metric, k_d=gallery.k_d)
    C = counted_matrix(index)

    def mean(items):
        # The seeds that the library itself takes: equal items are seeds in its order.
        near = index.search(index.vectors[items].copy(), 4, "knn")
        close = near.similarities.astype(np.float64)
        if gallery.metric == "inner_product":
            close = close / close.max(axis=1, keepdims=True)
        weights = np.maximum(close, 0) ** index.manifest.models["default"].config.seed_exponent
        return np.mean([w @ C[p] for w, p in zip(weights, near.positions, strict=True)], axis=0)

    F = mean(positive) - (mean(negative) if negative else 0)
    examples = positive + negative
    vector = standing_for(index, positive, negative)
    close = oracle.query_closeness(vector[None, :].astype(np.float32))
    similarities = dense.similarity(close, gallery.metric, oracle.scale)[0]
    for odd in (False, True):
        chosen = {"filter": {"column": "odd", "eq": True}} if odd else {}
        allowed = np.array([not (odd and i % 2 == 0) and i not in examples for i in range(n)])
        hits = index.search_examples(positive, negative, n, **chosen)
        assert hits.matched.tolist() == hits.counts.tolist() == [allowed.sum()]
        positions, reached = hits.positions[0], int(hits.reached[0])
        assert sorted(positions.tolist()) == np.flatnonzero(allowed).tolist()
        tolerance = 2e-5 * np.abs(F).max()
        np.testing.assert_allclose(hits.scores[0], np.maximum(F[positions], 0), atol=tolerance)
        assert (hits.scores[0, :reached] > 0).all()
        assert not hits.scores[0, reached:].any()
        assert (np.diff(hits.scores[0]) <= 0).all()
        np.testing.assert_allclose(
            hits.similarities[0], similarities[positions], rtol=1e-4, atol=1e-5
        )
        assert (np.diff(hits.similarities[0, reached:]) <= 0).all()


@pytest.mark.parametrize(("positive", "negative"), CASES, ids=str)
def test_plain_neighbours_of_the_vector_between(index, positive, negative):
    vector = standing_for(index, positive, negative)
    if positive == [3, 40] and len(index) == len(BY_NAME["duplicates"].vectors):
        pytest.skip("two groups of equal items are equally near but for rounding")
    whole = index.search(vector, len(index), "knn")
    left = ~np.isin(whole.positions[0], positive + negative)
    hits = index.search_examples(positive, negative, 8, "knn", offset=1)
    np.testing.assert_array_equal(hits.positions[0], whole.positions[0][left][1:9])
    np.testing.assert_allclose(hits.scores[0], whole.scores[0][left][1:9], rtol=1e-5, atol=1e-6)
    assert hits.reached.tolist() == [0]


def test_one_positive_is_a_search_by_id(index):
    for model in ("default", "knn", ["default", "knn"]):
        one = index.search_by_id([7], 12, model)
        same = index.search_examples([7], (), 12, model)
        np.testing.assert_array_equal(one.positions, same.positions)
        np.testing.assert_allclose(one.scores, same.scores, rtol=1e-5)
        np.testing.assert_allclose(one.similarities, same.similarities, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(one.reached, same.reached)


def test_more_than_there_are(index):
    n = len(index)
    assert index.search_examples([1, 2], [3], 10 * n).counts.tolist() == [n - 3]


@pytest.mark.parametrize(
    ("positive", "negative", "message"),
    [
        ([], [1], "expected at least one example"),
        ([], [], "expected at least one example"),
        ([1] * 1001, [], "at most 1000 .*found 1001 and 0"),
        ([1, 1], [], "the example 1 is named twice"),
        ([1, 2], [2], "the example 2 is named twice"),
        (5, [], "positive: expected a list of ids, found the single value 5"),
        ([5], "a", "negative: expected a list of ids, found the single value 'a'"),
        ([10**6], [], "no item has the id 1000000"),
        (["a"], [], "no item has the id 'a'"),
    ],
)
def test_refusals(index, positive, negative, message):
    with pytest.raises(kinfold.KinfoldError, match=message):
        index.search_examples(positive, negative)


def test_examples_that_cancel_each_other_out(tmp_path):
    vectors = np.concatenate([np.eye(6), -np.eye(6)])
    index = kinfold.build(vectors, tmp_path)
    with pytest.raises(kinfold.InputError, match="cancel each other out"):
        index.search_examples([0, 6])
