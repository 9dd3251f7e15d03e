"""The graph that kernels make, beside the one that sparse matrix algebra makes."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import sparse_affinity

from kinfold.affinity import build_graph
from kinfold.affinity.graph import csr
from kinfold.arrays import NOTHING, as_unsigned
from kinfold.diffusion import Solving, diffuse
from kinfold.neighbors import NeighborLists

KINDS = ["mutual", "union", "completed"]


def rough_lists(n, k, seed):
    """Lists of random neighbours: asymmetric, tied, with holes, some of them empty, some worthless.

    Nothing about them is consistent, as after similarity models.
    """
    generator = np.random.default_rng(seed)
    ids = np.empty((n, k), dtype=np.uint32)
    for i in range(n):
        # Near ones mostly, so that many are mutual; item 0 is in almost every list.
        near = (i + generator.permutation(np.r_[-k:0, 1 : k + 1])[: k - 1]) % n
        hub = 0 if i and 0 not in near else (i + 2 * k) % n
        ids[i] = np.r_[near, hub]
    levels = np.array([-0.2, 0, 1e-30, 0.2, 0.5, 0.5, 0.7, 1])
    values = -np.sort(-generator.choice(levels, size=(n, k)), axis=1).astype(np.float32)
    hole = (
        np.arange(k) >= np.where(generator.random(n) < 0.2, generator.integers(0, k, n), k)[:, None]
    )
    ids[hole], values[hole] = NOTHING, -np.inf
    return NeighborLists(ids, values)


def arrays(graph):
    return graph.matrix.indptr, graph.matrix.indices, graph.matrix.data


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rank_scale", [0.0, 8.0])
@pytest.mark.parametrize("gamma", [1.0, 3.0])
def test_equals_sparse_algebra(kind, rank_scale, gamma):
    for seed in range(4):
        lists = rough_lists(150, 6, seed)
        expected = sparse_affinity.build_graph(lists, 5, kind, 2, gamma, rank_scale)
        found = build_graph(lists, 5, kind, 2, gamma, rank_scale)
        np.testing.assert_array_equal(found.matrix.indptr, expected.indptr)
        np.testing.assert_array_equal(found.matrix.indices, expected.indices)
        np.testing.assert_allclose(found.matrix.data, expected.data, rtol=2e-7)
        np.testing.assert_array_equal(found.matrix.toarray(), found.matrix.toarray().T)
        assert found.isolated == (np.diff(expected.indptr) == 0).sum()
        assert found.edges == expected.nnz // 2


@pytest.mark.parametrize("kind", KINDS)
def test_neither_threads_nor_read_only_lists_change_a_bit(kind):
    lists = rough_lists(301, 8, 7)
    expected = arrays(build_graph(lists, 8, kind, 3, 3.0, 8.0, threads=1))
    lists.ids.flags.writeable = lists.similarities.flags.writeable = False
    for threads in (1, 2, 5, 400):
        for ours, other in zip(
            arrays(build_graph(lists, 8, kind, 3, 3.0, 8.0, threads=threads)), expected, strict=True
        ):
            np.testing.assert_array_equal(ours, other)


def test_types_hold_more_than_two_thousand_million_entries():
    graph = build_graph(rough_lists(60, 5, 0), 5, "union", 0, 1.0).matrix
    assert graph.indptr.dtype == np.int64
    assert graph.indices.dtype == np.int32
    assert np.shares_memory(as_unsigned(graph.indptr, 8), graph.indptr)
    assert np.shares_memory(as_unsigned(graph.indices, 4), graph.indices)
    assert as_unsigned(np.arange(3, dtype=np.int32), 8).dtype == np.uint64
    # The first row starts behind 2**32 entries, where a narrower number would have wrapped.
    far = np.array([1 << 32, (1 << 32) + 1], dtype=np.int64)
    kept = csr(far, np.zeros(0, dtype=np.uint32), np.zeros(0, dtype=np.float32))
    assert kept.indptr is far
    assert as_unsigned(kept.indptr, 8)[1] == (1 << 32) + 1


def test_diffusion_takes_it_as_it_takes_any_matrix():
    graph = build_graph(rough_lists(120, 6, 3), 6, "completed", 3, 1.0, 8.0).matrix
    plain = sparse_affinity.build_graph(rough_lists(120, 6, 3), 6, "completed", 3, 1.0, 8.0)
    plain.data = graph.data
    solving = Solving(0.9, 40, 0.99, 1e-6, 50)
    left, right = diffuse(graph, solving, 1).matrix, diffuse(plain, solving, 1).matrix
    np.testing.assert_array_equal(left.indices, right.indices)
    np.testing.assert_array_equal(left.data, right.data)


def test_a_gallery_without_any_edge():
    lists = NeighborLists(np.full((4, 2), NOTHING), np.full((4, 2), -np.inf, dtype=np.float32))
    graph = build_graph(lists, 2, "completed", 2, 1.0, 8.0)
    assert graph.edges == 0
    assert graph.isolated == 4
    assert graph.matrix.nnz == 0
