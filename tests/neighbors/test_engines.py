"""One contract for every engine and every metric."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import dense

import kinfold
from kinfold.arrays import NOTHING
from kinfold.neighbors import FaissEngine, choose_engine, self_join
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


@pytest.fixture(scope="module")
def lists(engine, data):
    return self_join(engine, *data, K)


def test_shapes_and_types(lists):
    assert lists.ids.shape == lists.similarities.shape == (ROWS, K)
    assert (lists.ids.dtype, lists.similarities.dtype) == (np.uint32, np.float32)
    assert lists.k == K


def test_nobody_is_his_own_neighbour_nor_anybody_twice(lists):
    for row, ids in enumerate(lists.ids.tolist()):
        found = [j for j in ids if j != NOTHING]
        assert row not in found
        assert len(set(found)) == len(found)
        assert max(found) < ROWS


def test_lists_descend_with_ties_by_position(lists):
    values, ids = lists.similarities, lists.ids.astype(np.int64)
    assert (values[:, :-1] >= values[:, 1:]).all()
    tied = values[:, :-1] == values[:, 1:]
    assert (ids[:, :-1] < ids[:, 1:])[tied].all()


def test_similarities_are_those_of_the_vectors(lists, data):
    vectors, measure = data
    expected = dense.closeness(vectors.astype(float), vectors.astype(float), measure.metric)
    size = np.abs(expected).max()
    found = lists.ids != NOTHING
    rows = np.repeat(np.arange(ROWS), K).reshape(ROWS, K)[found]
    exact = expected[rows, lists.ids[found]]
    np.testing.assert_allclose(lists.similarities[found], exact, atol=2e-6 * size)
    assert (lists.similarities[~found] == -np.inf).all()


def test_closeness_is_symmetric(lists):
    """Both directions of a pair carry the same bits: the mutual test compares them."""
    pairs = {}
    for row in range(ROWS):
        for j, value in zip(lists.ids[row].tolist(), lists.similarities[row].tolist(), strict=True):
            pairs[row, j] = value
    both = [(value, pairs[j, i]) for (i, j), value in pairs.items() if (j, i) in pairs]
    assert len(both) > ROWS
    assert all(there == back for there, back in both)


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


def test_first_and_thresholds(lists):
    first = lists.first(3)
    np.testing.assert_array_equal(first.ids, lists.ids[:, :3])
    np.testing.assert_array_equal(lists.thresholds(3), lists.similarities[:, 2])
    np.testing.assert_array_equal(lists.thresholds(K + 5), lists.similarities[:, K - 1])


def test_built_saved_and_opened_again(kind, metric, data, lists, tmp_path):
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


def test_auto_is_exact_as_long_as_that_is_quick():
    assert choose_engine("auto", 1000, 2048) == "exact"
    assert choose_engine("auto", 10_000_000, 128) == "hnsw"
    for kind in ENGINES:
        assert choose_engine(kind, 10, 10) == choose_engine(kind, 10**9, 10**4) == kind
