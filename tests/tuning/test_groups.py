"""Groups that a gallery falls into, and what they say of rankings."""

from __future__ import annotations

import numpy as np
import pytest

from kinfold.evaluate import score_by_labels
from kinfold.kernels.communities import spread_labels
from kinfold.metric import Measure
from kinfold.neighbors import self_join
from kinfold.tuning.by_gallery import MARGIN, decide
from kinfold.tuning.groups import (
    GROUPINGS,
    group_items,
    group_queries,
    halves,
    of_length_one,
    precision_by_groups,
)

from .support import clusters


def blobs() -> tuple[np.ndarray, np.ndarray]:
    """Six blobs of 25 that nobody could mistake."""
    random = np.random.default_rng(1)
    labels = np.repeat(np.arange(6), 25)
    points = 10 * random.normal(size=(6, 12))[labels] + 0.1 * random.normal(size=(150, 12))
    return points.astype("f4"), labels


@pytest.mark.parametrize("grouping", GROUPINGS)
def test_no_group_mixes_blobs(grouping):
    points, labels = blobs()
    ids = self_join(points, Measure("l2"), 20).ids
    groups = group_items(ids, grouping)
    assert all(len(set(labels[groups == group])) == 1 for group in set(groups))
    assert len(set(groups)) < 75
    np.testing.assert_array_equal(groups, group_items(ids, grouping))


def test_labels_spread_until_nothing_changes():
    # Two triangles and a weak edge between them; order decides nothing here.
    edges = [(0, 1, 3), (1, 2, 3), (0, 2, 3), (3, 4, 3), (4, 5, 3), (3, 5, 3), (2, 3, 1)]
    dense = np.zeros((6, 6))
    for left, right, weight in edges:
        dense[left, right] = dense[right, left] = weight
    rows, columns = np.nonzero(dense)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows))])
    labels = np.arange(6)
    spread_labels(indptr, columns, dense[rows, columns], np.arange(6), 30, labels)
    assert len(set(labels[:3])) == 1
    assert len(set(labels[3:])) == 1
    assert labels[0] != labels[5]


def test_a_query_is_in_the_group_of_its_nearest():
    groups = np.array([7, 7, 4, 4, 4])
    nearest = np.array([[0, 1, 2, 3, 4], [2, 0, 3, 1, 4], [2, 0, 1, 3, 4]])
    # Votes are 1, 1/2, 1/3, 1/4, 1/5.
    np.testing.assert_array_equal(group_queries(nearest, groups), [7, 4, 4])


def test_precision_is_that_of_labels():
    random = np.random.default_rng(2)
    groups = random.integers(0, 6, 60)
    wanted = random.integers(0, 6, 9)
    rankings = np.array([random.permutation(60)[:40] for _ in wanted])
    expected = score_by_labels(rankings, wanted, groups).mean_average_precision
    assert precision_by_groups(rankings, wanted, groups) == pytest.approx(expected)
    assert np.isnan(precision_by_groups(rankings[:1], np.array([0]), np.arange(60)))


def test_halves_are_all_dimensions_once():
    vectors = np.arange(3 * 9, dtype="f4").reshape(3, 9)
    first, second = halves(vectors, seed=4)
    assert first.shape == (3, 4)
    np.testing.assert_array_equal(np.sort(np.hstack([first, second]), axis=1), vectors)
    assert not np.isnan(of_length_one(np.zeros((2, 3), dtype="f4"))).any()


def test_a_setting_must_be_ahead_under_every_grouping():
    base = np.array([[0.5, 0.6, 0.52], [0.5, 0.49, 0.51], [0.4, 0.6, 0.41]])
    verdict = decide(base)
    assert verdict.best == 2
    np.testing.assert_allclose(verdict.leads, [0, -0.01, 0.01])
    assert decide(base[:, :2]).best == 0
    assert decide(np.array([[0.5, 0.5 + MARGIN / 2]])).best == 0
    assert decide(np.array([[0.5, 0.6], [np.nan, np.nan]])).best == 1
    nothing = decide(np.full((4, 3), np.nan))
    assert nothing.best == 0
    assert not nothing.scores.any()


def test_the_made_gallery_is_what_it_says():
    gallery = clusters()
    assert gallery.vectors.shape == (300, 16)
    assert gallery.queries.shape == (60, 16)
