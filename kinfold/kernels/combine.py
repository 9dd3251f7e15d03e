"""S·C on a query's way: scatter-add a few rows of C, then the k best of what was touched.

Serial on purpose: many threads run it at once, each with its own scratch. Work is proportional to
the values read, never to the gallery's size: what was touched is listed, and only that is cleared.
"""

from __future__ import annotations

import numpy as np

from kinfold.arrays import AnyArray, Bools, Float32s, Floats, Int64s, UInt8s, UInt32s
from kinfold.kernels.encode import CODE_FLOOR, CODE_SHIFT
from kinfold.kernels.jit import kernel, signed, unsigned

# A float16 shifted by 13 bits into a float32's place, the sign being zero, is the same number
# times 2^-112, subnormals included. The factor goes into the row's weight: one shift a value.
HALF_FACTOR = np.float32(2.0**112)

_MORE = np.uint32(0x80)
_SEVEN = np.uint32(0x7F)


@kernel()
def scatter_float32(
    columns: UInt32s, values: Float32s, begin: int, end: int, weight: float,
    scores: Float32s, touched: UInt32s, count: int,
) -> int:  # fmt: skip
    """Add weight * values[begin:end] to ``scores[columns]``; returns the columns touched so far.

    `scores` is zero wherever nothing was added yet; a column that becomes positive for the first
    time is appended to `touched`, which needs room for every value added and one more.
    A column that the gallery does not have ends it with -1: the file is damaged.
    """
    total = unsigned(count)
    factor = np.float32(weight)
    for e in range(unsigned(begin), unsigned(end)):
        column = columns[e]
        if column >= scores.shape[0]:
            return -1
        before = scores[column]
        after = before + factor * values[e]
        touched[total] = column
        total += unsigned((before == np.float32(0)) & (after > np.float32(0)))
        scores[column] = after
    return signed(total)


@kernel()
def scatter_row_float32(
    steps: UInt8s, begin: int, end: int, values: Float32s, first: int, last: int, weight: float,
    scores: Float32s, touched: UInt32s, count: int,
) -> int:  # fmt: skip
    """Add weight * values[first:last] to the scores of the columns that ``steps[begin:end]`` are.

    `scores` is zero wherever nothing was added yet; a column that becomes positive for the first
    time is appended to `touched`, which needs room for every value added and one more. Returns the
    columns touched so far; -1 where the steps are too few, or lead out of the gallery: the file is
    damaged. (Decoding and adding are one loop: a row is read once and nothing is written down.)
    """
    total = unsigned(count)
    factor = np.float32(weight)
    place, stop = unsigned(begin), unsigned(end)
    column = np.uint32(0)
    for e in range(unsigned(first), unsigned(last)):
        if place >= stop:
            return -1
        step = np.uint32(steps[place])
        place += unsigned(1)
        if step >= _MORE:
            step &= _SEVEN
            shift = np.uint32(7)
            while place < stop:
                part = np.uint32(steps[place])
                place += unsigned(1)
                step |= (part & _SEVEN) << (shift & np.uint32(31))
                shift += np.uint32(7)
                if part < _MORE:
                    break
        column += step
        if column >= scores.shape[0]:
            return -1
        before = scores[column]
        after = before + factor * values[e]
        touched[total] = column
        total += unsigned((before == np.float32(0)) & (after > np.float32(0)))
        scores[column] = after
    return signed(total)


@kernel()
def scatter_row_float16(
    steps: UInt8s, begin: int, end: int, values: AnyArray, first: int, last: int, weight: float,
    scores: Float32s, touched: UInt32s, count: int,
) -> int:  # fmt: skip
    """As `scatter_row_float32`, for float16 values given as their uint16 bits."""
    total = unsigned(count)
    factor = np.float32(weight) * HALF_FACTOR
    place, stop = unsigned(begin), unsigned(end)
    column = np.uint32(0)
    for e in range(unsigned(first), unsigned(last)):
        if place >= stop:
            return -1
        step = np.uint32(steps[place])
        place += unsigned(1)
        if step >= _MORE:
            step &= _SEVEN
            shift = np.uint32(7)
            while place < stop:
                part = np.uint32(steps[place])
                place += unsigned(1)
                step |= (part & _SEVEN) << (shift & np.uint32(31))
                shift += np.uint32(7)
                if part < _MORE:
                    break
        column += step
        if column >= scores.shape[0]:
            return -1
        before = scores[column]
        after = before + factor * np.uint32(np.uint32(values[e]) << np.uint32(13)).view(np.float32)
        touched[total] = column
        total += unsigned((before == np.float32(0)) & (after > np.float32(0)))
        scores[column] = after
    return signed(total)


