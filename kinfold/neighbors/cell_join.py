"""The approximate self-join: items that share a cell are compared there, all with all."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from kinfold.arrays import NOTHING, AnyArray, Float32s, Int64s, UInt32s
from kinfold.blocks import Arrays, Block, Passes, cut
from kinfold.kernels.cells import best_columns, merge_lists
from kinfold.metric import Measure
from kinfold.neighbors.cells import Cells
from kinfold.neighbors.spread import spread

MOST_MEMBERS = 4096
"""Items of a cell that are compared with each other; a larger cell, of copies of one item say, is
cut into parts by position."""

_PRODUCT_VALUES = 1 << 18
"""Of a tile, one mebibyte: it stays in a core's cache until its values are looked at."""
_BLOCK_MEMBERS = 1 << 18
_BLOCK_ROWS = 1 << 16
_PIECE_ROWS = 1024


@dataclass(frozen=True, slots=True)
class Members:
    """The items of all cells, one part of a cell behind the other.

    Attributes
    ----------
    items:
        (n s,) uint32, ascending in a cell.
    starts:
        (p + 1,) int64: where in `items` a part begins, and where the last one ends.
    places:
        (n, s) int64: where in `items` an item stands.
    """

    items: UInt32s
    starts: Int64s
    places: Int64s


def members_of(cells: Cells, least: int) -> Members:
    """Who lies in which cell.

    Parameters
    ----------
    least:
        Items that a part of a cell should have where a cell is cut.
    """
    rows, share = cells.nearest.shape
    flat = np.asarray(cells.nearest).ravel()
    order = np.argsort(flat, kind="stable")
    places = np.empty(rows * share, dtype=np.int64)
    places[order] = np.arange(rows * share)
    sizes = np.bincount(flat, minlength=cells.centroids.shape[0])
    most = max(MOST_MEMBERS, 2 * least)
    parts = np.maximum(-(-sizes // most), 1)
    first = np.repeat(np.cumsum(sizes) - sizes, parts)
    number = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    begins = first + np.repeat(sizes, parts) * number // np.repeat(parts, parts)
    starts = np.append(begins, rows * share).astype(np.int64)
    items = (order // share).astype(np.uint32)
    return Members(items, starts, places.reshape(rows, share))


@dataclass(frozen=True, slots=True)
class Compare:
    """The k best of an item among those that share a cell with it; rows are parts of cells."""

    k: int
    by_distance: bool

    def __call__(self, arrays: Arrays, begin: int, end: int, threads: int) -> dict[str, AnyArray]:
        """``lengths`` (m,) int64, members of each part; ``lists`` (members, k) uint32."""
        vectors, items, starts = arrays["vectors"], arrays["items"], arrays["starts"]
        offset = int(starts[begin])
        lists = np.empty((int(starts[end]) - offset, self.k), dtype=np.uint32)

        def compare(part: int) -> None:
            first, last = int(starts[part]), int(starts[part + 1])
            if first < last:
                self._part(vectors, items[first:last], lists[first - offset : last - offset])

        spread(compare, range(begin, end), threads)
        return {"lengths": np.diff(starts[begin : end + 1]), "lists": lists}

    def _part(self, vectors: Float32s, members: UInt32s, out: UInt32s) -> None:
        mine = vectors[members]
        count = members.shape[0]
        halves = None
        if self.by_distance:
            # Distances stay what they are, and squares of large numbers are not subtracted.
            mine -= mine.mean(axis=0, dtype=np.float64).astype(np.float32)
            halves = 0.5 * np.einsum("md,md->m", mine, mine)
        lanes = np.empty(1 << max(5, (2 * self.k).bit_length()), dtype=np.float32)
        scratch, kept = np.empty(count, dtype=np.float32), np.empty(count, dtype=np.uint32)
        step = max(1, _PRODUCT_VALUES // count)
        for first in range(0, count, step):
            products = mine[first : first + step] @ mine.T
            if halves is not None:
                products -= halves
            found = out[first : first + step]
            best_columns(products, first, self.k, lanes, scratch, kept, found)
        known = out != NOTHING
        out[known] = members[out[known]]


@dataclass(frozen=True, slots=True)
class Merge:
    """The k best of what an item's cells found, compared exactly."""

    by_distance: bool

    def __call__(self, arrays: Arrays, begin: int, end: int, threads: int) -> dict[str, AnyArray]:
        """``ids`` (m, k) uint32 and ``values`` (m, k) float32 closeness, in order."""
        vectors, places, lists = arrays["vectors"], arrays["places"], arrays["lists"]
        ids = np.empty((end - begin, lists.shape[1]), dtype=np.uint32)
        values = np.empty(ids.shape, dtype=np.float32)
        size = 1 << (2 * places.shape[1] * lists.shape[1]).bit_length()

        def merge(block: Block) -> None:
            first, last = block
            out = slice(first - begin, last - begin)
            merge_lists(
                vectors, self.by_distance, first, places[first:last], lists,
                np.empty(size, dtype=np.uint32), ids[out], values[out],
            )  # fmt: skip

        pieces = [(begin + a, begin + b) for a, b in cut(end - begin, _PIECE_ROWS)]
        spread(merge, pieces, threads)
        return {"ids": ids, "values": values}


def join_cells(
    vectors: Float32s, measure: Measure, k: int, cells: Cells, passes: Passes
) -> tuple[UInt32s, Float32s]:
    """The k nearest of every item among those that share a cell with it.

    Passes ``compare`` (rows are parts of cells) and ``merge`` (rows are items).

    Returns
    -------
    (n, k) uint32 positions, `NOTHING` at the end, and (n, k) float32 closeness.
    """
    members = members_of(cells, k + 1)
    arrays: dict[str, AnyArray] = {
        "vectors": vectors, "items": members.items, "starts": members.starts,
    }  # fmt: skip
    compared = passes.run(
        "compare", Compare(k, measure.by_distance), arrays, _blocks(members.starts, passes.share)
    )
    arrays = {"vectors": vectors, "places": members.places, "lists": compared["lists"]}
    rows = vectors.shape[0]
    merged = passes.run(
        "merge", Merge(measure.by_distance), arrays, cut(rows, _BLOCK_ROWS, passes.share)
    )
    return merged["ids"], merged["values"]


def _blocks(starts: Int64s, share: float) -> list[Block]:
    """Parts of cells in blocks of about as many members each."""
    step = max(1, int(_BLOCK_MEMBERS * share))
    goals = np.arange(step, int(starts[-1]), step)
    inner = np.searchsorted(starts, goals)
    edges = np.unique(np.concatenate([[0], inner, [starts.size - 1]])).tolist()
    return list(pairwise(edges))
