from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinfold.arrays import NOTHING
from kinfold.kernels.combine import (
    best_touched,
    fill_up,
    keep_allowed,
    scatter_float32,
    scatter_row_float8,
    scatter_row_float16,
    scatter_row_float32,
)
from kinfold.kernels.encode import CODE_FLOOR, CODE_SHIFT, step_bytes, write_steps

ITEMS = 30
NO_ORDER = np.empty(0, dtype=np.uint32)


def single(values):
    return np.asarray(values, dtype=np.float32)


def half(values):
    return np.asarray(values, dtype=np.float16).view(np.uint16)


def codes(values):
    return ((single(values).view(np.uint32) >> CODE_SHIFT) - CODE_FLOOR).astype(np.uint8)


KINDS = {
    "float32": (scatter_row_float32, single),
    "float16": (scatter_row_float16, half),
    "float8": (scatter_row_float8, codes),
    # of columns as numbers, which models are fused with
    "columns": (None, single),
}


@pytest.fixture(params=KINDS, scope="module")
def kind(request):
    return KINDS[request.param]


@pytest.fixture(params=[name for name in KINDS if name != "columns"], scope="module")
def stored_kind(request):
    """Of the kinds that are stored as steps."""
    return KINDS[request.param]


def as_steps(rows):
    """(steps, places) of rows of columns, each ascending."""
    length = np.array([len(row) for row in rows], dtype=np.int64)
    begins = np.cumsum(length) - length
    columns = np.array([column for row in rows for column in row], dtype=np.uint32)
    sizes = np.empty_like(length)
    step_bytes(length, begins, columns, sizes)
    places = np.concatenate([[0], np.cumsum(sizes)])
    steps = np.empty(int(places[-1]), dtype=np.uint8)
    write_steps(length, begins, columns, places[:-1], steps)
    return steps, places


def scatter_all(kind, rows, values, weights, scores, touched):
    """Scatter rows of columns one after the other; returns the count."""
    scatter, encode = kind
    steps, places = as_steps(rows)
    flat = encode(values)
    columns = np.array([column for row in rows for column in row], dtype=np.uint32)
    first = count = 0
    for number, (row, weight) in enumerate(zip(rows, weights, strict=True)):
        last = first + len(row)
        if scatter is None:
            count = scatter_float32(columns, flat, first, last, weight, scores, touched, count)
        else:
            count = scatter(
                steps, places[number], places[number + 1], flat, first, last, weight,
                scores, touched, count,
            )  # fmt: skip
        if count < 0:
            break
        first = last
    return count


def combine(kind, rows, weights, scores):
    """Scatter sparse rows, given as {column: value}, one after the other."""
    touched = np.empty(sum(map(len, rows)) + 1, dtype=np.uint32)
    values = [row[column] for row in rows for column in sorted(row)]
    ordered = [sorted(row) for row in rows]
    return touched, scatter_all(kind, ordered, values, weights, scores, touched)


# Exact in every kind, and so are all sums of their products in float32.
sixteenths = st.integers(1, 31).map(lambda number: number / 16)
sparse_row = st.dictionaries(st.integers(0, ITEMS - 1), sixteenths, max_size=12)


