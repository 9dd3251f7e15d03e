from __future__ import annotations

import numpy as np
import pytest

from kinfold import BuildConfig
from kinfold.arrays import NOTHING
from kinfold.metric import Measure
from kinfold.search.seeds import SEEDS, SOFT_SCALE, seed_weights

POSITIONS = np.array([[3, 0, 2], [1, 2, NOTHING]], dtype=np.uint32)
SIMILARITIES = np.array([[0.9, 0.8, -0.2], [0.5, 0.5, -np.inf]], dtype=np.float32)
NEAREST = np.array(
    [[0.9, 0.8, 0.1], [0.6, 0.6, 0.1], [0.5, 0.4, 0.1], [0.96, 0.95, 0.1]], dtype=np.float32
)
"""Of four items, one place more than k_d."""

COSINE = Measure("cosine")


def weights_of(similarities, rule, gamma, nearest=NEAREST, measure=COSINE, **settings):
    config = BuildConfig(k_d=2, min_degree=1, gamma=gamma, **settings)
    return seed_weights(POSITIONS, similarities, nearest, measure, config, rule)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("plain", [[0.81, 0.64, 0], [0.25, 0.25, 0]]),
        # 3 would not have it, but is the best; 0 would just have it; 1 is the best, 2 would.
        ("reciprocal", [[0.81, 0.64, 0], [0.25, 0.25, 0]]),
    ],
)
def test_weights(rule, expected):
    found = weights_of(SIMILARITIES, rule, 2.0)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_reciprocal_leaves_out_those_that_have_nearer_ones():
    strict = NEAREST.copy()
    strict[0, 1], strict[2, 1] = 0.801, 0.501
    found = weights_of(SIMILARITIES, "reciprocal", 1.0, strict)
    np.testing.assert_allclose(found, [[0.9, 0, 0], [0.5, 0, 0]])


@pytest.mark.parametrize("scale", [2.0, 0.0])
def test_soft_weighs_by_the_worse_of_both_ranks(scale):
    """Item 3 is the first of query 0, which has two better for it; and so on, ties together."""
    ranks = np.array([[3, 2, 0], [3, 1, 0]])
    base = np.array([[0.81, 0.64, 0], [0.25, 0.25, 0]])
    expected = base * np.exp(-(ranks - 1) / (scale or SOFT_SCALE))
    found = weights_of(SIMILARITIES, "soft", 2.0, rank_scale=scale)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_soft_changes_little_with_k_q():
    """What is far down the list of a query has next to no weight; nothing else changes."""
    found = weights_of(SIMILARITIES, "soft", 2.0)
    first = seed_weights(
        POSITIONS[:, :1], SIMILARITIES[:, :1], NEAREST, Measure("cosine"),
        BuildConfig(k_d=2, min_degree=1, gamma=2.0), "soft",
    )  # fmt: skip
    np.testing.assert_array_equal(found[:, :1], first)


def test_weights_are_in_units_of_the_scale():
    measure = Measure("inner_product", 4.0)
    found = weights_of(4 * SIMILARITIES, "plain", 2.0, measure=measure)
    expected = np.array([[0.81, 0.64, 0], [0.25, 0.25, 0]])
    np.testing.assert_allclose(found / found[:, :1], expected / expected[:, :1], rtol=1e-6)


def test_its_input_is_left_alone():
    similarities = SIMILARITIES.copy()
    for rule in SEEDS:
        weights_of(similarities, rule, 2.0)
    np.testing.assert_array_equal(similarities, SIMILARITIES)
