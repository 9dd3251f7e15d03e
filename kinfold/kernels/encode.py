"""Rows of C as bytes, and back: steps between columns, and values of eight bits.

Columns ascend, and most of them are near the one before: what is kept is the step to each, in
groups of seven bits, the lowest first, the eighth bit saying that more follow (as in LEB128). The
first step of a row is its first column.

A value of eight bits is a share of the row's largest value, as a float32 cut down to sixteen steps
an octave: code c stands for the number whose bits are ``(c + CODE_FLOOR) << CODE_SHIFT``. The
largest share, 1, has the code 240; the smallest is 2^-15, and what is less is left out. A value is
off by 3 % at most.
"""

from __future__ import annotations

import numba
import numpy as np

from kinfold.arrays import Bools, Float32s, Int64s, Ints, UInt8s, UInt32s
from kinfold.kernels.jit import kernel, signed, unsigned

CODE_SHIFT = np.uint32(19)
CODE_FLOOR = np.uint32((127 - 15) << 4)
_HALF_CODE = np.uint32(1 << 18)
_MORE = np.uint32(0x80)
_SEVEN = np.uint32(0x7F)


@kernel(parallel=True)
def encode_values(
    length: Ints, begins: Int64s, values: Float32s, codes: UInt8s, kept: Bools, largest: Float32s,
    left: Int64s,
) -> None:  # fmt: skip
    """Codes of rows of values, 8 bits each, and which of them are large enough to have one.

    Parameters
    ----------
    length, begins:
        (m,) entries of each row and where it begins.
    values:
        (stored,) float32, positive.
    codes, kept:
        (stored,) written.
    largest, left:
        (m,) written: what the shares of a row are shares of, and how many are kept.
    """
    for row in numba.prange(length.shape[0]):
        begin, end = begins[row], begins[row] + length[row]
        top = np.float32(0)
        for e in range(begin, end):
            top = max(top, values[e])
        count = 0
        for e in range(begin, end):
            share = np.float32(values[e] / top)
            raw = share.view(np.uint32) + _HALF_CODE
            code = signed(raw >> CODE_SHIFT) - signed(CODE_FLOOR)
            kept[e] = code >= 0
            codes[e] = max(code, 0)
            count += code >= 0
        largest[row] = top
        left[row] = count


@kernel(parallel=True)
def step_bytes(length: Ints, begins: Int64s, columns: UInt32s, sizes: Int64s) -> None:
    """How many bytes the columns of each row take, into `sizes` (m,)."""
    for row in numba.prange(length.shape[0]):
        before = np.uint32(0)
        size = 0
        for e in range(begins[row], begins[row] + length[row]):
            step = columns[e] - before
            before = columns[e]
            size += 1
            while step >= _MORE:
                step >>= np.uint32(7)
                size += 1
        sizes[row] = size


@kernel(parallel=True)
def write_steps(
    length: Ints, begins: Int64s, columns: UInt32s, places: Int64s, out: UInt8s
) -> None:
    """Write the columns of each row as steps, from ``places[row]`` on."""
    for row in numba.prange(length.shape[0]):
        before = np.uint32(0)
        place = unsigned(places[row])
        for e in range(begins[row], begins[row] + length[row]):
            step = columns[e] - before
            before = columns[e]
            while step >= _MORE:
                out[place] = (step & _SEVEN) | _MORE
                step >>= np.uint32(7)
                place += unsigned(1)
            out[place] = step
            place += unsigned(1)


@kernel()
def decode_row(steps: UInt8s, begin: int, end: int, columns: UInt32s) -> int:
    """The columns that ``steps[begin:end]`` stand for; returns how many, or -1.

    -1 where they are more or fewer than `columns` has room for: the file is damaged.
    """
    count = unsigned(0)
    room = unsigned(columns.shape[0])
    place = unsigned(begin)
    column = np.uint32(0)
    while place < unsigned(end):
        step = np.uint32(steps[place])
        place += unsigned(1)
        if step >= _MORE:
            step &= _SEVEN
            shift = np.uint32(7)
            while place < unsigned(end):
                part = np.uint32(steps[place])
                place += unsigned(1)
                step |= (part & _SEVEN) << (shift & np.uint32(31))
                shift += np.uint32(7)
                if part < _MORE:
                    break
        if count == room:
            return -1
        column += step
        columns[count] = column
        count += unsigned(1)
    return signed(count) if count == room else -1


@kernel()
def decode_codes(codes: UInt8s, largest: float, out: Float32s) -> None:
    """The values that codes stand for."""
    for e in range(unsigned(codes.shape[0])):
        bits = np.uint32(np.uint32(codes[e]) + CODE_FLOOR) << CODE_SHIFT
        out[e] = np.float32(largest) * np.uint32(bits).view(np.float32)


@kernel()
def sound_rows(
    indptr: Int64s, starts: Int64s, steps: UInt8s, first: int, last: int, rows: int
) -> int:
    """The first of the rows `first` to `last` whose steps are no columns; `last` if all are.

    Columns must ascend, lie inside a gallery of `rows`, be as many as there are values, and be
    written in no more bytes than they need.
    """
    for row in range(first, last):
        count = 0
        column, step, shift = np.uint64(0), np.uint64(0), np.uint64(0)
        for place in range(starts[row] - starts[first], starts[row + 1] - starts[first]):
            part = np.uint64(steps[unsigned(place)])
            step |= (part & np.uint64(0x7F)) << shift
            if part >= np.uint64(0x80):
                shift += np.uint64(7)
                if shift > np.uint64(28):
                    return row
                continue
            if (step == np.uint64(0) and count > 0) or (part == 0 and shift > 0):
                return row
            column += step
            if column >= np.uint64(rows):
                return row
            count += 1
            step, shift = np.uint64(0), np.uint64(0)
        if shift > 0 or count != indptr[row + 1] - indptr[row]:
            return row
    return last


__all__ = [
    "CODE_FLOOR",
    "CODE_SHIFT",
    "decode_codes",
    "decode_row",
    "encode_values",
    "sound_rows",
    "step_bytes",
    "write_steps",
]