@given(
    st.lists(st.tuples(sparse_row, sixteenths), max_size=5),
    st.integers(0, ITEMS + 3),
    st.booleans(),
    st.one_of(st.none(), st.permutations(range(ITEMS))),
)
def test_scatter_and_select_equal_a_dense_product(kind, seeds, k, scaled, order):
    rows, weights = [row for row, _ in seeds], [weight for _, weight in seeds]
    expected = np.zeros(ITEMS)
    for row, weight in seeds:
        for column, value in row.items():
            expected[column] += weight * value

    scores = np.zeros(ITEMS, dtype=np.float32)
    touched, count = combine(kind, rows, weights, scores)
    np.testing.assert_array_equal(scores, expected)
    assert sorted(touched[:count]) == np.flatnonzero(expected).tolist()

    # Powers of two, so that products are exact too.
    scales = 2.0 ** (np.arange(ITEMS) % 3 if scaled else np.zeros(ITEMS))
    # Ties are broken by the items, not by the slots that they stand in.
    items = list(range(ITEMS)) if order is None else order
    of_items = np.empty(ITEMS)
    of_items[items] = expected * scales
    best = sorted(np.flatnonzero(of_items), key=lambda item: (-of_items[item], item))[:k]
    out = np.full(k, NOTHING)
    out_scores = np.full(k, -1, dtype=np.float32)
    given = scales.astype(np.float32) if scaled else np.empty(0, dtype=np.float32)
    slots = NO_ORDER if order is None else np.array(order, dtype=np.uint32)
    assert best_touched(scores, touched, count, given, slots, k, out, out_scores) == len(best)
    assert out.tolist() == [*best, *[NOTHING] * (k - len(best))]
    np.testing.assert_array_equal(out_scores[: len(best)], of_items[best])
    assert not scores.any()


def test_every_float16_is_read_exactly():
    bits = np.arange(0x7C00, dtype=np.uint16)
    expected = bits.view(np.float16).astype(np.float32)
    assert expected[1] == 2.0**-24
    assert_read_exactly((scatter_row_float16, lambda values: values), bits, expected)


def test_every_code_is_read_exactly():
    every = np.arange(256, dtype=np.uint8)
    expected = 2.0 ** (every // 16 - 15.0) * (1 + every % 16 / 16)
    assert_read_exactly((scatter_row_float8, lambda values: values), every, expected)


def assert_read_exactly(kind, values, expected):
    scores = np.zeros(values.size, dtype=np.float32)
    touched = np.empty(values.size + 1, dtype=np.uint32)
    scatter_all(kind, [range(values.size)], values, [1.0], scores, touched)
    np.testing.assert_array_equal(scores, expected)


def test_a_row_may_begin_anywhere(kind):
    """What stands before it and behind it, in both arrays, is not looked at."""
    scores = np.zeros(3, dtype=np.float32)
    touched = np.empty(5, dtype=np.uint32)
    scatter, encode = kind
    values = encode([1.5, 1, 1.75, 1.5])
    if scatter is None:
        columns = np.array([9, 0, 2, 9], dtype=np.uint32)
        assert scatter_float32(columns, values, 1, 3, 0.5, scores, touched, 0) == 2
    else:
        steps = np.array([0xFF, 0xFF, 0, 2, 0xFF], dtype=np.uint8)
        assert scatter(steps, 2, 4, values, 1, 3, 0.5, scores, touched, 0) == 2
    assert scores.tolist() == [0.5, 0, 0.875]


@pytest.mark.parametrize("column", [200, 2**14, 2**21, 2**28 - 1])
def test_columns_far_apart(stored_kind, column):
    """Of two bytes and more; the gallery ends where the last one is."""
    scores = np.zeros(min(column, 2**21) + 1, dtype=np.float32)
    touched = np.empty(4, dtype=np.uint32)
    rows = [[1, column - 1, column]]
    count = scatter_all(stored_kind, rows, [1, 1.5, 1.25], [1.0], scores, touched)
    if column >= scores.size:
        assert count == -1
    else:
        assert touched[:count].tolist() == rows[0]
        assert scores[rows[0]].tolist() == [1, 1.5, 1.25]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_column_outside_the_gallery_ends_it(kind, place):
    columns = [0, 1, 2]
    columns[place:] = range(3, 6 - place)
    scores = np.zeros(3, dtype=np.float32)
    touched = np.empty(4, dtype=np.uint32)
    assert scatter_all(kind, [columns], [1, 1, 1], [1.0], scores, touched) == -1


def test_steps_that_end_early(stored_kind):
    scatter, encode = stored_kind
    scores = np.zeros(9, dtype=np.float32)
    touched = np.empty(9, dtype=np.uint32)
    steps = np.array([1, 1, 1, 1], dtype=np.uint8)
    assert scatter(steps, 0, 2, encode([1, 1, 1]), 0, 3, 1.0, scores, touched, 0) == -1


@given(st.binary(max_size=30), st.integers(0, 12), st.data())
def test_any_bytes_stay_inside_the_gallery(stored_kind, content, room, data):
    """Whatever the steps are: an answer or -1, the same whatever stands around them."""
    scatter, encode = stored_kind
    begin = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(begin, len(content)))
    values = encode(np.ones(room))
    answers = []
    for filler in (0x00, 0x80, 0xFF):
        steps = np.full(len(content) + 16, filler, dtype=np.uint8)
        steps[begin:end] = np.frombuffer(content, dtype=np.uint8)[begin:end]
        scores = np.zeros(ITEMS + 20, dtype=np.float32)
        touched = np.full(room + 9, 7, dtype=np.uint32)
        count = scatter(
            steps, begin, end, values, 0, room, 1.0, scores[:ITEMS], touched[: room + 1], 0
        )
        assert -1 <= count <= room
        assert not scores[ITEMS:].any()
        assert (touched[room + 1 :] == 7).all()
        answers.append((count, scores.tolist()))
    assert answers[0] == answers[1] == answers[2]


