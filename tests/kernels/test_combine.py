from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinfold.arrays import NOTHING
from kinfold.kernels.combine import (
    best_touched,
    fill_up,
    find_in_row,
    keep_allowed,
    scatter_float16,
    scatter_float32,
)

KINDS = {
    "float32": (scatter_float32, lambda values: np.asarray(values, dtype=np.float32)),
    "float16": (
        scatter_float16,
        lambda values: np.asarray(values, dtype=np.float16).view(np.uint16),
    ),
}
ITEMS = 30


@pytest.fixture(params=KINDS, scope="module")
def kind(request):
    return KINDS[request.param]


def combine(kind, rows, weights, scores):
    """Scatter sparse rows, given as {column: value}, one after the other."""
    scatter, encode = kind
    columns = np.array([c for row in rows for c in sorted(row)], dtype=np.uint32)
    values = encode([row[c] for row in rows for c in sorted(row)])
    touched = np.empty(columns.size + 1, dtype=np.uint32)
    begin = count = 0
    for row, weight in zip(rows, weights, strict=True):
        end = begin + len(row)
        count = scatter(columns, values, begin, end, weight, scores, touched, count)
        begin = end
    return touched, count


# Sixteenths are exact in float16, and so are all sums of their products in float32.
sixteenths = st.integers(1, 64).map(lambda number: number / 16)
sparse_row = st.dictionaries(st.integers(0, ITEMS - 1), sixteenths, max_size=12)


@given(
    st.lists(st.tuples(sparse_row, sixteenths), max_size=5),
    st.integers(0, ITEMS + 3),
    st.booleans(),
)
def test_scatter_and_select_equal_a_dense_product(kind, seeds, k, scaled):
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
    expected = expected * scales
    best = sorted(np.flatnonzero(expected), key=lambda item: (-expected[item], item))[:k]
    out = np.full(k, NOTHING)
    out_scores = np.full(k, -1, dtype=np.float32)
    given = scales.astype(np.float32) if scaled else np.empty(0, dtype=np.float32)
    assert best_touched(scores, touched, count, given, k, out, out_scores) == len(best)
    assert out.tolist() == [*best, *[NOTHING] * (k - len(best))]
    np.testing.assert_array_equal(out_scores[: len(best)], expected[best])
    assert not scores.any()


def test_every_float16_is_read_exactly():
    bits = np.arange(0x7C00, dtype=np.uint16)
    expected = bits.view(np.float16).astype(np.float32)
    assert expected[1] == 2.0**-24
    columns = np.arange(bits.size, dtype=np.uint32)
    scores = np.zeros(bits.size, dtype=np.float32)
    touched = np.empty(bits.size + 1, dtype=np.uint32)
    scatter_float16(columns, bits, 0, bits.size, 1.0, scores, touched, 0)
    np.testing.assert_array_equal(scores, expected)


def test_a_row_may_begin_anywhere(kind):
    scatter, encode = kind
    columns = np.array([9, 0, 2, 9], dtype=np.uint32)
    scores = np.zeros(3, dtype=np.float32)
    touched = np.empty(5, dtype=np.uint32)
    assert scatter(columns, encode([8, 1, 2, 8]), 1, 3, 0.5, scores, touched, 0) == 2
    assert scores.tolist() == [0.5, 0, 1]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_column_outside_the_gallery_ends_it(kind, place):
    scatter, encode = kind
    columns = np.array([0, 1, 2], dtype=np.uint32)
    columns[place] = 3
    scores = np.zeros(3, dtype=np.float32)
    touched = np.empty(4, dtype=np.uint32)
    assert scatter(columns, encode([1, 1, 1]), 0, 3, 1.0, scores, touched, 0) == -1


def test_an_underflowing_product_is_listed_once_or_never(kind):
    """1e-38 times 1e-9 is no float32: the column must not be listed again when it gets a value."""
    scatter, encode = kind
    columns = np.array([4, 4, 4], dtype=np.uint32)
    values = encode([6e-8, 6e-8, 1])
    scores = np.zeros(ITEMS, dtype=np.float32)
    touched = np.empty(8, dtype=np.uint32)
    count = 0
    for place in range(3):
        count = scatter(columns, values, place, place + 1, 1e-38, scores, touched, count)
    assert touched[:count].tolist() == [4]


@given(st.sets(st.integers(0, 2**32 - 2), max_size=40), st.integers(0, 2**32 - 2), st.data())
def test_find_in_row(columns, wanted, data):
    ordered = sorted(columns)
    if ordered and data.draw(st.booleans()):
        wanted = data.draw(st.sampled_from(ordered))
    begin = data.draw(st.integers(0, len(ordered)))
    end = data.draw(st.integers(begin, len(ordered)))
    inside = ordered[begin:end]
    expected = begin + inside.index(wanted) if wanted in inside else -1
    assert find_in_row(np.array(ordered, dtype=np.uint32), begin, end, wanted) == expected


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
    rng = np.random.default_rng(0)
    touched = rng.permutation(50)[:20].astype(np.uint32)
    scores = np.zeros(50, dtype=np.float32)
    scores[touched] = 1 + np.arange(20)
    before = scores.copy()
    allowed = rng.random(50) < share
    expected = [column for column in touched.tolist() if allowed[column]]
    count = keep_allowed(scores, touched, 20, allowed)
    assert touched[:count].tolist() == expected
    np.testing.assert_array_equal(scores, np.where(allowed, before, 0))
