"""Sparse rows gathered in dense scratch: what the similarity models are made of.

A row is gathered in `total` (n,), all zero between uses, with the list of its places in `touched`.
Values are positive, so a place that is not zero is a touched one.
"""

from __future__ import annotations

import numba
import numpy as np

from kinfold.arrays import Floats, Ints
from kinfold.kernels.jit import kernel, signed, unsigned
from kinfold.kernels.select import kth_largest
from kinfold.kernels.sort import sort_columns

# Sign, exponent and the first three bits of the mantissa tell the buckets of `cut_of` apart.
_SHIFT = np.uint32(20)
BUCKETS = 1 << 12


@kernel()
def add_row(
    indptr: Ints, indices: Ints, values: Floats, row: int, weight: float,
    total: Floats, touched: Ints, count: int,
) -> int:  # fmt: skip
    """Add weight * row to `total`; returns how many places are touched so far."""
    filled = unsigned(count)
    for e in range(unsigned(indptr[row]), unsigned(indptr[row + unsigned(1)])):
        place = indices[e]
        before = total[place]
        after = before + weight * values[e]
        touched[filled] = place
        # A product may underflow to zero: then the place is not touched yet.
        filled += unsigned((before == 0) & (after > 0))
        total[place] = after
    return signed(filled)


@kernel()
def clear(total: Floats, touched: Ints, count: int) -> None:
    """Make the touched places zero again."""
    for t in range(unsigned(count)):
        total[touched[t]] = 0


@kernel(parallel=True)
def chained_rows(
    first_indptr: Ints, first_indices: Ints, first_values: Floats,
    second_indptr: Ints, second_indices: Ints, second_values: Floats,
    indptr: Ints, indices: Ints, values: Floats,
    between: int, keep: int, normalise: bool, threads: int,
    columns: Ints, out: Floats, length: Ints,
) -> None:  # fmt: skip
    """The `keep` largest entries of each row of A B F, by ascending column.

    `normalise`: each row is scaled to sum to one.
    A, B, F: (n, n) CSR with positive values. Neither product is stored: each row is gathered from
    the rows that it needs; of a row of A B only the `between` largest entries go on.
    `columns`, `out` (n, keep) and `length` (n,) are written.
    """
    n = indptr.shape[0] - 1
    for thread in numba.prange(threads):
        total = np.zeros(n, dtype=np.float32)
        touched = np.empty(n + 1, dtype=np.uint32)
        ordered = np.empty(n + 1, dtype=np.float32)
        doubtful = np.empty(n + 1, dtype=np.float32)
        buckets = np.empty(BUCKETS, dtype=np.uint32)
        middle = np.empty(between, dtype=np.uint32)
        weights = np.empty(between, dtype=np.float32)
        spare = np.empty(keep, dtype=np.uint32)
        spare_values = np.empty(keep, dtype=np.float32)
        histogram = np.empty(256, dtype=np.uint32)
        for i in range(thread, n, threads):
            count = 0
            for e in range(unsigned(first_indptr[i]), unsigned(first_indptr[i + 1])):
                count = add_row(
                    second_indptr, second_indices, second_values, first_indices[e],
                    first_values[e], total, touched, count,
                )  # fmt: skip
            passed = largest(
                total, touched, count, between, ordered, doubtful, buckets, middle, weights
            )
            clear(total, touched, count)
            count = 0
            for t in range(unsigned(passed)):
                count = add_row(
                    indptr, indices, values, middle[t], weights[t], total, touched, count
                )
            kept = largest(
                total, touched, count, keep, ordered, doubtful, buckets, columns[i], out[i]
            )
            clear(total, touched, count)
            if normalise:
                mass = 0.0
                for a in range(kept):
                    mass += out[i, a]
                for a in range(kept):
                    out[i, a] /= max(mass, np.float32(1e-30))
            sort_columns(columns[i], out[i], kept, n - 1, spare, spare_values, histogram)
            length[i] = kept


@kernel()
def largest(
    total: Floats, touched: Ints, count: int, keep: int,
    ordered: Floats, doubtful: Floats, histogram: Ints, columns: Ints, out: Floats,
) -> int:  # fmt: skip
    """Copy the `keep` largest touched entries (ties: the one met first); returns how many.

    `ordered` and `doubtful` (n,) float32, `histogram` (4096,) uint32 are scratch.
    """
    for t in range(unsigned(count)):
        ordered[t] = total[touched[t]]
    cut, ties = 0.0, signed(0)
    if count > keep:
        cut, ties = cut_of(ordered, count, keep, doubtful, histogram)
    kept = unsigned(0)
    for t in range(unsigned(count)):
        value = ordered[t]
        if value < cut:
            continue
        if value == cut:
            ties -= 1
            if ties < 0:
                continue
        columns[kept] = touched[t]
        out[kept] = value
        kept += unsigned(1)
    return signed(kept)


@kernel()
def cut_of(
    values: Floats, count: int, keep: int, doubtful: Floats, histogram: Ints
) -> tuple[float, int]:
    """(the keep-th largest of ``values[:count]``, how many equal to it are among the largest).

    Positive float32 are in the order of their bits, so counting by the leading ones finds the
    few values among which the cut is; that saves most of a selection's mispredicted branches.
    """
    bits = values.view(np.uint32)
    histogram[:] = 0
    top = np.uint32(0)
    for t in range(unsigned(count)):
        bucket = bits[t] >> _SHIFT
        histogram[bucket] += np.uint32(1)
        top = max(top, bucket)
    left = signed(keep)
    while signed(histogram[top]) < left:
        left -= signed(histogram[top])
        top -= np.uint32(1)
    found = unsigned(0)
    for t in range(unsigned(count)):
        doubtful[found] = values[t]
        found += unsigned(bits[t] >> _SHIFT == top)
    cut = kth_largest(doubtful, found, left)
    ties = signed(0)
    # kth_largest leaves the `left` largest in front.
    for t in range(unsigned(left)):
        ties += doubtful[t] == cut
    return cut, ties


__all__ = ["BUCKETS", "add_row", "chained_rows", "clear", "largest"]
