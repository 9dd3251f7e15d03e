"""Columns as steps and values as codes: what goes in comes out, and damage is noticed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kinfold.kernels.encode import (
    CODE_FLOOR,
    CODE_SHIFT,
    decode_codes,
    decode_row,
    encode_values,
    sound_rows,
    step_bytes,
    write_steps,
)

LAST = 2**32 - 2
BEHIND = 0xEE
"""What stands behind a row: three bytes that ask for more."""


def written(rows):
    """(steps, places) of rows of ascending columns, one behind the other."""
    length = np.array([len(row) for row in rows], dtype=np.int64)
    begins = np.cumsum(length) - length
    columns = np.array([column for row in rows for column in row], dtype=np.uint32)
    sizes = np.full(len(rows), -1, dtype=np.int64)
    step_bytes(length, begins, columns, sizes)
    places = np.concatenate([[0], np.cumsum(sizes)])
    steps = np.full(int(places[-1]) + 3, BEHIND, dtype=np.uint8)
    write_steps(length, begins, columns, places[:-1], steps)
    assert (steps[-3:] == BEHIND).all()
    return steps, places


def leb128(number):
    """As the standard has it, in plain Python."""
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)


def plain(row):
    return b"".join(leb128(b - a) for a, b in zip([0, *row], row, strict=False))


columns_of_a_row = st.one_of(
    st.sets(st.integers(0, LAST), max_size=30).map(sorted),
    st.lists(st.integers(1, 300), max_size=60).map(lambda s: np.cumsum(s).tolist()),
)


@given(st.lists(columns_of_a_row, min_size=1, max_size=6))
@example([[0], [LAST], [0, LAST], [127, 128, 255, 256], [2**28 - 1, 2**28], []])
@example([[2**7 - 1], [2**7], [2**14 - 1], [2**14], [2**21], [2**28 - 1], [2**28]])
def test_columns_come_back(rows):
    steps, places = written(rows)
    for row, begin, end in zip(rows, places[:-1], places[1:], strict=True):
        assert steps[begin:end].tobytes() == plain(row)
        columns = np.full(len(row), 7, dtype=np.uint32)
        assert decode_row(steps, begin, end, columns) == len(row)
        assert columns.tolist() == row


@given(columns_of_a_row, st.sampled_from([-2, -1, 1, 5]))
def test_room_for_more_or_fewer_is_damage(row, difference):
    steps, places = written([row])
    room = max(0, len(row) + difference)
    guarded = np.full(room + 4, 7, dtype=np.uint32)
    found = decode_row(steps, 0, int(places[-1]), guarded[:room])
    assert found == (len(row) if room == len(row) else -1)
    assert (guarded[room:] == 7).all()


@given(st.binary(max_size=40), st.integers(0, 12), st.data())
def test_any_bytes_are_read_inside_their_bounds(content, room, data):
    """Whatever stands around them makes no difference, and nothing is written behind the room."""
    begin = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(begin, len(content)))
    answers = []
    for filler in (0x00, 0x80, 0xFF):
        steps = np.full(len(content) + 16, filler, dtype=np.uint8)
        steps[:begin] = filler
        steps[begin:end] = np.frombuffer(content, dtype=np.uint8)[begin:end]
        guarded = np.full(room + 4, 7, dtype=np.uint32)
        found = decode_row(steps, begin, end, guarded[:room])
        assert found in (-1, room)
        assert (guarded[room:] == 7).all()
        answers.append((found, guarded.tolist()))
    assert answers[0] == answers[1] == answers[2]


values_of_a_row = st.lists(
    st.floats(2.0**-60, 1.0, width=32, exclude_min=True), min_size=1, max_size=40
)


def encoded(rows):
    """(codes, kept, largest, left) of rows of values."""
    length = np.array([len(row) for row in rows], dtype=np.int64)
    begins = np.cumsum(length) - length
    values = np.array([value for row in rows for value in row], dtype=np.float32)
    codes = np.full(values.size, 99, dtype=np.uint8)
    kept = np.zeros(values.size, dtype=np.bool_)
    largest = np.empty(len(rows), dtype=np.float32)
    left = np.empty(len(rows), dtype=np.int64)
    encode_values(length, begins, values, codes, kept, largest, left)
    return codes, kept, largest, left


@given(st.lists(values_of_a_row, min_size=1, max_size=5))
def test_values_come_back_within_three_percent(rows):
    codes, kept, largest, left = encoded(rows)
    assert largest.tolist() == [max(row) for row in rows]
    begin = 0
    for number, row in enumerate(rows):
        values = np.array(row, dtype=np.float32)
        here = slice(begin, begin + len(row))
        share = values / values.max()
        assert kept[here][share >= 2.0**-15].all()
        assert not kept[here][share < 0.96 * 2.0**-15].any()
        assert left[number] == np.count_nonzero(kept[here]) >= 1
        out = np.full(len(row), 7, dtype=np.float32)
        decode_codes(codes[here], largest[number], out)
        np.testing.assert_allclose(out[kept[here]], values[kept[here]], rtol=0.032)
        assert out.max() == values.max()
        begin += len(row)


def test_every_code_stands_for_what_is_said_of_it():
    """Sixteen steps an octave, 240 for 1; the value of a code has that code."""
    codes = np.arange(256, dtype=np.uint8)
    out = np.empty(256, dtype=np.float32)
    decode_codes(codes, 1.0, out)
    expected = [2.0 ** (code // 16 - 15) * (1 + code % 16 / 16) for code in range(256)]
    np.testing.assert_array_equal(out, expected)
    assert (int(CODE_FLOOR), int(CODE_SHIFT)) == (112 * 16, 19)
    again, kept, largest, _ = encoded([out[:241].tolist()])
    assert kept.all()
    assert largest[0] == 1
    np.testing.assert_array_equal(again, codes[:241])


def test_the_order_of_values_is_kept():
    values = np.sort(np.random.default_rng(0).uniform(1e-4, 1, 500))
    codes, *_ = encoded([values.tolist()])
    assert (np.diff(codes.astype(int)) >= 0).all()


def sound(rows, steps, places, gallery, lengths=None):
    counts = [len(row) for row in rows] if lengths is None else lengths
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return sound_rows(indptr, places, steps, 0, len(rows), gallery)


ROWS = [[0, 3, 500], [2**20], [5, 6, 7, 2**30], [1]]


def test_sound_rows_are_found_sound():
    steps, places = written(ROWS)
    assert sound(ROWS, steps, places, LAST) == len(ROWS)
    # Rows of the second block of an index: places count over all of them.
    indptr = np.array([0, 3, 4, 8, 9], dtype=np.int64)
    assert sound_rows(indptr, places, steps[places[2] :].copy(), 2, 4, LAST) == 4


@pytest.mark.parametrize(("gallery", "row"), [(500, 0), (2**20, 1), (2**30, 2), (2**30 + 1, 4)])
def test_a_column_outside_the_gallery(gallery, row):
    steps, places = written(ROWS)
    assert sound(ROWS, steps, places, gallery) == row


@pytest.mark.parametrize(
    ("lengths", "row"), [([2, 1, 4, 1], 0), ([4, 1, 4, 1], 0), ([3, 1, 5, 1], 2)]
)
def test_more_or_fewer_columns_than_values(lengths, row):
    steps, places = written(ROWS)
    assert sound(ROWS, steps, places, LAST, lengths) == row


@pytest.mark.parametrize(
    "content",
    [
        [5, 0],  # a column twice
        [0x85, 0x00, 1],  # more bytes than it needs
        [5, 0x81],  # asks for more, and ends
        [5, 0x80, 0x80, 0x80, 0x80, 0x80, 1],  # longer than any column
        [5, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],  # beyond 2^32
    ],
)
def test_bytes_that_no_writer_writes(content):
    steps = np.array(content, dtype=np.uint8)
    places = np.array([0, len(content)], dtype=np.int64)
    assert sound([[0, 0]], steps, places, LAST) == 0
    assert sound([[5, 6]], np.array([5, 1], dtype=np.uint8), np.array([0, 2]), LAST) == 1


@given(columns_of_a_row.filter(bool), st.data())
def test_what_is_found_sound_is_read_as_it_was_written(row, data):
    """One changed byte: either it is noticed, or the columns still ascend inside the gallery."""
    steps, places = written([row])
    place = data.draw(st.integers(0, int(places[-1]) - 1))
    steps[place] ^= data.draw(st.integers(1, 255))
    if sound([row], steps, places, LAST + 1) == 1:
        columns = np.empty(len(row), dtype=np.uint32)
        assert decode_row(steps, 0, int(places[-1]), columns) == len(row)
        assert (np.diff(columns.astype(np.int64)) > 0).all()
