"""C-CRF beside its dense oracle, and what its energy promises."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import c_crf as oracle

from kinfold.arrays import NOTHING
from kinfold.config import SimilaritySpec
from kinfold.errors import InputError
from kinfold.metric import Measure
from kinfold.neighbors import NeighborLists, self_join
from kinfold.similarity import resolve
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
    return resolve(SimilaritySpec(name="c-crf", parameters={"gamma": 1} | parameters))


@pytest.mark.parametrize(("rows", "dimension", "k"), [(40, 8, 39), (90, 16, 20), (120, 3, 12)])
@pytest.mark.parametrize(
    ("beta", "sigma", "profiles"), [(0.3, 0.4, 0.35), (0.1, 0.9, 0.35), (5.0, 0.2, 0.03)]
)
def test_against_the_oracle(rows, dimension, k, beta, sigma, profiles):
    vectors = gallery(rows, dimension, rows)
    lists = lists_of(vectors, k)
    found = model(beta=beta, sigma=sigma, profiles=profiles).recalculate(lists, vectors)
    for i in range(rows):
        clique = np.concatenate([[i], lists.ids[i]])
        start = np.concatenate([[1], np.clip(lists.similarities[i], 0, 1)]).astype(float)
        expected = oracle.denoised(
            vectors[clique].astype(float), start, sigma, profiles / (k + 1), beta
        )
        np.testing.assert_allclose(found[i], expected[1:], atol=2e-5)


def test_nothing_has_less_energy():
    vectors = gallery(50, 8, 3)
    lists = lists_of(vectors, 15)
    found = model(beta=0.5).recalculate(lists, vectors)
    generator = np.random.default_rng(0)
    for i in range(0, 50, 7):
        clique = np.concatenate([[i], lists.ids[i]])
        weight = oracle.weights(vectors[clique].astype(float), 0.4, 0.35 / 16)
        start = np.concatenate([[1], np.clip(lists.similarities[i], 0, 1)]).astype(float)
        x = oracle.denoised(vectors[clique].astype(float), start, 0.4, 0.35 / 16, 0.5)
        np.testing.assert_allclose(found[i], x[1:], atol=2e-5)
        least = oracle.energy(x, start, weight, 0.5)
        assert least < oracle.energy(start, start, weight, 0.5)
        for size in (1e-3, 1e-1):
            step = size * generator.normal(size=x.size)
            assert least < oracle.energy(x + step, start, weight, 0.5)


def test_without_agreement_nothing_changes():
    vectors = gallery(60, 8, 4)
    lists = lists_of(vectors, 20)
    plain = np.clip(lists.similarities, 0, 1)
    np.testing.assert_allclose(model(beta=0).recalculate(lists, vectors), plain, atol=1e-6)
    np.testing.assert_allclose(
        model(beta=0, gamma=3, power=2).recalculate(lists, vectors), plain**5, atol=1e-6
    )


def test_much_agreement_makes_a_clique_of_one_kind_even():
    """All weights positive: as beta grows, everything goes to the mean of the clique."""
    vectors = gallery(30, 8, 5)
    lists = lists_of(vectors, 10)
    found = model(beta=1e6, sigma=1e3, profiles=1e3).recalculate(lists, vectors)
    mean = (1 + np.clip(lists.similarities, 0, 1).sum(axis=1)) / 11
    np.testing.assert_allclose(found, np.repeat(mean[:, None], 10, axis=1), atol=1e-4)


def test_results_lie_between_the_least_and_the_largest_similarity():
    vectors = gallery(80, 8, 6)
    lists = lists_of(vectors, 25)
    found = model(beta=3).recalculate(lists, vectors)
    least = np.clip(lists.similarities, 0, 1).min(axis=1, keepdims=True)
    assert (found >= least - 1e-6).all()
    assert (found <= 1).all()


def test_a_value_that_its_like_contradict_gives_way():
    """Four near twins and a stranger, at right angles to them, both handed a wrong similarity."""
    twins = [[0.8, 0.6, 0.02 * a, 0] for a in range(4)]
    vectors = normalised(
        np.array([[1, 0, 0, 0], *twins, [0, 0, 0, 1]], dtype=np.float32), "rows", 0
    )
    ids = np.full((6, 5), NOTHING, dtype=np.uint32)
    ids[0] = 1, 2, 3, 4, 5
    similarities = np.full((6, 5), -np.inf, dtype=np.float32)
    similarities[0] = 0.8, 0.8, 0.8, 0.1, 0.1
    found = model(beta=1).recalculate(NeighborLists(ids, similarities), vectors)[0]
    assert found[3] > 0.4
    assert found[4] < 0.15
    assert found[:3].min() > found[3]


def test_an_item_without_neighbours_and_holes_in_lists():
    vectors = gallery(40, 6, 7)
    lists = lists_of(vectors, 12)
    ids, similarities = lists.ids.copy(), lists.similarities.copy()
    ids[0], similarities[0] = NOTHING, -np.inf
    ids[1, 5:], similarities[1, 5:] = NOTHING, -np.inf
    found = model().recalculate(NeighborLists(ids, similarities), vectors)
    assert not found[0].any()
    assert not found[1, 5:].any()
    short = NeighborLists(ids[:, :5].copy(), similarities[:, :5].copy())
    np.testing.assert_array_equal(found[1, :5], model().recalculate(short, vectors)[1])


def test_lengths_of_vectors_do_not_matter():
    """By inner product or distance vectors are not of length one; a zero one has no direction."""
    vectors = gallery(40, 6, 8)
    lists = lists_of(vectors, 12)
    lengths = np.random.default_rng(8).uniform(0.1, 9, size=(40, 1)).astype(np.float32)
    found = model().recalculate(lists, vectors * lengths)
    np.testing.assert_allclose(found, model().recalculate(lists, vectors), atol=1e-5)
    vectors[3] = 0
    assert np.isfinite(model().recalculate(lists, vectors)).all()


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("beta", -0.1),
        ("beta", float("nan")),
        ("sigma", 0),
        ("profiles", -1),
        ("gamma", 0),
        ("power", -1),
        ("clique", 0),
    ],
)
def test_impossible_parameters_are_refused(parameter, value):
    with pytest.raises(InputError, match=f"'c-crf'.*{parameter}"):
        model(**{parameter: value})


def test_neighbours_it_asks_for():
    assert model(clique=25).neighbors_needed() == 25
    assert model(clique=25).least_neighbors() == 1
