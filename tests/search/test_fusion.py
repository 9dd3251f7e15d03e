"""Several models fused into one ranking, against sums written out item by item."""

from __future__ import annotations

import numpy as np
import pytest
from oracles.galleries import BY_NAME

import kinfold
from kinfold import BuildConfig

CLUSTERS = BY_NAME["clusters"]
ROWS = len(CLUSTERS.vectors)
CONFIGS = {
    "near": BuildConfig(similarity=["cosine"], alpha=0.5, max_row=20),
    "far": BuildConfig(similarity=["cosine"], alpha=0.99, dtype="float32"),
    "cas": BuildConfig(similarity=["cas"], seeds="plain"),
}
CHOICES = [["near", "far"], ["cas", "near", "far"], ["far", "knn"], ["knn", "near", "cas"]]


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return kinfold.build(CLUSTERS.vectors, tmp_path_factory.mktemp("index"), models=CONFIGS)


def fused(index, query, names, fusion):
    """Every item's sum, from the whole rankings of the models alone."""
    total = np.zeros(ROWS)
    for name in names:
        hits = index.search(query, ROWS, name)
        scores, positions = hits.scores[0], hits.positions[0]
        if name == "knn":
            scores = np.maximum(scores, 0)
        for score, position in zip(scores, positions, strict=True):
            if score > 0:
                rank = 1 + int((scores > score).sum())
                total[position] += 1 / (60 + rank) if fusion == "rrf" else score / scores.max()
    return total


@pytest.mark.parametrize("fusion", ["rrf", "score"])
@pytest.mark.parametrize("names", CHOICES, ids="+".join)
def test_sums_item_by_item(index, names, fusion):
    for query in CLUSTERS.queries:
        expected = fused(index, query, names, fusion)
        hits = index.search(query, ROWS, names, fusion=fusion)
        np.testing.assert_allclose(hits.scores[0], expected[hits.positions[0]], rtol=1e-5)
        assert sorted(hits.positions[0]) == list(range(ROWS))
        reached = int(hits.reached[0])
        assert reached == (expected > 0).sum()
        assert (np.diff(hits.scores[0]) <= 0).all()
        # What no model reaches follows in the order of plain kNN.
        nearest = index.search(query, ROWS, "knn").positions[0]
        rest = [position for position in nearest if expected[position] == 0]
        assert hits.positions[0][reached:].tolist() == rest


@pytest.mark.parametrize("fusion", ["rrf", "score"])
@pytest.mark.parametrize("names", CHOICES, ids="+".join)
def test_hits_do_not_depend_on_how_many_are_asked_for(index, names, fusion):
    whole = index.search(CLUSTERS.queries, ROWS, names, fusion=fusion)
    for k in (1, 7, 60):
        some = index.search(CLUSTERS.queries, k, names, fusion=fusion)
        np.testing.assert_array_equal(some.positions, whole.positions[:, :k])
        np.testing.assert_array_equal(some.scores, whole.scores[:, :k])
        np.testing.assert_array_equal(some.similarities, whole.similarities[:, :k])
        np.testing.assert_array_equal(some.reached, np.minimum(whole.reached, k))


def test_the_order_of_names_changes_nothing_that_counts(index):
    one = index.search(CLUSTERS.queries, 50, ["near", "far", "cas"])
    other = index.search(CLUSTERS.queries, 50, ["cas", "near", "far"])
    np.testing.assert_allclose(one.scores, other.scores, rtol=1e-6)


def test_reciprocal_ranks_are_the_default(index):
    one = index.search(CLUSTERS.queries, 50, ["near", "far"])
    np.testing.assert_array_equal(
        one.scores, index.search(CLUSTERS.queries, 50, ["near", "far"], fusion="rrf").scores
    )
    assert (one.scores <= 2 / 61 + 1e-6).all()


@pytest.mark.parametrize("names", [["near"], ("cas",), ["knn"]])
def test_one_name_in_a_list_is_that_model(index, names):
    alone, listed = (index.search(CLUSTERS.queries, 9, model) for model in (names[0], names))
    np.testing.assert_array_equal(alone.scores, listed.scores)
    np.testing.assert_array_equal(alone.ids, listed.ids)


def test_by_id(index):
    hits = index.search_by_id([3, 77], 30, ["near", "cas"], fusion="score")
    direct = index.search(index.vectors[[3, 77]], 31, ["near", "cas"], fusion="score")
    for row, item in enumerate((3, 77)):
        kept = direct.ids[row][direct.ids[row] != item][:30]
        np.testing.assert_array_equal(hits.ids[row], kept)


@pytest.mark.parametrize(
    ("names", "keywords", "message"),
    [
        ([], {}, "at least one name"),
        (["near", "near"], {}, "'near' is named twice"),
        (["near", "x"], {}, "no model 'x' .* it has: near, cas, far, knn"),
        (["near", "far"], {"fusion": "max"}, "fusion: expected 'rrf' or 'score', found 'max'"),
    ],
)
def test_refusals(index, names, keywords, message):
    with pytest.raises(kinfold.KinfoldError, match=message):
        index.search(CLUSTERS.queries, 5, names, **keywords)


def test_fused_rankings_are_explained_model_by_model(index):
    with pytest.raises(kinfold.InputError, match="explain: expected one model"):
        index.explain(CLUSTERS.queries[0], 3, ["near", "far"])