@kernel()
def scatter_row_float8(
    steps: UInt8s, begin: int, end: int, values: UInt8s, first: int, last: int, weight: float,
    scores: Float32s, touched: UInt32s, count: int,
) -> int:  # fmt: skip
    """As `scatter_row_float32`, for values of eight bits: see `kernels.encode`."""
    total = unsigned(count)
    factor = np.float32(weight)
    place, stop = unsigned(begin), unsigned(end)
    column = np.uint32(0)
    for e in range(unsigned(first), unsigned(last)):
        if place >= stop:
            return -1
        step = np.uint32(steps[place])
        place += unsigned(1)
        if step >= _MORE:
            step &= _SEVEN
            shift = np.uint32(7)
            while place < stop:
                part = np.uint32(steps[place])
                place += unsigned(1)
                step |= (part & _SEVEN) << (shift & np.uint32(31))
                shift += np.uint32(7)
                if part < _MORE:
                    break
        column += step
        if column >= scores.shape[0]:
            return -1
        before = scores[column]
        after = before + factor * np.uint32((np.uint32(values[e]) + CODE_FLOOR) << CODE_SHIFT).view(
            np.float32
        )
        touched[total] = column
        total += unsigned((before == np.float32(0)) & (after > np.float32(0)))
        scores[column] = after
    return signed(total)


@kernel()
def locate_rows(
    seeds: UInt32s, weights: Float32s, places: UInt32s, indptr: Int64s, starts: Int64s,
    scales: Float32s, largest: Float32s, unscale: float, first_row: int, last_row: int,
    values: int, size: int, longest: int, located: Int64s, shares: Floats,
) -> int:  # fmt: skip
    """Where the rows of seeds lie in a block of C, and what each row is multiplied by.

    Parameters
    ----------
    seeds, weights:
        (k,) items and their weights; those of no weight are left out.
    largest:
        (n,) what codes are shares of, or empty where values are no codes.
    first_row, last_row:
        The slots of the block.
    values, size:
        Values and bytes that the block has.
    longest:
        The most values of a row, for which there is room.
    located, shares:
        (k, 4) and (k,) written: begin and end of the bytes, first and last value; weight times
        scale times what the values are shares of.

    Returns how many rows of the block there are; -1 where one would lie outside: the file is
    damaged.
    """
    base, start = indptr[first_row], starts[first_row]
    count = 0
    for seed in range(unsigned(seeds.shape[0])):
        if not weights[seed] > 0 or seeds[seed] >= places.shape[0]:
            continue
        slot = signed(places[seeds[seed]])
        if slot >= places.shape[0]:
            return -1
        if slot < first_row or slot >= last_row:
            continue
        first, last = indptr[slot] - base, indptr[slot + 1] - base
        begin, end = starts[slot] - start, starts[slot + 1] - start
        if not (0 <= first <= last <= values and 0 <= begin <= end <= size):
            return -1
        if last - first > longest:
            return -1
        share = float(weights[seed]) * float(scales[slot]) * unscale
        if largest.shape[0] > 0:
            share *= float(largest[slot])
        located[count, 0], located[count, 1] = begin, end
        located[count, 2], located[count, 3] = first, last
        shares[count] = share
        count += 1
    return count


@kernel()
def scatter_rows_float8(
    steps: UInt8s, values: UInt8s, located: Int64s, shares: Floats, rows: int,
    scores: Float32s, touched: UInt32s, count: int,
) -> int:  # fmt: skip
    """`scatter_row_float8` for the first `rows` rows that `locate_rows` found."""
    for row in range(unsigned(rows)):
        count = scatter_row_float8(
            steps, located[row, 0], located[row, 1], values, located[row, 2], located[row, 3],
            shares[row], scores, touched, count,
        )  # fmt: skip
        if count < 0:
            return -1
    return signed(count)


@kernel()
def scatter_rows_float16(
    steps: UInt8s, values: AnyArray, located: Int64s, shares: Floats, rows: int,
    scores: Float32s, touched: UInt32s, count: int,
) -> int:  # fmt: skip
    """`scatter_row_float16` for the first `rows` rows that `locate_rows` found."""
    for row in range(unsigned(rows)):
        count = scatter_row_float16(
            steps, located[row, 0], located[row, 1], values, located[row, 2], located[row, 3],
            shares[row], scores, touched, count,
        )  # fmt: skip
        if count < 0:
            return -1
    return signed(count)


