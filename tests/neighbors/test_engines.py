"""One contract for every engine and every metric."""

from __future__ import annotations

import numpy as np
import pytest

import kinfold
from kinfold.neighbors import FaissEngine, choose_engine
from kinfold.neighbors.engine import nearest

from .cases import ENGINES, METRICS, clustered, engine_of, ready

ROWS, K = 800, 12


@pytest.fixture(scope="module", params=METRICS)
def metric(request):
    return request.param


@pytest.fixture(scope="module", params=ENGINES)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def data(metric):
    return ready(clustered(ROWS, 24, 40, seed=1), metric)


@pytest.fixture(scope="module")
def engine(kind, data):
    return engine_of(kind, *data)


def test_a_batch_is_its_queries_one_by_one(engine, data):
    vectors, measure = data
    queries = np.concatenate([vectors[:40], vectors[40:80] + np.float32(0.01)])
    together = nearest(engine, vectors, measure, queries, K)
    for row in range(len(queries)):
        alone = nearest(engine, vectors, measure, queries[row : row + 1], K)
        np.testing.assert_array_equal(alone[0][0], together[0][row])
        np.testing.assert_array_equal(alone[1][0], together[1][row])


def test_nearest_of_no_query_at_all(engine, data):
    vectors, measure = data
    ids, similarities = nearest(engine, vectors, measure, vectors[:0], K)
    assert ids.shape == similarities.shape == (0, K)


def test_built_saved_and_opened_again(kind, metric, data, tmp_path):
    vectors, _ = data
    config = kinfold.BuildConfig(neighbors=kind, metric=metric, max_row=20)
    built = kinfold.build(clustered(ROWS, 24, 40, seed=1), tmp_path, config=config)
    assert built.manifest.engine == kind
    assert any("faiss" in name for name in built.manifest.files) == (kind != "exact")
    np.testing.assert_array_equal(built.vectors, vectors)
    opened = kinfold.open(tmp_path)
    queries = clustered(30, 24, 40, seed=1) + np.float32(0.05)
    for model in ("knn", None):
        first, second = built.search(queries, 10, model), opened.search(queries, 10, model)
        np.testing.assert_array_equal(first.positions, second.positions)
        np.testing.assert_array_equal(first.scores, second.scores)
    engine = engine_of(kind, *data)
    fresh = nearest(engine, vectors, built._stored.measure, built.vectors[:30], 10)
    hits = opened.search(clustered(ROWS, 24, 40, seed=1)[:30], 10, "knn")
    np.testing.assert_array_equal(hits.positions, fresh[0])
    np.testing.assert_array_equal(hits.similarities, fresh[1])
    assert kinfold.verify(tmp_path).ok


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_a_file_of_another_gallery_is_refused(kind, tmp_path):
    vectors, measure = ready(clustered(100, 8), "cosine")
    with (tmp_path / "knn.faiss").open("wb") as file:
        engine_of(kind, vectors, measure).save(file.write)
    assert FaissEngine.load(tmp_path / "knn.faiss", kind, 100, 8).kind == kind
    with pytest.raises(kinfold.CorruptIndexError, match=r"expected 101 vectors .* found 100"):
        FaissEngine.load(tmp_path / "knn.faiss", kind, 101, 8)
    with pytest.raises(kinfold.CorruptIndexError, match="dimension 9, found 100 of dimension 8"):
        FaissEngine.load(tmp_path / "knn.faiss", kind, 100, 9)
    (tmp_path / "knn.faiss").write_bytes(b"not an index")
    with pytest.raises(kinfold.CorruptIndexError, match=r"knn\.faiss: expected a faiss index"):
        FaissEngine.load(tmp_path / "knn.faiss", kind, 100, 8)


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_approximate_engines_find_what_they_should(kind, metric):
    """Held-out queries: of ten nearest rows at least nine and a half."""
    every, measure = ready(clustered(5200, 32), metric)
    vectors, queries = np.ascontiguousarray(every[:5000]), np.ascontiguousarray(every[5000:])
    engine = engine_of(kind, vectors, measure)
    _, found = nearest(engine, vectors, measure, queries, 10)
    _, true = nearest(engine_of("exact", vectors, measure), vectors, measure, queries, 10)
    assert (found >= true[:, -1:]).mean() >= 0.95


def test_auto_is_exact_as_long_as_that_is_quick():
    assert choose_engine("auto", 1000, 2048) == "exact"
    assert choose_engine("auto", 100_000, 64) == "exact"
    assert choose_engine("auto", 10_000_000, 128) == "ivf"
    for kind in ENGINES:
        assert choose_engine(kind, 10, 10) == choose_engine(kind, 10**9, 10**4) == kind
