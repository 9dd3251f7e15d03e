"""The synthetic galleries: what the figures of the benchmarks are measured on."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.galleries import curved_manifolds

ROWS, DIMENSION, QUERIES = 1500, 32, 20


def make(**changes):
    return curved_manifolds(
        **{"rows": ROWS, "dimension": DIMENSION, "queries": QUERIES, "seed": 3, **changes}
    )


@pytest.fixture(scope="module")
def gallery():
    return make()


def test_sizes(gallery):
    assert gallery.vectors.shape == (ROWS, DIMENSION)
    assert gallery.labels.shape == (ROWS,)
    assert gallery.queries.shape == (QUERIES, DIMENSION)
    assert gallery.query_labels.shape == (QUERIES,)
    assert gallery.vectors.dtype == gallery.queries.dtype == np.float32
    assert gallery.labels.dtype == gallery.query_labels.dtype == np.int64


@pytest.mark.parametrize("rows", [50, 333, 2000])
@pytest.mark.parametrize("distractors", [0.0, 0.6, 0.9])
def test_sizes_of_other_galleries(rows, distractors):
    gallery = make(rows=rows, dimension=5, distractors=distractors, queries=2)
    assert gallery.vectors.shape == (rows, 5)
    assert 1 <= len(gallery.queries) <= 2  # no more than there are arcs
    _, counts = np.unique(gallery.labels, return_counts=True)
    # An arc may be cut down to one item, or lose all but one to the queries.
    assert abs((counts == 1).sum() - (rows - int(rows * (1 - distractors)))) <= 2


def test_every_vector_has_length_one(gallery):
    for vectors in (gallery.vectors, gallery.queries):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)


def test_a_seed_gives_one_gallery(gallery):
    again, other = make(), make(seed=4)
    for name in ("vectors", "labels", "queries", "query_labels"):
        np.testing.assert_array_equal(getattr(gallery, name), getattr(again, name))
    assert not np.array_equal(gallery.vectors, other.vectors)
    assert not np.array_equal(gallery.queries, other.queries)


def test_queries_are_not_in_the_gallery(gallery):
    """Nor is any item there twice."""
    everything = np.concatenate([gallery.vectors, gallery.queries])
    assert len(np.unique(everything, axis=0)) == ROWS + QUERIES
    assert (gallery.queries @ gallery.vectors.T).max() < 0.9999


def test_distractors_have_labels_of_their_own(gallery):
    labels, counts = np.unique(gallery.labels, return_counts=True)
    assert (counts == 1).sum() == pytest.approx(0.6 * ROWS, abs=2)
    lone = labels[counts == 1]
    assert not np.isin(gallery.query_labels, lone).any()


def test_every_query_has_an_answer_and_an_arc_of_its_own(gallery):
    assert len(set(gallery.query_labels.tolist())) == QUERIES
    sizes = np.array([(gallery.labels == label).sum() for label in gallery.query_labels])
    assert sizes.min() >= 10 - 1
    assert sizes.max() <= 40


def test_labels_follow_the_arcs(gallery):
    """Items of a label lie near each other along the arc, and its far ends do not."""
    similar = gallery.vectors @ gallery.vectors.T
    np.fill_diagonal(similar, -1)
    on_arcs = np.flatnonzero(np.bincount(gallery.labels)[gallery.labels] > 5)
    nearest = similar[on_arcs].argmax(axis=1)
    assert (gallery.labels[nearest] == gallery.labels[on_arcs]).mean() > 0.95
    of_query = (gallery.queries @ gallery.vectors.T).argmax(axis=1)
    assert (gallery.labels[of_query] == gallery.query_labels).mean() > 0.9


def test_arcs_are_bent_so_that_kin_is_farther_than_strangers(gallery):
    """Otherwise there would be nothing for diffusion to gain."""
    for label in gallery.query_labels:
        arc = gallery.vectors[gallery.labels == label]
        ends = (arc[:2] @ arc[-2:].T).mean()
        along = np.einsum("ij,ij->i", arc[:-1], arc[1:]).mean()
        assert along > ends + 0.2
    straight = make(bend=0.0)
    arc = straight.vectors[straight.labels == straight.query_labels[0]]
    assert (arc[:2] @ arc[-2:].T).mean() > 0.8