@kernel()
def scatter_rows_float32(
    steps: UInt8s, values: Float32s, located: Int64s, shares: Floats, rows: int,
    scores: Float32s, touched: UInt32s, count: int,
) -> int:  # fmt: skip
    """`scatter_row_float32` for the first `rows` rows that `locate_rows` found."""
    for row in range(unsigned(rows)):
        count = scatter_row_float32(
            steps, located[row, 0], located[row, 1], values, located[row, 2], located[row, 3],
            shares[row], scores, touched, count,
        )  # fmt: skip
        if count < 0:
            return -1
    return signed(count)


@kernel()
def keep_allowed(
    scores: Float32s, touched: UInt32s, count: int, order: UInt32s, allowed: Bools
) -> int:
    """Take the slots whose items are not ``allowed`` (n,) out of what was touched.

    Clears their scores; the others keep their order in `touched`. Returns how many are left.
    """
    kept = unsigned(0)
    for t in range(unsigned(count)):
        column = touched[t]
        item = order[column]
        # One that the gallery does not have is for `best_touched` to report.
        if item >= allowed.shape[0] or allowed[item]:
            touched[kept] = column
            kept += unsigned(1)
        else:
            scores[column] = np.float32(0)
    return signed(kept)


@kernel()
def worse(score: float, column: int, other_score: float, other_column: int) -> bool:
    """Whether the first hit ranks after the second: smaller score, later position on a tie."""
    return score < other_score or (score == other_score and column > other_column)


@kernel()
def best_touched(
    scores: Float32s, touched: UInt32s, count: int, scales: Float32s, order: UInt32s, k: int,
    out: UInt32s, out_scores: Float32s,
) -> int:  # fmt: skip
    """The items of the k best of the touched slots by score times scale, best first, into `out`.

    Returns how many there were; -1 where one of them is no item of the gallery: the file is
    damaged. Clears `scores` again. `scales` is (n,), or empty for none;
    `order` (n,) the item in each slot, or empty where slots are items.
    A heap whose root is the worst hit kept so far.
    """
    scaled, ordered = scales.shape[0] > 0, order.shape[0] > 0
    size = 0
    damaged = False
    for t in range(count):
        slot = touched[unsigned(t)]
        score = scores[slot]
        scores[slot] = np.float32(0)
        if scaled:
            score *= scales[slot]
        if size == k and (k == 0 or score < out_scores[0]):
            continue
        column = order[slot] if ordered else slot
        damaged |= column >= scores.shape[0]
        if size < k:
            place = size
            size += 1
            while place > 0:
                parent = (place - 1) >> 1
                if not worse(score, column, out_scores[parent], out[parent]):
                    break
                out[place], out_scores[place] = out[parent], out_scores[parent]
                place = parent
            out[place], out_scores[place] = column, score
        elif k > 0 and worse(out_scores[0], out[0], score, column):
            _sink(out, out_scores, size, column, score)
    # Taking the worst off the heap, one after the other, leaves the best in front.
    for last in range(size - 1, 0, -1):
        column, score = out[last], out_scores[last]
        out[last], out_scores[last] = out[0], out_scores[0]
        _sink(out, out_scores, last, column, score)
    return -1 if damaged else size


@kernel()
def _sink(heap: UInt32s, heap_scores: Float32s, size: int, column: int, score: float) -> None:
    """Put (column, score) in the place of the root and restore the heap of `size` entries."""
    place = 0
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and worse(
            heap_scores[child + 1], heap[child + 1], heap_scores[child], heap[child]
        ):
            child += 1
        if not worse(heap_scores[child], heap[child], score, column):
            break
        heap[place], heap_scores[place] = heap[child], heap_scores[child]
        place = child
    heap[place], heap_scores[place] = column, score


@kernel()
def fill_up(
    ranked: UInt32s, marks: Float32s, found: UInt32s, found_scores: Float32s, size: int
) -> int:
    """Append items of the kNN order `ranked` that are not among ``found[:size]`` yet, score 0.

    `marks` (n,) is all zero before and after. Returns the new size.
    """
    for j in range(size):
        marks[found[j]] = np.float32(1)
    total = size
    for j in range(ranked.shape[0]):
        if total == found.shape[0]:
            break
        if ranked[j] < marks.shape[0] and marks[ranked[j]] == np.float32(0):
            found[total] = ranked[j]
            found_scores[total] = np.float32(0)
            total += 1
    for j in range(size):
        marks[found[j]] = np.float32(0)
    return total


__all__ = [
    "HALF_FACTOR",
    "best_touched",
    "fill_up",
    "keep_allowed",
    "locate_rows",
    "scatter_float32",
    "scatter_row_float8",
    "scatter_row_float16",
    "scatter_row_float32",
    "scatter_rows_float8",
    "scatter_rows_float16",
    "scatter_rows_float32",
]
