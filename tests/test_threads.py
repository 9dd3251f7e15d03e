from __future__ import annotations

import faiss
import numba
import numpy as np
import pytest
from threadpoolctl import threadpool_info

import kinfold
from kinfold.errors import InputError
from kinfold.threads import available_cores, limited_threads


def state():
    pools = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
    return numba.get_num_threads(), faiss.omp_get_max_threads(), pools


def test_one_thread_everywhere_and_given_back():
    before = state()
    with limited_threads(1) as count:
        assert count == 1
        numbers, omp, pools = state()
        assert numbers == omp == 1
        assert set(pools.values()) == {1}
    assert state() == before


def test_given_back_after_an_error():
    before = state()
    with pytest.raises(KeyError, match="inside"), limited_threads(1):
        raise KeyError("inside")
    assert state() == before


def test_limits_nest():
    before = state()
    with limited_threads(2):
        middle = state()
        with limited_threads(1):
            assert state() != middle or before[0] == 1
        assert state() == middle
    assert state() == before


def test_all_cores_unless_told():
    with limited_threads() as count:
        assert count == min(available_cores(), numba.config.NUMBA_NUM_THREADS)
        assert numba.get_num_threads() == count
    with limited_threads(10_000) as count:
        assert count == numba.config.NUMBA_NUM_THREADS


@pytest.mark.parametrize("threads", [0, -3])
def test_no_threads_is_refused(threads):
    before = state()
    message = f"threads must be at least 1, found {threads}"
    with pytest.raises(InputError, match=message), limited_threads(threads):
        pytest.fail("was let in")
    assert state() == before


def test_a_build_gives_back_what_it_took(tmp_path):
    before = state()
    vectors = np.random.default_rng(0).normal(size=(50, 8))
    kinfold.build(vectors, tmp_path, threads=1)
    assert state() == before
    vectors[20] = np.nan
    with pytest.raises(InputError):
        kinfold.build(vectors, tmp_path, threads=1)
    assert state() == before


@pytest.mark.parametrize("truncation", ["graph", "nearest"])
@pytest.mark.parametrize("neighbors", ["exact", "hnsw", "ivf"])
def test_threads_change_no_byte_of_an_index(tmp_path, neighbors, truncation):
    """Tight clusters and a short T, so that the walk cuts and rows differ in length."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(30, 24))
    vectors = centres[rng.integers(30, size=1500)] + 0.4 * rng.normal(size=(1500, 24))
    config = kinfold.BuildConfig(neighbors=neighbors, truncation=truncation, max_row=40)
    files = [
        kinfold.build(vectors, tmp_path / str(run), config=config, threads=threads).manifest.files
        for run, threads in enumerate((1, 2, 1))
    ]
    assert len(files[0]) >= 5
    assert files[0] == files[1] == files[2]
