"""Searching with an item of the gallery, which is never its own hit."""

from __future__ import annotations

import numpy as np
import pytest
from oracles.galleries import BY_NAME

import kinfold

MODELS = ["default", "knn"]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("k", [1, 4, "all"])
def test_is_a_search_without_the_item_itself(index, gallery, model, k):
    n = len(index)
    k = n - 1 if k == "all" else min(k, n - 1)
    hits = index.search_by_id(list(range(n)), k, model)
    whole = index.search(gallery.vectors, n, model)
    for row in range(n):
        others = whole.positions[row] != row
        assert row not in hits.positions[row]
        np.testing.assert_array_equal(hits.positions[row], whole.positions[row][others][:k])
        np.testing.assert_array_equal(hits.scores[row], whole.scores[row][others][:k])
        np.testing.assert_array_equal(hits.similarities[row], whole.similarities[row][others][:k])
        reached = whole.reached[row] - (row in whole.positions[row, : whole.reached[row]])
        assert hits.reached[row] == min(k, reached)


@pytest.mark.parametrize("model", MODELS)
def test_duplicates_of_the_item_stay(duplicates, model):
    """The item goes by its id: fourteen others are the same picture, and are found first."""
    vectors = BY_NAME["duplicates"].vectors
    group = set(np.flatnonzero((vectors == vectors[59]).all(axis=1)).tolist())
    for item in sorted(group):
        hits = duplicates.search_by_id([item], 14, model)
        if model == "knn":
            assert set(hits.positions[0].tolist()) == group - {item}
            np.testing.assert_allclose(hits.similarities, 1, atol=1e-6)
        assert item not in hits.positions[0]


def test_ids_of_ones_own(tmp_path):
    gallery = BY_NAME["clusters"]
    names = [f"picture {number:03d}.jpg" for number in range(len(gallery.vectors))]
    by_name = kinfold.build(gallery.vectors, tmp_path / "names", ids=names)
    by_number = kinfold.build(
        gallery.vectors,
        tmp_path / "numbers",
        ids=[7 * number - 300 for number in range(len(names))],
    )
    hits = by_name.search_by_id([names[5], names[90]], 6)
    numbered = by_number.search_by_id([7 * 5 - 300, 7 * 90 - 300], 6)
    np.testing.assert_array_equal(hits.positions, numbered.positions)
    assert hits.ids.tolist() == [[names[j] for j in row] for row in hits.positions]
    np.testing.assert_array_equal(numbered.ids, 7 * numbered.positions.astype(int) - 300)
    assert by_name.position(names[33]) == by_number.position(7 * 33 - 300) == 33


def test_several_and_the_same_item_twice(clusters):
    hits = clusters.search_by_id([3, 150, 3], 5)
    np.testing.assert_array_equal(hits.positions[0], hits.positions[2])
    assert (hits.positions[0] != hits.positions[1]).any()
    numbers = clusters.search_by_id(np.array([3, 150, 3]), 5)
    np.testing.assert_array_equal(numbers.positions, hits.positions)


def test_nobody(clusters):
    assert clusters.search_by_id([], 5).positions.shape == (0, 5)


def test_overrides_reach_it(clusters):
    one = clusters.search_by_id([3], 20, k_q=1, seeds="plain")
    many = clusters.search_by_id([3], 20, k_q=9, seeds="plain")
    expected = clusters.search(BY_NAME["clusters"].vectors[3], 21, k_q=9, seeds="plain")
    assert (one.scores != many.scores).any()
    others = expected.positions[0] != 3
    np.testing.assert_array_equal(many.positions[0], expected.positions[0][others][:20])
