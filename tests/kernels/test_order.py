"""The order of a graph's nodes in groups, and the graph in that order."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import dense
from oracles.weighted import GRAPHS, csr, random_graph

from kinfold.kernels.lanes import LANES
from kinfold.kernels.order import local_groups, relabel


def grouped(matrix, most=LANES):
    """(order, starts) of a CSR matrix."""
    n = matrix.shape[0]
    order = np.full(n, 2**32 - 1, dtype=np.uint32)
    starts = np.full(n + 1, -1, dtype=np.int64)
    groups = local_groups(
        matrix.indptr.astype(np.uint64), matrix.indices.astype(np.uint32), matrix.data, most,
        order, starts,
    )  # fmt: skip
    return order, starts[: groups + 1]


def as_lists(order, starts):
    return [order[a:b].tolist() for a, b in pairwise(starts.tolist())]


def assert_sound(matrix, order, starts, most=LANES):
    n = matrix.shape[0]
    assert sorted(order.tolist()) == list(range(n))
    assert starts[0] == 0
    assert starts[-1] == n
    sizes = np.diff(starts)
    assert sizes.min() >= 1
    assert sizes.max() <= most
    alone = np.diff(matrix.indptr) == 0
    for group in as_lists(order, starts):
        assert len(set(alone[group])) == 1, "a node without edges beside one that has some"
    # All of those without edges come first, in as few groups as they fit.
    count = np.count_nonzero(alone)
    assert set(order[:count].tolist()) == set(np.flatnonzero(alone).tolist())
    assert np.searchsorted(starts, count) == -(-count // most)


@pytest.mark.parametrize("most", [1, 2, 5, 16])
@pytest.mark.parametrize("name", GRAPHS)
def test_groups_of_weighted_graphs(name, most):
    matrix = csr(GRAPHS[name], np.float32)
    order, starts = grouped(matrix, most)
    assert_sound(matrix, order, starts, most)
    assert as_lists(order, starts) == dense.local_groups(GRAPHS[name], most)


@pytest.mark.parametrize("seed", range(8))
def test_groups_of_many_small_graphs(seed):
    """Thin enough for several parts, and for nodes without edges."""
    graph = random_graph(n=60, degree=2, seed=seed)
    matrix = csr(graph, np.float32)
    order, starts = grouped(matrix, 4)
    assert_sound(matrix, order, starts, 4)
    assert as_lists(order, starts) == dense.local_groups(graph, 4)


@settings(max_examples=60)
@given(st.integers(1, 40), st.integers(0, 2**31), st.floats(0, 0.4), st.integers(1, 16))
def test_groups_of_any_graph(n, seed, share, most):
    """Equal weights everywhere: ties are no reason to lose or to repeat a node."""
    random = np.random.default_rng(seed)
    upper = np.triu(random.random((n, n)) < share, 1)
    matrix = csr((upper | upper.T).astype(float), np.float32)
    order, starts = grouped(matrix, most)
    assert_sound(matrix, order, starts, most)


def test_no_edges_at_all():
    order, starts = grouped(sp.csr_array((35, 35), dtype=np.float32))
    assert order.tolist() == list(range(35))
    assert starts.tolist() == [0, 16, 32, 35]


def test_neighbours_share_groups():
    """On a line all groups are full but the last, and each is a piece of it."""
    order, starts = grouped(csr(GRAPHS["path"], np.float32))
    assert len(starts) - 1 <= -(-60 // LANES) + 1
    for group in as_lists(order, starts):
        assert max(group) - min(group) == len(group) - 1


@pytest.mark.parametrize("name", GRAPHS)
def test_relabelled_is_the_permuted_matrix(name):
    graph = np.maximum(GRAPHS[name], GRAPHS[name].T)  # to the last bit
    matrix = csr(graph)
    n = len(graph)
    order = np.random.default_rng(0).permutation(n).astype(np.uint32)
    places = np.argsort(order).astype(np.uint32)
    indptr = np.empty(n + 1, dtype=np.uint64)
    indices = np.empty(matrix.nnz, dtype=np.uint32)
    values = np.empty(matrix.nnz)
    relabel(
        matrix.indptr.astype(np.uint64), matrix.indices.astype(np.uint32), matrix.data,
        order, places, indptr, indices, values,
    )  # fmt: skip
    found = sp.csr_array((values, indices.astype(np.int64), indptr.astype(np.int64)), (n, n))
    assert found.has_canonical_format
    np.testing.assert_array_equal(found.toarray(), graph[np.ix_(order, order)])


@pytest.mark.parametrize("hubs", [1, 40])
def test_hubs_of_a_large_degree_are_quick(hubs):
    """What a group that holds a hub looks through grows with the degree, once and no more."""
    n, rng = 60_000, np.random.default_rng(0)
    ends = rng.integers(hubs, n, size=(n // hubs) * hubs)
    starts_of = np.repeat(np.arange(hubs), n // hubs)
    ring = np.arange(n)
    rows = np.concatenate([starts_of, ring])
    columns = np.concatenate([ends, (ring + 1) % n])
    weights = rng.uniform(0.1, 1, size=rows.size)
    upper = sp.csr_array((weights, (rows, columns)), (n, n))
    matrix = sp.csr_array(upper + upper.T).astype(np.float32)
    matrix.sort_indices()
    grouped(csr(GRAPHS["star"], np.float32))
    begun = time.process_time()
    order, starts = grouped(matrix)
    assert time.process_time() - begun < 5
    assert_sound(matrix, order, starts)
