"""`diffuse` on S itself, against a dense solver."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import dense
from oracles.reading import assert_rows_close
from oracles.reading import dense as as_dense
from oracles.weighted import GRAPHS, csr

from kinfold.arrays import NOTHING
from kinfold.diffusion import DiffusionReport, diffuse

PRECISION = {np.float64: (1e-12, 1e-9), np.float32: (1e-6, 1e-5)}


@pytest.fixture(params=GRAPHS)
def S(request):
    return GRAPHS[request.param]


@pytest.fixture(params=PRECISION, ids=["float64", "float32"])
def dtype(request):
    return request.param


def rows_of_c(S, dtype, nearest=None, report=None, **settings):
    settings = {
        "alpha": 0.9,
        "max_row": len(S),
        "mass": 1.0,
        "tolerance": PRECISION[dtype][0],
        "max_iterations": 2000,
        "threads": 2,
    } | settings
    blocks = list(diffuse(csr(S, dtype), nearest=nearest, report=report, **settings))
    assert [block.first_row for block in blocks][:1] == [0]
    assert all(block.values.dtype == dtype for block in blocks)
    return as_dense(blocks, len(S))


def ranking_of_everything(S, seed=0):
    """Some order of the other items for every item, as an exact search would list them."""
    rng = np.random.default_rng(seed)
    n = len(S)
    return np.array([[j for j in rng.permutation(n) if j != i] for i in range(n)], dtype=np.uint32)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("truncation", ["graph", "nearest"])
def test_on_everything_it_is_the_inverse(S, dtype, alpha, truncation):
    nearest = ranking_of_everything(S) if truncation == "nearest" else None
    found = rows_of_c(S, dtype, nearest, alpha=alpha)
    assert_rows_close(found, dense.diffusion_matrix(S, alpha), PRECISION[dtype][1])


@pytest.mark.parametrize("size", [1, 2, 5, 17])
def test_truncated_along_the_graph(S, size):
    found = rows_of_c(S, np.float64, max_row=size)
    expected = [dense.diffusion_row(S, 0.9, i, dense.walk_set(S, i, size)) for i in range(len(S))]
    assert_rows_close(found, np.array(expected), 1e-9)


@pytest.mark.parametrize("size", [1, 2, 5, 17])
def test_truncated_to_the_nearest(S, size):
    lists = ranking_of_everything(S)
    found = rows_of_c(S, np.float64, lists, max_row=size)
    expected = [
        dense.diffusion_row(S, 0.9, i, dense.nearest_set(lists, i, size)) for i in range(len(S))
    ]
    assert_rows_close(found, np.array(expected), 1e-9)


def test_lists_that_an_approximate_search_could_not_fill(S):
    lists = ranking_of_everything(S)
    known = np.random.default_rng(3).integers(0, 12, size=len(S))
    lists[np.arange(lists.shape[1]) >= known[:, None]] = NOTHING
    found = rows_of_c(S, np.float64, lists)
    expected = [
        dense.diffusion_row(S, 0.9, i, dense.nearest_set(lists, i, 1 + known[i]))
        for i in range(len(S))
    ]
    assert_rows_close(found, np.array(expected), 1e-9)


def test_an_item_without_edges_keeps_everything_itself():
    S = GRAPHS["two_parts_and_loners"]
    found = rows_of_c(S, np.float32, mass=0.9, max_row=7)
    alone = np.flatnonzero(~S.any(axis=1))
    assert len(alone) == 8
    np.testing.assert_array_equal(found[alone], np.eye(len(S))[alone])


@pytest.mark.parametrize("mass", [0.3, 0.8, 0.995])
def test_kept_entries_are_the_smallest_prefix_that_reaches_the_mass(S, mass):
    whole = rows_of_c(S, np.float64)
    kept = rows_of_c(S, np.float64, mass=mass)
    for row, full in zip(kept, whole, strict=True):
        stored = np.flatnonzero(row)
        np.testing.assert_array_equal(row[stored], full[stored])
        count = dense.mass_prefix(full, mass)
        assert len(stored) == count
        assert row[stored].min() == np.sort(full)[::-1][count - 1]


def test_columns_ascend_and_values_are_positive(S):
    report = DiffusionReport()
    (block,) = diffuse(
        csr(S, np.float32), alpha=0.95, max_row=20, mass=0.99, tolerance=1e-4,
        max_iterations=200, threads=2, report=report,
    )  # fmt: skip
    assert (block.indptr.dtype, block.columns.dtype) == (np.int64, np.uint32)
    assert block.indptr[0] == 0
    assert block.indptr[-1] == len(block.columns) == len(block.values) == report.stored
    assert report.rows == len(S)
    lengths = np.diff(block.indptr)
    assert report.longest_row == lengths.max() <= 20
    assert lengths.min() >= 1
    assert (block.values > 0).all()
    for begin, end in zip(block.indptr[:-1], block.indptr[1:], strict=True):
        assert (np.diff(block.columns[begin:end].astype(int)) > 0).all()


@pytest.mark.parametrize("values", [1, 100, 1001])
def test_blocks_change_nothing(S, values, monkeypatch):
    whole = rows_of_c(S, np.float32, max_row=9, mass=0.9)
    monkeypatch.setattr("kinfold.diffusion.rows.BLOCK_VALUES", values)
    blocks = list(
        diffuse(
            csr(S, np.float32), alpha=0.9, max_row=9, mass=0.9, tolerance=1e-6,
            max_iterations=2000, threads=2,
        )
    )  # fmt: skip
    step = max(1, min(len(S), values // 9))
    assert [block.first_row for block in blocks] == list(range(0, len(S), step))
    np.testing.assert_array_equal(as_dense(blocks, len(S)), whole)


def test_some_rows_alone_are_the_same_rows(S):
    settings = {
        "alpha": 0.9, "max_row": 9, "mass": 0.9, "tolerance": 1e-6,
        "max_iterations": 2000, "threads": 2,
    }  # fmt: skip
    lists = ranking_of_everything(S)
    wanted = np.random.default_rng(1).permutation(len(S))[:13]
    for nearest, chosen in ((None, None), (lists, lists[wanted])):
        whole = as_dense(diffuse(csr(S, np.float32), nearest=nearest, **settings), len(S))
        some = as_dense(
            diffuse(csr(S, np.float32), rows=wanted, nearest=chosen, **settings), len(S)
        )
        np.testing.assert_array_equal(some[: len(wanted)], whole[wanted])


@pytest.mark.parametrize("max_row", [1, 12, 1000])
def test_threads_change_no_bit(S, max_row):
    one, two, three = (
        rows_of_c(S, np.float32, max_row=max_row, mass=0.99, threads=threads)
        for threads in (1, 2, 3)
    )
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one, three)


def test_progress_ends_at_the_last_row(S):
    seen = []
    list(
        diffuse(
            csr(S, np.float32), alpha=0.9, max_row=9, mass=0.9, tolerance=1e-4,
            max_iterations=100, threads=1, progress=seen.append,
        )
    )  # fmt: skip
    assert (seen[-1].phase, seen[-1].done, seen[-1].total) == ("diffusion", len(S), len(S))
