"""The self-join by cells: against the truth, and that nothing but the vectors matters."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from oracles import dense

from kinfold.arrays import NOTHING
from kinfold.blocks import LocalRunner, MemoryPasses
from kinfold.neighbors import NeighborLists, ambient_passes, make_cells, self_join
from kinfold.neighbors.cell_join import join_cells, members_of
from kinfold.neighbors.exact_join import complete
from kinfold.progress import silent

from .cases import METRICS, clustered, ready

K = 10


class CutPasses(MemoryPasses):
    """Cuts the blocks that it is given once more, at odd places; counts passes."""

    def __init__(self, threads):
        super().__init__(LocalRunner(threads))
        self.names = []

    def run(self, name, task, arrays, blocks):
        self.names.append(name)
        if name != "centroids":
            rows = blocks[-1][1]
            edges = sorted({0, rows, *range(37, rows, 211)})
            blocks = list(pairwise(edges))
        return super().run(name, task, arrays, blocks)


def assert_same(first, second):
    np.testing.assert_array_equal(first.ids, second.ids)
    np.testing.assert_array_equal(first.similarities, second.similarities)


@pytest.mark.parametrize("metric", METRICS)
def test_with_every_item_in_all_cells_the_join_is_exact(metric, monkeypatch):
    monkeypatch.setattr("kinfold.neighbors.cells.cell_count", lambda rows: 5)
    vectors, measure = ready(clustered(700, 16, 30), metric)
    passes = ambient_passes(silent, "cells")
    cells = make_cells(vectors, passes)
    ids, values = join_cells(vectors, measure, K, cells, passes)
    rows = dense.prepared(vectors, metric)
    expected_ids, expected = dense.self_join(dense.closeness(rows, rows, metric), K)
    np.testing.assert_allclose(values, expected, rtol=2e-5, atol=2e-5)
    np.testing.assert_array_equal(ids, expected_ids)


@pytest.mark.parametrize(
    ("metric", "least"), [("cosine", 0.97), ("l2", 0.97), ("inner_product", 0.9)]
)
def test_most_neighbours_are_found(metric, least):
    vectors, measure = ready(clustered(6000, 32, 120), metric)
    found = self_join(vectors, measure, 15, how="cells")
    exact = self_join(vectors, measure, 15)
    assert (found.similarities >= exact.similarities[:, -1:]).mean() >= least
    assert (found.ids != NOTHING).all()


@pytest.mark.parametrize("metric", METRICS)
def test_neither_threads_nor_blocks_matter(metric, tmp_path):
    """Nor that the vectors are a memory map that cannot be written to."""
    vectors, measure = ready(clustered(2500, 24, 300, spread=1.0), metric)
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    passes = CutPasses(2)
    whole = self_join(vectors, measure, K, how="cells", passes=MemoryPasses(LocalRunner(1)))
    assert_same(self_join(mapped, measure, K, how="cells", passes=passes), whole)
    assert passes.names[:4] == ["centroids", "cells", "compare", "merge"]


def test_copies_and_a_cell_of_more_than_can_be_compared(monkeypatch):
    """Two thousand times one item: their cell is cut, and all of their neighbours are equal."""
    monkeypatch.setattr("kinfold.neighbors.cell_join.MOST_MEMBERS", 256)
    vectors = clustered(3000, 16, 50)
    vectors[500:2500] = vectors[0]
    vectors, measure = ready(vectors, "l2")
    lists = self_join(vectors, measure, K, how="cells")
    assert (lists.similarities[500:2500] == 0).all()
    assert (lists.ids != np.arange(3000)[:, None]).all()
    assert (lists.ids < 3000).all()
    assert all(len(set(row)) == K for row in lists.ids.tolist())


@pytest.mark.parametrize(("rows", "k"), [(2, 1), (5, 4), (40, 39), (300, 10)])
def test_few_items_are_compared_exactly(rows, k):
    vectors, measure = ready(clustered(rows, 6, 4), "cosine")
    assert_same(self_join(vectors, measure, k, how="cells"), self_join(vectors, measure, k))


def test_lists_with_gaps_are_found_exactly():
    vectors, measure = ready(clustered(900, 8, 40), "l2")
    exact = self_join(vectors, measure, K)
    ids, values = exact.ids.copy(), exact.similarities.copy()
    gaps = [0, 7, 899]
    ids[gaps, K // 2 :], values[gaps, K // 2 :] = NOTHING, -np.inf
    passes = CutPasses(2)
    found = NeighborLists(*complete(vectors, measure, ids, values, passes))
    assert_same(found, exact)
    complete(vectors, measure, found.ids, found.similarities, passes)
    assert passes.names == ["complete"]


def test_members_of_cells():
    vectors, _ = ready(clustered(1000, 8, 40), "l2")
    cells = make_cells(vectors, ambient_passes(silent, "cells"))
    members = members_of(cells, K + 1)
    rows, share = cells.nearest.shape
    assert members.starts[0] == 0
    assert members.starts[-1] == rows * share
    np.testing.assert_array_equal(
        members.items[members.places], np.repeat(np.arange(rows)[:, None], share, axis=1)
    )
    assert members.places.dtype == np.int64
    # No better first cell: the nearest centroid.
    squares = ((vectors[:, None] - cells.centroids[None]) ** 2).sum(2)
    chosen = np.take_along_axis(squares, cells.nearest.astype(np.int64), 1)
    np.testing.assert_allclose(chosen[:, 0], squares.min(1), rtol=1e-4)
    assert (np.diff(chosen, axis=1) >= -1e-3).all()
