"""Kernels of neighbour descent: a neighbour's neighbour is often one's own."""

from __future__ import annotations

import numpy as np

from kinfold.arrays import NOTHING, Float32s, Int64s, UInt32s
from kinfold.kernels.cells import add_once, keep_best
from kinfold.kernels.jit import kernel

_NOTHING = NOTHING


@kernel()
def reverse_lists(ids: UInt32s, width: int, out: UInt32s) -> None:
    """Who has an item among his first neighbours: at most r, those that rank it best.

    Parameters
    ----------
    ids:
        (n, k) uint32 lists, of which the first `width` count.
    out:
        (n, r) uint32, written; `NOTHING` at the end.
    """
    rows, most = out.shape
    sizes = np.zeros(rows, dtype=np.uint32)
    out[:] = _NOTHING
    for rank in range(width):
        for i in range(rows):
            other = ids[i, rank]
            if other != _NOTHING and sizes[other] < most:
                out[other, sizes[other]] = i
                sizes[other] += 1


@kernel()
def descend(
    vectors: Float32s, by_distance: bool, items: Int64s, width: int, ids: UInt32s,
    values: Float32s, reverse: UInt32s, table: UInt32s, out: UInt32s, out_values: Float32s,
) -> None:  # fmt: skip
    """Better lists of `items`, from the first neighbours of their neighbours.

    Parameters
    ----------
    items:
        (m,) int64 positions.
    width:
        How many neighbours of a list are asked, and what each of those tells of its own.
    ids, values:
        (n, k) all lists, exact closeness, in order.
    reverse:
        (n, r) uint32: see `reverse_lists`. They are asked too, and candidates themselves.
    table:
        (a power of two,) uint32 scratch, more than twice all that an item can meet.
    out, out_values:
        (m, k), written; in order.
    """
    k, most = ids.shape[1], reverse.shape[1]
    asked = np.empty(width + most, dtype=np.uint32)
    candidates = np.empty((width + most) * (width + 1), dtype=np.uint32)
    close = np.empty(candidates.shape[0], dtype=np.float32)
    mask = table.shape[0] - 1
    for i in range(items.shape[0]):
        item = items[i]
        table[:] = _NOTHING
        add_once(item, table, mask)
        size = 0
        for j in range(k):
            if ids[item, j] == _NOTHING:
                break
            add_once(ids[item, j], table, mask)
            out[i, j] = ids[item, j]
            out_values[i, j] = values[item, j]
            size += 1
        count, helpers = 0, min(width, size)
        for j in range(helpers):
            asked[j] = ids[item, j]
        for j in range(most):
            other = reverse[item, j]
            if other == _NOTHING:
                break
            asked[helpers] = other
            helpers += 1
            if add_once(other, table, mask):
                candidates[count] = other
                count += 1
        for h in range(helpers):
            for j in range(width):
                other = ids[asked[h], j]
                if other == _NOTHING:
                    break
                if add_once(other, table, mask):
                    candidates[count] = other
                    count += 1
        keep_best(
            vectors, by_distance, item, candidates[:count], close[:count], size,
            out[i], out_values[i],
        )  # fmt: skip
