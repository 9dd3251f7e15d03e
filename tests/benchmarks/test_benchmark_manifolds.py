"""The official generator makes what it promises."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import manifolds as module
from benchmarks.manifolds import DEFAULT, Recipe, intrinsic_dimension, manifolds, nearest

ROWS, DIMENSION, QUERIES = 6000, 48, 80


@pytest.fixture(scope="module")
def gallery():
    return manifolds(ROWS, DIMENSION, queries=QUERIES)


def test_shapes_types_and_length(gallery):
    assert gallery.vectors.shape == (ROWS, DIMENSION)
    assert gallery.queries.shape == (QUERIES, DIMENSION)
    assert gallery.vectors.dtype == gallery.queries.dtype == np.float32
    assert gallery.labels.shape == (ROWS,)
    assert gallery.labels.dtype == gallery.query_labels.dtype == np.int64
    for vectors in (gallery.vectors, gallery.queries):
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)


def test_patches_are_of_unequal_sizes_among_distractors(gallery):
    counts = np.unique(gallery.labels, return_counts=True)[1]
    assert (counts == 1).sum() == pytest.approx(DEFAULT.distractors * ROWS, abs=2)
    sizes = counts[counts > 1]
    # A query is missing from some, and what was left over was added to the last.
    assert sizes.min() >= DEFAULT.smallest - 1
    assert sizes.max() <= DEFAULT.largest + DEFAULT.smallest
    assert np.median(sizes) < sizes.mean() < sizes.max() / 4


def test_queries_are_held_out_and_have_an_answer(gallery):
    assert np.unique(gallery.query_labels).size == QUERIES
    several = manifolds(ROWS, DIMENSION, queries=3 * QUERIES)
    asked = np.unique(several.query_labels, return_counts=True)[1]
    assert asked.sum() == 3 * QUERIES
    assert 1 < asked.max() <= 3
    found = [(gallery.labels == label).sum() for label in gallery.query_labels]
    assert min(found) >= DEFAULT.smallest - 1
    assert nearest(gallery.vectors, gallery.queries, 1)[1].max() < 1 - 1e-5


def test_a_seed_is_a_gallery(gallery):
    again = manifolds(ROWS, DIMENSION, queries=QUERIES)
    for name in ("vectors", "labels", "queries", "query_labels"):
        assert np.array_equal(getattr(gallery, name), getattr(again, name))
    other = manifolds(ROWS, DIMENSION, queries=QUERIES, seed=1)
    assert not np.array_equal(gallery.labels, other.labels)


def test_a_file_holds_the_same_and_is_mapped(gallery, tmp_path):
    path = tmp_path / "vectors.npy"
    mapped = manifolds(ROWS, DIMENSION, queries=QUERIES, file=path)
    assert isinstance(mapped.vectors, np.memmap)
    assert not mapped.vectors.flags.writeable
    assert np.array_equal(np.load(path), gallery.vectors)
    assert np.array_equal(mapped.labels, gallery.labels)
    assert np.array_equal(mapped.queries, gallery.queries)


def test_chunks_are_whole_patches_one_behind_the_other():
    sizes = np.array([3, module.CHUNK_ROWS - 3, 1, 2 * module.CHUNK_ROWS, 5, 1])
    groups = list(module._groups(sizes))
    assert groups == [(0, 2), (2, 3), (3, 4), (4, 6)]


def test_the_space_is_as_wide_as_asked(gallery):
    lone = np.flatnonzero(np.bincount(gallery.labels)[gallery.labels] == 1)
    assert 10 < intrinsic_dimension(gallery.vectors, sample=300) < 25
    assert 14 < intrinsic_dimension(gallery.vectors, sample=300, among=lone) < 35
    flat = manifolds(ROWS, DIMENSION, Recipe(latent=4, thickness=0.2, noise=0.02), queries=0)
    assert intrinsic_dimension(flat.vectors, sample=300) < 7


def test_the_estimate_is_right_where_the_answer_is_known():
    """A cap of a sphere of four dimensions, in a space of twenty."""
    points = np.random.default_rng(0).standard_normal((20_000, 5)).astype(np.float32)
    points = np.concatenate([points, np.zeros((20_000, 15), np.float32)], axis=1)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    assert intrinsic_dimension(points, sample=500) == pytest.approx(4, abs=0.4)


def test_kin_is_near_along_a_patch_and_far_across(gallery):
    """Otherwise there would be nothing for diffusion to gain."""
    ids, similarities = nearest(gallery.vectors, gallery.queries, ROWS)
    kin = gallery.labels[ids] == gallery.query_labels[:, None]
    assert kin[:, 0].mean() > 0.9
    last = ROWS - 1 - kin[:, ::-1].argmax(axis=1)
    between = [(~kin[i, : last[i]]).sum() for i in range(QUERIES)]
    assert np.mean(np.array(between) > 10) > 0.3
    assert np.all(np.diff(similarities, axis=1) <= 0)


def test_nearest_is_exact_over_pieces(monkeypatch):
    generator = np.random.default_rng(3)
    vectors = generator.standard_normal((700, 6)).astype(np.float32)
    queries = generator.standard_normal((9, 6)).astype(np.float32)
    monkeypatch.setattr(module, "CHUNK_ROWS", 60)
    ids, values = nearest(vectors, queries, 80)
    full = queries @ vectors.T
    assert np.array_equal(ids, np.argsort(-full, axis=1)[:, :80])
    assert values == pytest.approx(-np.sort(-full, axis=1)[:, :80], abs=1e-5)
