from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from oracles import dense

from kinfold.arrays import NOTHING
from kinfold.kernels.compare import (
    closeness,
    order_list,
    order_lists,
    score_lists,
    score_lists_parallel,
    without_self,
)

METRIC = {False: "inner_product", True: "l2"}


@pytest.fixture(scope="module", params=[1, 7, 16, 33, 257])
def vectors(request):
    return np.random.default_rng(request.param).normal(size=(50, request.param)).astype(np.float32)


@pytest.fixture(params=[False, True], ids=METRIC.get)
def by_distance(request):
    return request.param


def everything(rows):
    return np.arange(rows, dtype=np.uint32)


def test_closeness(vectors, by_distance):
    out = np.empty(50, dtype=np.float32)
    for row in range(50):
        closeness(vectors[row], vectors, everything(50), by_distance, out)
        expected = dense.closeness(
            vectors[row : row + 1].astype(float), vectors.astype(float), METRIC[by_distance]
        )[0]
        lengths = (vectors.astype(float) ** 2).sum(axis=1)
        assert (np.abs(out - expected) <= 1e-6 * (lengths + lengths[row])).all()


def test_closeness_is_symmetric_to_the_last_bit(vectors, by_distance):
    table = np.empty((50, 50), dtype=np.float32)
    for row in range(50):
        closeness(vectors[row], vectors, everything(50), by_distance, table[row])
    np.testing.assert_array_equal(table, table.T)


def test_nothing_is_infinitely_far():
    vectors = np.ones((3, 2), dtype=np.float32)
    others = np.array([NOTHING, 1], dtype=np.uint32)
    out = np.empty(2, dtype=np.float32)
    closeness(vectors[0], vectors, others, False, out)
    assert out.tolist() == [-np.inf, 2]


def test_builds_and_queries_compute_the_same_bits(vectors, by_distance):
    """A threshold stored by a build decides about a query: they must not differ in rounding."""
    rng = np.random.default_rng(0)
    lists = np.stack([rng.permutation(50)[:20] for _ in range(50)]).astype(np.uint32)
    mapped = vectors.copy()
    mapped.flags.writeable = False
    serial, parallel = lists.copy(), lists.copy()
    serial_out = np.empty(lists.shape, dtype=np.float32)
    parallel_out = np.empty(lists.shape, dtype=np.float32)
    score_lists(vectors, mapped, serial, by_distance, serial_out)
    score_lists_parallel(vectors, mapped, parallel, by_distance, parallel_out)
    np.testing.assert_array_equal(serial, parallel)
    np.testing.assert_array_equal(serial_out, parallel_out)
    alone = np.empty(20, dtype=np.float32)
    for row in range(50):
        closeness(vectors[row], mapped, serial[row], by_distance, alone)
        np.testing.assert_array_equal(alone, serial_out[row])
        single = lists[row : row + 1].copy()
        single_out = np.empty((1, 20), dtype=np.float32)
        score_lists(vectors[row : row + 1], mapped, single, by_distance, single_out)
        np.testing.assert_array_equal(single[0], serial[row])
        np.testing.assert_array_equal(single_out[0], serial_out[row])


some_lists = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.sampled_from([-np.inf, -1.5, 0.0, 0.25, 1.0]),
)


@given(some_lists, st.randoms())
def test_lists_are_put_in_order(values, random):
    ids = np.array([random.sample(range(1000), values.shape[1]) for _ in values], dtype=np.uint32)
    expected = [
        sorted(
            zip(ids[row].tolist(), values[row].tolist(), strict=True), key=lambda p: (-p[1], p[0])
        )
        for row in range(len(ids))
    ]
    one_by_one = ids.copy(), values.copy()
    for row in range(len(ids)):
        order_list(one_by_one[0][row], one_by_one[1][row])
    together = ids.copy(), values.copy()
    order_lists(*together)
    for found_ids, found_values in (one_by_one, together):
        pairs = [
            list(zip(i.tolist(), v.tolist(), strict=True))
            for i, v in zip(found_ids, found_values, strict=True)
        ]
        assert pairs == expected


@given(st.integers(1, 6), st.integers(0, 1000), st.data())
def test_without_self(k, first_row, data):
    rows = data.draw(st.integers(1, 5))
    found = np.array(
        [
            data.draw(
                st.lists(
                    st.integers(first_row, first_row + 8),
                    min_size=k + 1,
                    max_size=k + 1,
                    unique=True,
                )
            )
            for _ in range(rows)
        ],
        dtype=np.uint32,
    )
    out = np.empty((rows, k), dtype=np.uint32)
    before = found.copy()
    without_self(found, first_row, out)
    for row in range(rows):
        assert out[row].tolist() == [j for j in found[row].tolist() if j != first_row + row][:k]
    np.testing.assert_array_equal(found, before)


def test_without_self_keeps_what_was_not_found():
    found = np.array([[4, 3, NOTHING, NOTHING]], dtype=np.uint32)
    out = np.empty((1, 3), dtype=np.uint32)
    without_self(found, 3, out)
    assert out.tolist() == [[4, NOTHING, NOTHING]]
