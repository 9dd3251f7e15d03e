"""Cells: where the gallery's items lie, by the nearest of some thousand centroids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinfold.arrays import AnyArray, Float32s, Int64s, UInt32s
from kinfold.blocks import Arrays, Passes, cut
from kinfold.kernels.cells import nearest_cells
from kinfold.neighbors.spread import spread

CELLS_OF_AN_ITEM = 6
"""In how many of its nearest cells an item lies. Two items are compared where they share one, so
six by six chances; asking the 36 nearest cells for what lies in them once costs as much and finds
less."""

_CELLS_BY_ROOT = 4.0
"""Cells: so many times √n, where finding an item's cells costs about as much as comparing there."""
_SAMPLE_OF_A_CELL = 24
_ITERATIONS = 5
_TILE_ROWS, _TILE_CELLS = 256, 1024
"""A product of one mebibyte, which stays in a core's cache until its values are looked at."""
_BLOCK_ROWS = 1 << 16
_GOLDEN = 0.6180339887498949


@dataclass(frozen=True, slots=True)
class Cells:
    """Centroids, and the nearest of them to every item.

    Attributes
    ----------
    centroids:
        (c, d) float32.
    nearest:
        (n, s) uint32, the nearest first.
    """

    centroids: Float32s
    nearest: UInt32s


def cell_count(rows: int) -> int:
    """How many cells a gallery has."""
    return max(1, min(int(_CELLS_BY_ROOT * rows**0.5), rows // 8))


def make_cells(vectors: Float32s, passes: Passes) -> Cells:
    """Train centroids on a sample and find the nearest ones of every item.

    Passes ``centroids`` (one block) and ``cells``. The same whatever the number of threads, and
    however blocks are cut.

    Parameters
    ----------
    vectors:
        (n, d) float32, possibly a memory map; blocks of it are copied.
    """
    rows = vectors.shape[0]
    count = cell_count(rows)
    trained = passes.run("centroids", Train(count), {"vectors": vectors}, [(0, count)])
    centroids = trained["centroids"]
    arrays = {"vectors": vectors, "centroids": centroids}
    task = Assign(min(CELLS_OF_AN_ITEM, count))
    assigned = passes.run("cells", task, arrays, cut(rows, _BLOCK_ROWS, passes.share))
    return Cells(centroids, assigned["cells"])


@dataclass(frozen=True, slots=True)
class Train:
    """k-means on a sample; the rows of its only block are the cells."""

    cells: int

    def __call__(self, arrays: Arrays, begin: int, end: int, threads: int) -> dict[str, AnyArray]:
        """``centroids`` (c, d) float32."""
        vectors = arrays["vectors"]
        sample = vectors[_spread_out(vectors.shape[0], self.cells * _SAMPLE_OF_A_CELL)]
        # Products of vectors that are far from the origin say little of how they differ.
        middle = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
        sample -= middle
        centroids = np.ascontiguousarray(sample[_spread_out(len(sample), self.cells)])
        for _ in range(_ITERATIONS):
            cells = nearest_of(sample, centroids, 1, threads)[:, 0]
            order = np.argsort(cells, kind="stable")
            sizes = np.bincount(cells, minlength=self.cells)
            starts = np.cumsum(sizes) - sizes
            full = np.flatnonzero(sizes)
            sums = np.add.reduceat(sample[order], starts[full], axis=0)
            centroids[full] = sums / sizes[full, None].astype(np.float32)
            # A centroid that has lost all its items goes to where most of them are.
            empty = np.flatnonzero(sizes == 0)
            crowded = np.argsort(-sizes, kind="stable")[: empty.size]
            centroids[empty] = sample[order[starts[crowded] + sizes[crowded] // 2]]
        return {"centroids": (centroids + middle)[begin:end]}


@dataclass(frozen=True, slots=True)
class Assign:
    """The nearest cells of every item."""

    nearest: int

    def __call__(self, arrays: Arrays, begin: int, end: int, threads: int) -> dict[str, AnyArray]:
        """``cells`` (m, s) uint32, the nearest first."""
        vectors, centroids = arrays["vectors"], arrays["centroids"]
        middle = centroids.mean(axis=0, dtype=np.float64).astype(np.float32)
        # Tiles lie on a grid of their own: an item is always multiplied among the same others.
        first = begin - begin % _TILE_ROWS
        last = min(-(-end // _TILE_ROWS) * _TILE_ROWS, vectors.shape[0])
        rows = vectors[first:last] - middle
        cells = nearest_of(rows, centroids - middle, self.nearest, threads)
        return {"cells": np.ascontiguousarray(cells[begin - first : end - first])}


def nearest_of(rows: Float32s, centroids: Float32s, count: int, threads: int) -> UInt32s:
    """The `count` nearest centroids of each row, (m, count) uint32, the nearest first."""
    # ||x - c||² = ||x||² - 2 (xc - ||c||² / 2), of which the first part is the same for all c.
    halves = (0.5 * np.einsum("cd,cd->c", centroids, centroids, dtype=np.float64)).astype(
        np.float32
    )
    best = np.zeros((rows.shape[0], count), dtype=np.uint32)

    def assign(begin: int) -> None:
        mine = rows[begin : begin + _TILE_ROWS]
        values = np.full((mine.shape[0], count), -np.inf, dtype=np.float32)
        chosen = best[begin : begin + _TILE_ROWS]
        for first in range(0, centroids.shape[0], _TILE_CELLS):
            others = centroids[first : first + _TILE_CELLS]
            products = mine @ others.T
            products -= halves[first : first + _TILE_CELLS]
            nearest_cells(products, first, chosen, values)

    spread(assign, range(0, rows.shape[0], _TILE_ROWS), threads)
    return best


def _spread_out(rows: int, count: int) -> Int64s:
    """About `count` of the numbers below `rows`, ascending: spread evenly, but to no rhythm.

    Items that come in turns, as those of several cameras, are met in their shares.
    """
    if count >= rows:
        return np.arange(rows)
    steps = (np.arange(1, count + 1) * _GOLDEN) % 1.0
    chosen: Int64s = np.unique((steps * rows).astype(np.int64))
    if chosen.size < count:  # two steps fell onto one row
        left = np.setdiff1d(np.arange(rows), chosen, assume_unique=True)
        chosen = np.sort(np.concatenate([chosen, left[: count - chosen.size]]))
    return chosen
