"""Eight threads on one index: the same answers, and nobody's scratch in somebody else's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

import kinfold
from kinfold import BuildConfig

THREADS = 8


@pytest.fixture(scope="module", params=["exact", "hnsw", "ivf"])
def index(request, tmp_path_factory):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, 16))
    vectors = np.repeat(centres, 50, axis=0) + 0.5 * rng.normal(size=(2000, 16))
    config = BuildConfig(neighbors=request.param, max_row=100)
    return kinfold.build(vectors, tmp_path_factory.mktemp("index"), config=config)


def all_of(hits):
    return hits.ids, hits.scores, hits.similarities, hits.positions, hits.reached


def test_threads_get_what_one_gets(index):
    rng = np.random.default_rng(1)
    queries = index.vectors[rng.permutation(2000)[:160]] + 0.1 * rng.normal(size=(160, 16))
    calls = [
        (queries[start : start + 5], {"k": k, "model": model, "k_q": k_q})
        for start in range(0, 160, 5)
        for k, model, k_q in ((10, None, 5), (60, None, 2), (30, "knn", None))
    ]
    serial = [all_of(index.search(some, **how)) for some, how in calls]
    start = Barrier(THREADS)

    def work(offset):
        start.wait()
        order = np.roll(np.arange(len(calls)), 7 * offset)
        return {int(i): all_of(index.search(calls[i][0], **calls[i][1])) for i in order}

    with ThreadPoolExecutor(THREADS) as pool:
        for found in pool.map(work, range(THREADS)):
            for i, expected in enumerate(serial):
                for have, want in zip(found[i], expected, strict=True):
                    np.testing.assert_array_equal(have, want)


def test_threads_explain_what_one_explains(index):
    queries = index.vectors[::100]

    def explain(row):
        return index.explain(queries[row], int(row) * 100)

    serial = [explain(row) for row in range(20)]
    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(explain, list(range(20)) * 4)) == serial * 4
