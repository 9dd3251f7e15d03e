from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinfold.kernels.select import kth_largest, mass_cut

floats = st.floats(-1e6, 1e6, width=32)
# Few different values, so that ties are the rule; their sums are exact in any order.
coarse = st.lists(st.integers(0, 4), min_size=1, max_size=40)


@given(st.one_of(st.lists(floats, min_size=1, max_size=60), coarse), st.data())
def test_kth_largest_equals_sorting(values, data):
    k = data.draw(st.integers(1, len(values)))
    spare = data.draw(st.lists(floats, max_size=3))
    array = np.array([*values, *spare], dtype=np.float32)
    found = kth_largest(array, len(values), k)
    assert found == sorted(np.float32(values), reverse=True)[k - 1]
    assert sorted(array[: len(values)]) == sorted(np.float32(values))
    np.testing.assert_array_equal(array[len(values) :], np.float32(spare))


def kept_by(values, goal):
    """The values that (cut, ties) keep, descending."""
    cut, ties = mass_cut(np.array(values, dtype=np.float32), len(values), float(goal))
    equal = sum(value == cut for value in values)
    assert 1 <= ties <= equal
    return sorted([v for v in values if v > cut] + [cut] * ties, reverse=True)


def smallest_prefix(values, goal):
    ordered = sorted(values, reverse=True)
    for length in range(1, len(ordered)):
        if sum(ordered[:length]) >= goal:
            return ordered[:length]
    return ordered


@pytest.mark.parametrize("length", range(1, 7))
def test_mass_cut_is_the_smallest_prefix(length):
    for values in itertools.product((0, 1, 2), repeat=length):
        for goal in np.arange(0, sum(values) + 0.5, 0.5):
            assert kept_by(values, goal) == smallest_prefix(values, goal), (values, goal)


@given(coarse, st.floats(0, 1))
def test_mass_cut_among_many_ties(values, share):
    goal = share * sum(values)
    assert kept_by(values, goal) == smallest_prefix(values, goal)


@given(st.sets(st.integers(1, 1 << 16), min_size=1, max_size=60), st.floats(0, 1), st.randoms())
def test_mass_cut_without_ties(values, share, random):
    values = list(values)
    random.shuffle(values)
    goal = share * sum(values)
    assert kept_by(values, goal) == smallest_prefix(values, goal)


def test_everything_is_kept_when_the_goal_is_out_of_reach():
    assert kept_by([3, 1, 1, 2], 100) == [3, 2, 1, 1]


def test_nothing_to_cut():
    assert mass_cut(np.empty(0, dtype=np.float32), 0, 1.0) == (0.0, 0)
