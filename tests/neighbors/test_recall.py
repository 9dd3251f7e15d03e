"""Approximate neighbours: how many are true, and whether the estimate says so."""

from __future__ import annotations

import numpy as np
import pytest

import kinfold
from kinfold.arrays import NOTHING
from kinfold.neighbors import NeighborLists, estimate_recall, self_join

from .cases import METRICS, clustered, ready

K = 10


def true_recall(lists, exact):
    """A neighbour counts when it is as close as the true k-th one."""
    return float((lists.similarities >= exact.similarities[:, -1:]).mean())


@pytest.fixture(scope="module", params=METRICS)
def gallery(request):
    vectors, measure = ready(clustered(3000, 32), request.param)
    return vectors, measure, self_join(vectors, measure, K)


def test_recall_and_its_estimate(gallery):
    vectors, measure, exact = gallery
    lists = self_join(vectors, measure, K, how="cells")
    recall = true_recall(lists, exact)
    assert recall >= 0.9
    assert estimate_recall(lists, vectors, measure, K) == pytest.approx(recall, abs=0.05)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_the_estimate_follows_the_truth_downwards(gallery, share):
    """Lists of which a known share was spoilt, so that the estimate has something to miss."""
    vectors, measure, exact = gallery
    rng = np.random.default_rng(0)
    spoilt = rng.random(exact.ids.shape) < share
    values = np.where(spoilt, -np.inf, exact.similarities).astype(np.float32)
    order = np.argsort(-values, axis=1, kind="stable")
    lists = NeighborLists(
        np.take_along_axis(np.where(spoilt, NOTHING, exact.ids), order, axis=1),
        np.take_along_axis(values, order, axis=1),
    )
    estimate = estimate_recall(lists, vectors, measure, K)
    assert estimate == pytest.approx(1 - share, abs=0.05)
    everywhere = estimate_recall(lists, vectors, measure, K, sample_rows=3000)
    assert everywhere == pytest.approx(true_recall(lists, exact), abs=1e-9)


def test_the_manifest_says_how_many_were_found(tmp_path):
    """Without clusters cells miss many, and the index must not hide it."""
    vectors = np.random.default_rng(0).normal(size=(3000, 64))
    recall = {}
    for kind in ("cells", "exact"):
        config = kinfold.BuildConfig(join=kind, k_d=K, max_row=20)
        index = kinfold.build(vectors, tmp_path / kind, config=config)
        recall[kind] = index.manifest.neighbor_recall
    gallery, measure = ready(vectors, "cosine")
    exact = self_join(gallery, measure, K)
    found = self_join(gallery, measure, 2 * K, how="cells").first(K)
    assert true_recall(found, exact) < 0.9
    assert recall["cells"] == pytest.approx(true_recall(found, exact), abs=0.05)
    assert recall["exact"] == 1


def test_duplicates_cost_nothing():
    """Any ten of thirty equal items are as good as any other ten."""
    vectors, measure = ready(np.repeat(clustered(20, 8), 30, axis=0), "cosine")
    group = np.arange(600) // 30 * 30
    last = group[:, None] + 29 - np.arange(K + 1)
    ids = np.array([[j for j in row if j != i][:K] for i, row in enumerate(last)], dtype=np.uint32)
    values = np.full(ids.shape, 2.0, dtype=np.float32)
    values[:] = self_join(vectors, measure, K).similarities
    assert estimate_recall(NeighborLists(ids, values), vectors, measure, K) == 1.0
