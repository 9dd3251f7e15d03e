from __future__ import annotations

import numpy as np
import pytest

from kinfold.arrays import NOTHING
from kinfold.metric import Measure
from kinfold.search.seeds import seed_weights

POSITIONS = np.array([[3, 0, 2], [1, 2, NOTHING]], dtype=np.uint32)
SIMILARITIES = np.array([[0.9, 0.8, -0.2], [0.5, 0.5, -np.inf]], dtype=np.float32)
THRESHOLDS = np.array([0.8, 0.6, 0.4, 0.95], dtype=np.float32)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("plain", [[0.81, 0.64, 0], [0.25, 0.25, 0]]),
        # 3 would not have it, but is the best; 0 would just have it; 1 is the best, 2 would.
        ("reciprocal", [[0.81, 0.64, 0], [0.25, 0.25, 0]]),
    ],
)
def test_weights(rule, expected):
    found = seed_weights(POSITIONS, SIMILARITIES, THRESHOLDS, Measure("cosine"), 2.0, rule)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_reciprocal_leaves_out_those_that_have_nearer_ones():
    strict = THRESHOLDS + np.array([0.001, 0, 0.2, 0], dtype=np.float32)
    found = seed_weights(POSITIONS, SIMILARITIES, strict, Measure("cosine"), 1.0, "reciprocal")
    np.testing.assert_allclose(found, [[0.9, 0, 0], [0.5, 0, 0]])


def test_weights_are_in_units_of_the_scale():
    measure = Measure("inner_product", 4.0)
    found = seed_weights(POSITIONS, 4 * SIMILARITIES, THRESHOLDS, measure, 2.0, "plain")
    expected = np.array([[0.81, 0.64, 0], [0.25, 0.25, 0]])
    np.testing.assert_allclose(found / found[:, :1], expected / expected[:, :1], rtol=1e-6)


def test_its_input_is_left_alone():
    similarities = SIMILARITIES.copy()
    seed_weights(POSITIONS, similarities, THRESHOLDS, Measure("cosine"), 2.0, "reciprocal")
    np.testing.assert_array_equal(similarities, SIMILARITIES)