def test_an_underflowing_product_is_listed_once_or_never(kind):
    """1e-38 times 1e-9 is no float32: the column must not be listed again when it gets a value."""
    scores = np.zeros(ITEMS, dtype=np.float32)
    touched = np.empty(8, dtype=np.uint32)
    smallest = 2.0**-15 if kind[0] is scatter_row_float8 else 6e-8
    weights = [1e-42, 1e-42, 1e-38] if kind[0] is scatter_row_float8 else [1e-38] * 3
    count = scatter_all(kind, [[4]] * 3, [smallest, smallest, 1], weights, scores, touched)
    assert touched[:count].tolist() == [4]


@given(
    st.lists(st.integers(0, ITEMS - 1), unique=True, max_size=ITEMS),
    st.lists(st.integers(0, ITEMS - 1), unique=True, max_size=ITEMS),
    st.integers(0, ITEMS),
)
def test_fill_up(ranked, reached, k):
    reached = reached[:k]
    found = np.full(k, NOTHING)
    found[: len(reached)] = reached
    scores = np.full(k, -1, dtype=np.float32)
    scores[: len(reached)] = 1
    marks = np.zeros(ITEMS, dtype=np.float32)
    # An approximate engine ends a short list with NOTHING.
    order = np.array([*ranked, NOTHING], dtype=np.uint32)
    total = fill_up(order, marks, found, scores, len(reached))
    expected = [*reached, *[item for item in ranked if item not in reached]][:k]
    assert total == len(expected)
    assert found.tolist() == [*expected, *[NOTHING] * (k - total)]
    assert scores[: len(reached)].tolist() == [1] * len(reached)
    assert scores[len(reached) : total].tolist() == [0] * (total - len(reached))
    assert not marks.any()


@pytest.mark.parametrize("share", [0, 0.3, 1])
def test_only_allowed_columns_stay_touched(share):
    """`allowed` is by items, what was touched by slots."""
    rng = np.random.default_rng(0)
    touched = rng.permutation(50)[:20].astype(np.uint32)
    order = rng.permutation(50).astype(np.uint32)
    scores = np.zeros(50, dtype=np.float32)
    scores[touched] = 1 + np.arange(20)
    before = scores.copy()
    allowed = rng.random(50) < share
    expected = [column for column in touched.tolist() if allowed[order[column]]]
    count = keep_allowed(scores, touched, 20, order, allowed)
    assert touched[:count].tolist() == expected
    np.testing.assert_array_equal(scores, np.where(allowed[order], before, 0))
