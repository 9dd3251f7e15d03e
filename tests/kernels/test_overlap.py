"""The quick comparisons of rows beside the plain ones."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kinfold.arrays import NOTHING
from kinfold.kernels.overlap import (
    COSINE,
    DIVERGENCE,
    JACCARD,
    compare_lists,
    compare_rows,
    log2_of,
)


@given(st.floats(2.0**-120, 2.0**120, width=32))
def test_the_logarithm(value):
    exact = np.log2(np.float64(value))
    assert abs(log2_of(np.float32(value)) - exact) <= 2e-7 * max(1, abs(exact))


def test_powers_of_two_are_exact():
    for exponent in range(-126, 127):
        assert log2_of(np.float32(2.0**exponent)) == exponent


def test_flat_rows_compare_as_padded_ones():
    generator = np.random.default_rng(0)
    n, width, k = 90, 14, 9
    lengths = generator.integers(0, width + 1, size=n)
    columns = np.zeros((n, width), dtype=np.uint32)
    values = np.zeros((n, width), dtype=np.float32)
    for i, length in enumerate(lengths):
        columns[i, :length] = np.sort(generator.permutation(30)[:length])
        values[i, :length] = generator.choice([1.0, 0.3, 1e-3, 1e-6], size=length)
        values[i, :length] /= max(values[i, :length].sum(), 1e-30)
    columns[1], values[1], lengths[1] = columns[0], values[0], lengths[0]
    lists = generator.integers(0, n, size=(n, k)).astype(np.uint32)
    lists[5:8, 3:] = NOTHING
    lists[0, 0], lists[1, 0] = 1, 0
    inside = np.arange(width) < lengths[:, None]
    indptr = np.r_[0, np.cumsum(lengths)]
    for kind in (DIVERGENCE, JACCARD, COSINE):
        expected = np.empty((n, k), dtype=np.float32)
        compare_lists(columns, values, lengths, lists, kind, 1, expected)
        for begin, end, threads in ((0, n, 1), (0, 40, 2), (40, n, 3)):
            found = np.empty((end - begin, k), dtype=np.float32)
            compare_rows(
                indptr, columns[inside], values[inside], lists,
                kind, width, begin, end, threads, found,
            )  # fmt: skip
            np.testing.assert_allclose(found, expected[begin:end], atol=3e-7)
        both = np.empty((n, n), dtype=np.float32)
        everybody = np.tile(np.arange(n, dtype=np.uint32), (n, 1))
        compare_rows(indptr, columns[inside], values[inside], everybody, kind, width, 0, n, 2, both)
        np.testing.assert_array_equal(both, both.T)


def test_shares_that_underflow_are_worth_nothing():
    columns = np.array([0, 1, 0, 1], dtype=np.uint32)
    values = np.array([1, 1e-45, 1e-45, 1], dtype=np.float32)
    lists = np.array([[1, 0], [0, 1]], dtype=np.uint32)
    found = np.empty((2, 2), dtype=np.float32)
    compare_rows(np.array([0, 2, 4]), columns, values, lists, DIVERGENCE, 2, 0, 2, 1, found)
    np.testing.assert_allclose(found, [[0, 1], [0, 1]], atol=1e-6)
