"""Sparse rows: selection of the largest entries, and chained products."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from kinfold.kernels.sparse import largest
from kinfold.similarity.rows import Rows

positive = st.floats(2.0**-140, 2.0**120, width=32)
# A few values that come again and again, for ties.
values = st.lists(st.one_of(positive, st.sampled_from([0.25, 0.5, 1.0])), max_size=60)


@given(values=values, keep=st.integers(1, 70))
def test_the_largest_ties_by_the_one_met_first(values, keep):
    count = len(values)
    total = np.zeros(200, dtype=np.float32)
    touched = np.random.default_rng(count).permutation(200)[: count + 1].astype(np.uint32)
    total[touched[:count]] = values
    columns, out = np.empty(keep, np.uint32), np.empty(keep, np.float32)
    ordered, doubtful = np.empty((2, 201), dtype=np.float32)
    kept = largest(
        total, touched, count, keep, ordered, doubtful, np.empty(4096, np.uint32), columns, out
    )
    best = np.sort(np.argsort(-np.array(values, dtype=np.float32), kind="stable")[:keep])
    assert kept == len(best)
    np.testing.assert_array_equal(columns[:kept], touched[:count][best])
    np.testing.assert_array_equal(out[:kept], np.array(values, dtype=np.float32)[best])


def matrix(generator, rows, density):
    dense = generator.random((rows, rows)) * (generator.random((rows, rows)) < density)
    return sp.csr_array(dense.astype(np.float32))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_chained_product(threads):
    generator = np.random.default_rng(0)
    first, second, third = (matrix(generator, 50, 0.2) for _ in range(3))
    rows = Rows.product(first, second, third, 50, threads, normalise=False)
    expected = (first @ second @ third).toarray()
    np.testing.assert_allclose(rows.matrix().toarray(), expected, rtol=1e-5)
    for between in (1, 7, 1000):
        rows = Rows.product(first, second, third, 9, threads, normalise=False, between=between)
        middle = (first @ second).toarray()
        cut = -np.sort(-middle, axis=1)[:, min(between, 50) - 1 : min(between, 50)]
        expected = np.where(middle >= cut, middle, 0) @ third.toarray()
        cut = -np.sort(-expected, axis=1)[:, 8:9]
        expected = np.where(expected >= cut * (1 - 1e-6), expected, 0)
        np.testing.assert_allclose(rows.matrix().toarray(), expected, rtol=1e-5)
        assert rows.length.max() <= 9


def test_rows_scaled_to_length_one():
    generator = np.random.default_rng(1)
    first = matrix(generator, 40, 0.3)
    rows = Rows.product(first, first, first, 12, 1, normalise=False)
    lengths = np.linalg.norm(rows.unit().matrix().toarray(), axis=1)
    np.testing.assert_allclose(lengths[rows.length > 0], 1, rtol=1e-6)
