from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinfold.arrays import NOTHING
from kinfold.kernels.rows import keep_mass, listed_set


def keep(x, mass, most=100):
    x = np.array(x, dtype=np.float32)
    nodes = np.arange(100, 100 + x.size, dtype=np.uint32)
    columns, values = np.empty_like(nodes), np.empty_like(x)
    count = keep_mass(x, nodes, x.size, mass, most, np.empty_like(x), columns, values)
    places = columns[:count].astype(int) - 100
    np.testing.assert_array_equal(values[:count], x[places])
    return places.tolist()


# Whole numbers: their sums are exact, so "reaches the mass" has one answer.
entries = st.lists(st.integers(-3, 40), min_size=1, max_size=30).filter(lambda x: max(x) > 0)


@given(entries, st.integers(1, 15))
def test_the_smallest_prefix_that_reaches_the_mass(x, sixteenth):
    goal = sixteenth / 16 * sum(v for v in x if v > 0)
    kept = sorted((x[place] for place in keep(x, sixteenth / 16)), reverse=True)
    ordered = sorted((v for v in x if v > 0), reverse=True)
    assert kept == ordered[: len(kept)]
    assert sum(kept) >= goal > sum(kept[:-1])


@given(entries)
def test_the_whole_mass_is_everything_positive(x):
    assert keep(x, 1.0) == [place for place, value in enumerate(x) if value > 0]


@given(entries, st.integers(1, 16), st.integers(1, 30))
def test_no_more_than_the_most(x, sixteenth, most):
    """Of what the mass asks for the largest; the first met of those that are equal."""
    whole = keep(x, sixteenth / 16)
    kept = keep(x, sixteenth / 16, most)
    best = sorted(whole, key=lambda place: (-x[place], place))[:most]
    assert kept == sorted(best)


def listed(row, others, size):
    position = np.full(20, NOTHING)
    nodes = np.empty(20, dtype=np.uint32)
    found = listed_set(np.uint32(row), np.array(others, dtype=np.uint32), size, position, nodes)
    members = nodes[:found].tolist()
    assert position[members].tolist() == list(range(found))
    return members


@pytest.mark.parametrize(
    ("others", "size", "expected"),
    [
        ([3, 4, 5], 10, [7, 3, 4, 5]),
        ([3, 4, 5], 3, [7, 3, 4]),
        ([3, 4, 5], 1, [7]),
        ([NOTHING, NOTHING], 10, [7]),
        ([3, NOTHING, 4, NOTHING], 10, [7, 3, 4]),
        ([7, 3, 3, 4], 3, [7, 3, 4]),
    ],
    ids=["all", "cut", "alone", "nothing found", "gaps", "itself and twice"],
)
def test_listed_set(others, size, expected):
    assert listed(7, others, size) == expected
