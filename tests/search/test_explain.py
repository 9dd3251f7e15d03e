from __future__ import annotations

import numpy as np
import pytest
from oracles.galleries import BY_NAME
from oracles.reading import counted_matrix

import kinfold

from .conftest import built

CHOICES = [{}, {"k_q": 1}, {"k_q": 4, "seeds": "plain"}, {"k_q": 4, "seeds": "reciprocal"}]


def choice_for(index, choice):
    return choice | {"k_q": min(choice["k_q"], len(index))} if "k_q" in choice else choice


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_contributions_are_the_score_of_the_hit(index, gallery, choice):
    choice = choice_for(index, choice)
    for query in gallery.queries[:3]:
        hits = index.search(query, len(index), **choice)
        for place, item in enumerate(hits.ids[0].tolist()):
            why = index.explain(query, item, **choice)
            score = float(hits.scores[0, place])
            assert why.id == item
            assert why.score == pytest.approx(score, rel=1e-5)
            assert sum(why.contributions) == pytest.approx(score, rel=1e-5)
            assert sum(why.shares) == pytest.approx(1.0 if score > 0 else 0.0)
            assert why.similarity == hits.similarities[0, place]
            assert why.contributions == sorted(why.contributions, reverse=True)
            assert all(weight > 0 for weight in why.weights)
            assert len(set(why.neighbors)) == len(why.neighbors)


def test_each_part_is_a_weight_times_an_entry_of_c(clusters):
    gallery = BY_NAME["clusters"]
    C = counted_matrix(clusters)
    query = gallery.queries[8]
    neighbours = clusters.search(query, 6, "knn")
    weights = np.maximum(neighbours.similarities[0], 0) ** 3
    for item in range(0, 198, 7):
        why = clusters.explain(query, item, k_q=6, seeds="plain")
        parts = sorted(
            zip(
                (weights * C[neighbours.positions[0], item]).tolist(),
                neighbours.ids[0].tolist(),
                neighbours.similarities[0].tolist(),
                weights.tolist(),
                strict=True,
            ),
            key=lambda part: (-part[0], part[1]),
        )
        assert why.neighbors == [part[1] for part in parts]
        assert why.similarities == [part[2] for part in parts]
        assert why.weights == pytest.approx([part[3] for part in parts], rel=1e-6)
        assert why.contributions == pytest.approx([part[0] for part in parts], rel=1e-6)
        if why.score > 0:
            assert why.shares == pytest.approx([part[0] / why.score for part in parts])


def test_a_hit_that_the_diffusion_did_not_reach(tmp_path):
    gallery = BY_NAME["two parts"]
    index = built(gallery, tmp_path)
    hits = index.search(gallery.queries[0], len(index))
    last = int(hits.ids[0, -1])
    assert hits.reached[0] < len(index)
    why = index.explain(gallery.queries[0], last)
    assert why.score == 0
    assert set(why.shares) == set(why.contributions) == {0.0}
    assert len(why.neighbors) == len(why.shares) > 0


def copies_before_the_original():
    """Six equal items stand before the best one; with k_q = 3 only two of them can be seeds."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(47, 8)).astype(np.float32)
    rows[:6] = 0
    rows[:6, :2] = 1, 0.3
    rows[6] = np.eye(8)[0]
    return rows


@pytest.mark.parametrize("metric", ["cosine", "l2", "inner_product"])
def test_seeds_do_not_depend_on_how_many_hits_were_asked_for(tmp_path, metric):
    rows = copies_before_the_original()
    config = kinfold.BuildConfig(metric=metric, k_q=3, seeds="plain", dtype="float32")
    index = kinfold.build(rows, tmp_path, config=config)
    everything = index.search(rows[6], len(rows))
    for k in (1, 3, 5, 7, 20):
        hits = index.search(rows[6], k)
        np.testing.assert_array_equal(hits.scores, everything.scores[:, :k])
        np.testing.assert_array_equal(hits.positions, everything.positions[:, :k])
        for item, score in zip(hits.ids[0].tolist(), hits.scores[0].tolist(), strict=True):
            assert index.explain(rows[6], item).score == pytest.approx(score, rel=1e-5)


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
@pytest.mark.parametrize("k", [5, 100])
def test_the_explanation_fits_however_many_hits_were_asked_for(tmp_path, kind, k):
    """An approximate engine looks further for more hits; the seeds must stay the same ones."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(3000, 48)).astype(np.float32)
    config = kinfold.BuildConfig(neighbors=kind, max_row=50, k_q=8, seeds="plain")
    index = kinfold.build(vectors, tmp_path, config=config)
    for query in rng.normal(size=(40, 48)):
        hits = index.search(query, k)
        best = index.explain(query, int(hits.ids[0, 0]))
        assert best.score == pytest.approx(float(hits.scores[0, 0]), rel=1e-5)


def test_ids_of_ones_own(tmp_path):
    gallery = BY_NAME["clusters"]
    names = [f"n{number}" for number in range(198)]
    index = kinfold.build(gallery.vectors, tmp_path, ids=names)
    hits = index.search(gallery.queries[0], 1)
    why = index.explain(gallery.queries[0], hits.ids[0, 0])
    assert why.id == hits.ids[0, 0]
    assert set(why.neighbors) <= set(names)
    assert all(type(name) is str for name in why.neighbors)
