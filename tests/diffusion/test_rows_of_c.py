"""`diffuse` on S itself, against a dense solver."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import dense
from oracles.reading import assert_rows_close
from oracles.weighted import GRAPHS, csr

from kinfold.arrays import NOTHING
from kinfold.blocks import LocalRunner
from kinfold.diffusion import (
    DiffuseGroups,
    DiffuseNearest,
    LocalOrder,
    Solving,
    diffuse,
    row_blocks,
)
from kinfold.kernels.lanes import LANES

# Tolerance of the solver, and of the comparison with a dense one.
PRECISION = {np.float64: (1e-12, 1e-9), np.float32: (1e-6, 1e-5)}


@pytest.fixture(params=GRAPHS)
def S(request):
    return GRAPHS[request.param]


@pytest.fixture(params=PRECISION, ids=["float64", "float32"])
def dtype(request):
    return request.param


def solving(S, dtype=np.float32, **settings):
    return Solving(
        **{
            "alpha": 0.9,
            "max_row": len(S),
            "mass": 1.0,
            "tolerance": PRECISION[dtype][0],
            "max_iterations": 2000,
        }
        | settings
    )


def diffused(S, dtype=np.float32, nearest=None, threads=2, **settings):
    return diffuse(csr(S, dtype), solving(S, dtype, **settings), threads, nearest=nearest)


def rows_of_c(S, dtype=np.float32, nearest=None, threads=2, **settings):
    found = diffused(S, dtype, nearest, threads, **settings)
    assert found.matrix.shape == S.shape
    assert found.matrix.dtype == found.diagonal.dtype == dtype
    return found.matrix.toarray()


def groups_of(S):
    """The items in the groups that share a set."""
    order = LocalOrder.of(csr(S, np.float32))
    return np.split(order.order, order.starts[1:-1])


def ranking_of_everything(S, seed=0):
    """Some order of the other items for every item, as an exact search would list them."""
    rng = np.random.default_rng(seed)
    n = len(S)
    return np.array([[j for j in rng.permutation(n) if j != i] for i in range(n)], dtype=np.uint32)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.9, 0.99])
def test_on_everything_it_is_the_inverse(S, alpha):
    found = rows_of_c(S, alpha=alpha)
    # With alpha = 0.99 the rounding of a hub's row in float32 is 1.05e-5 itself.
    tolerance = PRECISION[np.float32][1] * (2 if alpha == 0.99 else 1)
    assert_rows_close(found, dense.diffusion_matrix(S, alpha), tolerance)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.9, 0.99])
def test_on_everything_the_nearest_are_the_inverse_too(S, dtype, alpha):
    found = rows_of_c(S, dtype, ranking_of_everything(S), alpha=alpha)
    assert_rows_close(found, dense.diffusion_matrix(S, alpha), PRECISION[dtype][1])


@pytest.mark.parametrize("size", [1, 2, 5, 9, 17, 30])
def test_truncated_along_the_graph(S, size):
    """The rows of a group on one set, which its items find together."""
    found = rows_of_c(S, max_row=size)
    assert np.count_nonzero(found, axis=1).max() <= size
    expected = dense.group_rows(S, 0.9, groups_of(S), size)
    assert_rows_close(found, expected, PRECISION[np.float32][1])


def test_what_lies_within_reach_is_exact():
    """The set is twice as large as a row: a part that fits it is solved whole, then cut."""
    S = GRAPHS["two_parts_and_loners"]
    size = max(dense.components(S).sum(axis=1)) // 2
    found = rows_of_c(S, max_row=int(size))
    C = dense.diffusion_matrix(S, 0.9)
    for row, exact in zip(found, C, strict=True):
        kept = np.sort(dense.ranked(exact)[:size])
        np.testing.assert_allclose(row[kept], exact[kept], atol=1e-6)
        assert np.count_nonzero(row) <= size


def test_the_groups_are_those_of_the_order(S):
    order = LocalOrder.of(csr(S, np.float32))
    assert sorted(order.order.tolist()) == list(range(len(S)))
    np.testing.assert_array_equal(order.places[order.order], np.arange(len(S)))
    assert np.diff(order.starts).max() <= LANES
    expected = dense.local_groups(S, LANES)
    assert [group.tolist() for group in groups_of(S)] == expected


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_graph_by_slots(S, kind):
    S = np.maximum(S, S.T)  # symmetric to the last bit
    matrix = csr(S, kind)
    order = LocalOrder.of(matrix)
    arrays = order.relabelled(matrix)
    assert (arrays["indptr"].dtype, arrays["indices"].dtype) == (np.uint64, np.uint32)
    assert arrays["values"].dtype == kind
    dense_of_slots = np.zeros_like(S)
    for slot in range(len(S)):
        begin, end = int(arrays["indptr"][slot]), int(arrays["indptr"][slot + 1])
        assert (np.diff(arrays["indices"][begin:end].astype(int)) > 0).all()
        dense_of_slots[slot, arrays["indices"][begin:end]] = arrays["values"][begin:end]
    np.testing.assert_array_equal(dense_of_slots, S.astype(kind)[np.ix_(order.order, order.order)])


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


def test_nearest_with_no_list_at_all(S):
    """A gallery of one item has lists of no length."""
    found = rows_of_c(S, np.float64, np.empty((len(S), 0), dtype=np.uint32))
    expected = [dense.diffusion_row(S, 0.9, i, {i}) for i in range(len(S))]
    assert_rows_close(found, np.array(expected), 1e-9)


@pytest.mark.parametrize("truncation", ["graph", "nearest"])
def test_an_item_without_edges_keeps_everything_itself(truncation):
    S = GRAPHS["two_parts_and_loners"]
    nearest = ranking_of_everything(S) if truncation == "nearest" else None
    found = rows_of_c(S, np.float32, nearest, mass=0.9, max_row=7)
    alone = np.flatnonzero(~S.any(axis=1))
    assert len(alone) == 8
    np.testing.assert_array_equal(found[alone], np.eye(len(S))[alone])


@pytest.mark.parametrize("truncation", ["graph", "nearest"])
@pytest.mark.parametrize("mass", [0.3, 0.8, 0.995])
def test_kept_entries_are_the_smallest_prefix_that_reaches_the_mass(S, mass, truncation):
    dtype, nearest = np.float32, None
    if truncation == "nearest":
        dtype, nearest = np.float64, ranking_of_everything(S)
    whole = rows_of_c(S, dtype, nearest)
    kept = rows_of_c(S, dtype, nearest, mass=mass)
    for row, full in zip(kept, whole, strict=True):
        stored = np.flatnonzero(row)
        np.testing.assert_array_equal(row[stored], full[stored])
        # In double precision, as the kernel adds them up.
        count = dense.mass_prefix(full.astype(float), mass)
        assert len(stored) == count
        assert row[stored].min() == np.sort(full)[::-1][count - 1]


def test_the_diagonal_is_that_before_anything_was_cut(S):
    found = diffused(S, mass=0.3, max_row=3)
    whole = diffused(S, max_row=3)
    np.testing.assert_array_equal(found.diagonal, whole.diagonal)
    exact = np.diag(dense.group_rows(S, 0.9, groups_of(S), len(S)))
    covered = diffused(S)
    np.testing.assert_allclose(covered.diagonal, exact, rtol=1e-5)


def test_columns_ascend_and_values_are_positive(S):
    found = diffused(S, alpha=0.95, max_row=20, mass=0.99, tolerance=1e-4)
    matrix, report = found.matrix, found.report
    assert matrix.has_canonical_format
    assert (report.rows, report.stored) == (len(S), matrix.nnz)
    lengths = np.diff(matrix.indptr)
    assert report.longest_row == lengths.max() <= 20
    assert lengths.min() >= 1
    assert (matrix.data > 0).all()


TASKS = {"graph": DiffuseGroups, "nearest": DiffuseNearest}


def in_blocks(S, truncation, blocks, threads=2, **settings):
    """What the task gives for each block, and the order."""
    matrix = csr(S, np.float32)
    order = LocalOrder.of(matrix)
    arrays = order.relabelled(matrix) | {
        "nearest": ranking_of_everything(S), "order": order.order, "places": order.places,
    }  # fmt: skip
    for array in arrays.values():
        # As memory maps are.
        array.flags.writeable = False
    task = TASKS[truncation](solving(S, **{"max_row": 9, "mass": 0.9} | settings))
    return list(LocalRunner(threads).run(task, arrays, blocks(order.starts)))


def joined(parts):
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@pytest.mark.parametrize("truncation", TASKS)
@pytest.mark.parametrize("values", [1, 400, 1001])
def test_blocks_change_no_bit(S, truncation, values):
    (whole,) = in_blocks(S, truncation, lambda starts: [(0, len(S))])
    parts = in_blocks(S, truncation, lambda starts: row_blocks(starts, 9, values))
    assert len(parts) > 1 or values > 1
    for name, array in joined(parts).items():
        np.testing.assert_array_equal(array, whole[name])
        assert array.dtype == whole[name].dtype
    assert whole["length"].sum() == whole["columns"].size == whole["values"].size
    assert {whole[name].size for name in ("length", "iterations", "converged", "diagonal")} == {
        len(S)
    }


@pytest.mark.parametrize("values", [1, 400, 1001])
def test_blocks_are_of_whole_groups(S, values):
    starts = LocalOrder.of(csr(S, np.float32)).starts
    blocks = row_blocks(starts, 9, values)
    assert [begin for begin, _ in blocks[1:]] == [end for _, end in blocks[:-1]]
    assert (blocks[0][0], blocks[-1][1]) == (0, len(S))
    assert {edge for block in blocks for edge in block} <= set(starts.tolist())
    assert max(end - begin for begin, end in blocks) * 9 <= max(values, 9 * LANES)


def test_a_block_alone_is_the_same_rows(S):
    """Computed out of order, and as the only one: what another machine would do."""
    (whole,) = in_blocks(S, "graph", lambda starts: [(0, len(S))])
    ends = np.cumsum(whole["length"])
    cut = {}

    def last_two(starts):
        cut["rows"] = (int(starts[-2]), int(starts[-1]))
        return [cut["rows"], (int(starts[0]), int(starts[1]))]

    last, first = in_blocks(S, "graph", last_two)
    begin, end = cut["rows"]
    values = whole["values"][ends[begin] - whole["length"][begin] : ends[end - 1]]
    np.testing.assert_array_equal(last["values"], values)
    np.testing.assert_array_equal(first["values"], whole["values"][: first["values"].size])


def test_blocks_of_diffuse_change_nothing(S, monkeypatch):
    whole = diffused(S, max_row=9, mass=0.9)
    monkeypatch.setattr("kinfold.diffusion.tasks.BLOCK_VALUES", 1)
    cut = diffused(S, max_row=9, mass=0.9)
    np.testing.assert_array_equal(cut.matrix.toarray(), whole.matrix.toarray())
    np.testing.assert_array_equal(cut.diagonal, whole.diagonal)
    assert cut.report == whole.report


@pytest.mark.parametrize("truncation", TASKS)
@pytest.mark.parametrize("max_row", [1, 12, 1000])
def test_threads_change_no_bit(S, max_row, truncation):
    nearest = ranking_of_everything(S) if truncation == "nearest" else None
    one, two, three = (
        diffused(S, nearest=nearest, max_row=max_row, mass=0.99, threads=threads)
        for threads in (1, 2, 3)
    )
    for other in (two, three):
        np.testing.assert_array_equal(one.matrix.indices, other.matrix.indices)
        np.testing.assert_array_equal(one.matrix.data, other.matrix.data)
        np.testing.assert_array_equal(one.diagonal, other.diagonal)
        assert one.report == other.report


def test_progress_ends_at_the_last_row(S):
    seen = []
    settings = solving(S, max_row=9, mass=0.9, tolerance=1e-4, max_iterations=100)
    diffuse(csr(S, np.float32), settings, 1, progress=seen.append)
    assert (seen[-1].phase, seen[-1].done, seen[-1].total) == ("diffusion", len(S), len(S))
