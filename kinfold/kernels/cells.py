"""Kernels of the self-join by cells: choosing from products, and joining what cells found."""

from __future__ import annotations

import numpy as np

from kinfold.arrays import NOTHING, Float32s, Int64s, UInt32s
from kinfold.kernels.compare import closeness
from kinfold.kernels.jit import kernel, signed, unsigned
from kinfold.kernels.select import kth_largest

_NOTHING = NOTHING
_CHUNK = 32


@kernel()
def nearest_cells(products: Float32s, first: int, best: UInt32s, values: Float32s) -> None:
    """Go on choosing the s largest of every row, of columns that come tile by tile.

    Parameters
    ----------
    products:
        (m, t) float32, of the columns `first`, `first` + 1, ….
    best, values:
        (m, s) columns and their values so far, descending, the lower column first on a tie; -inf
        before the first tile.
    """
    rows, columns = products.shape
    last = signed(best.shape[1]) - 1
    for i in range(rows):
        row, chosen, value = products[i], best[i], values[i]
        for begin in range(0, columns, _CHUNK):
            end = min(begin + _CHUNK, columns)
            threshold = value[last]
            larger = np.int32(0)
            # Counted rather than branched on: so the processor looks at many at once.
            for j in range(unsigned(begin), unsigned(end)):
                larger += np.int32(row[j] > threshold)
            if larger == 0:
                continue
            for j in range(begin, end):
                if row[j] > value[last]:
                    place = last
                    while place > 0 and value[place - 1] < row[j]:
                        value[place] = value[place - 1]
                        chosen[place] = chosen[place - 1]
                        place -= 1
                    value[place] = row[j]
                    chosen[place] = first + j


@kernel()
def best_columns(
    products: Float32s, first: int, k: int, lanes: Float32s, scratch: Float32s, kept: UInt32s,
    out: UInt32s,
) -> None:  # fmt: skip
    """Write the k columns with the largest values of every row, in order of columns.

    The largest of every lane (the columns that are equal modulo the number of lanes) are found
    many at a time; k lanes reach the k-th largest of those, so that at least k columns do. Few
    more than k are then left to choose from.

    Parameters
    ----------
    products:
        (m, t) float32. Row i is column `first` + i, which does not count; its value is lost.
    lanes:
        (l,) float32 scratch, l > k.
    scratch, kept:
        (t,) float32 and (t,) uint32 scratch.
    out:
        (m, k) uint32; `NOTHING` at the end where there are fewer columns.
    """
    rows, columns = products.shape
    count = lanes.shape[0]
    for i in range(rows):
        row = products[i]
        row[first + i] = -np.inf
        if columns - 1 <= k:
            _all_but(first + i, columns, out[i])
            continue
        threshold = np.float32(-np.inf)
        if columns >= 2 * count:
            lanes[:] = row[:count]
            for begin in range(count, columns - count + 1, count):
                part = row[begin : begin + count]
                for j in range(unsigned(count)):
                    lanes[j] = part[j] if part[j] > lanes[j] else lanes[j]
            threshold = np.float32(kth_largest(lanes, count, k))
        # Written always and kept sometimes: a branch would be guessed wrong too often.
        found = unsigned(0)
        for j in range(unsigned(columns)):
            scratch[found] = row[j]
            kept[found] = j
            found += unsigned(row[j] >= threshold)
        cut = kth_largest(scratch, found, k)
        larger = 0
        for j in range(signed(found)):
            larger += scratch[j] > cut
        _from(row, kept[: signed(found)], cut, k - larger, out[i])


@kernel()
def _all_but(own: int, columns: int, out: UInt32s) -> None:
    """All columns but one, then `NOTHING`."""
    place = 0
    for j in range(columns):
        if j != own:
            out[place] = j
            place += 1
    for rest in range(place, out.shape[0]):
        out[rest] = _NOTHING


@kernel()
def _from(row: Float32s, kept: UInt32s, cut: float, ties: int, out: UInt32s) -> None:
    """Of the columns `kept`, those above the k-th largest value, and `ties` that equal it."""
    place = 0
    for column in kept:
        value = row[column]
        if value > cut or (value == cut and ties > 0):
            ties -= value == cut
            out[place] = column
            place += 1


@kernel()
def insert(other: int, value: float, size: int, ids: UInt32s, values: Float32s) -> int:
    """Put an item where it belongs in a list of `size`, if it does; returns the list's new size.

    Larger values first, smaller positions on a tie.
    """
    k = ids.shape[0]
    if size == k and (value < values[k - 1] or (value == values[k - 1] and other > ids[k - 1])):
        return size
    place = min(size, k - 1)
    while place > 0 and (
        values[place - 1] < value or (values[place - 1] == value and ids[place - 1] > other)
    ):
        values[place] = values[place - 1]
        ids[place] = ids[place - 1]
        place -= 1
    ids[place] = other
    values[place] = value
    return size + 1 if size < k else k


@kernel()
def add_once(other: int, table: UInt32s, mask: int) -> bool:
    """Whether an item was not in a hash table of positions yet; it is from now on."""
    slot = (np.uint64(other) * np.uint64(2654435761)) >> np.uint64(8) & np.uint64(mask)
    while table[slot] != _NOTHING:
        if table[slot] == other:
            return False
        slot = (slot + np.uint64(1)) & np.uint64(mask)
    table[slot] = other
    return True


@kernel()
def merge_lists(
    vectors: Float32s, by_distance: bool, begin: int, places: Int64s, lists: UInt32s,
    table: UInt32s, ids: UInt32s, values: Float32s,
) -> None:  # fmt: skip
    """The k best of what the cells of every item found, compared exactly.

    Parameters
    ----------
    begin:
        The first item.
    places:
        (m, s) int64: which rows of `lists` are an item's.
    lists:
        (n s, k) uint32 positions, `NOTHING` at the end.
    table:
        (a power of two,) uint32 scratch, more than twice s k.
    ids, values:
        (m, k), written: exact closeness, descending, ties by position; `NOTHING` and -inf at the
        end where there are fewer.
    """
    candidates = np.empty(places.shape[1] * lists.shape[1], dtype=np.uint32)
    close = np.empty(candidates.shape[0], dtype=np.float32)
    mask = table.shape[0] - 1
    for i in range(places.shape[0]):
        table[:] = _NOTHING
        count = 0
        for s in range(places.shape[1]):
            if places[i, s] < 0:
                continue
            for other in lists[places[i, s]]:
                if other == _NOTHING:
                    break
                if add_once(other, table, mask):
                    candidates[count] = other
                    count += 1
        keep_best(
            vectors, by_distance, begin + i, candidates[:count], close[:count], 0, ids[i], values[i]
        )


@kernel()
def keep_best(
    vectors: Float32s, by_distance: bool, item: int, candidates: UInt32s, close: Float32s,
    size: int, ids: UInt32s, values: Float32s,
) -> None:  # fmt: skip
    """Compare an item with candidates and put those into its list (of `size`) that belong there."""
    closeness(vectors[item], vectors, candidates, by_distance, close)
    for c in range(candidates.shape[0]):
        size = insert(candidates[c], close[c], size, ids, values)
    for rest in range(size, ids.shape[0]):
        ids[rest] = _NOTHING
        values[rest] = -np.inf
