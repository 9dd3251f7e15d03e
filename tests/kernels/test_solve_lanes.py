"""Sixteen systems in step, against a dense solver and against each one alone."""

from __future__ import annotations

import numpy as np
import pytest
from oracles.weighted import GRAPHS, csr

from kinfold.kernels.lanes import LANES
from kinfold.kernels.solve_lanes import conjugate_gradients


@pytest.fixture(params=GRAPHS)
def graph(request):
    return GRAPHS[request.param]


def solve(graph, alpha, places, tolerance, max_iterations=1000):
    """(solutions (n, count), iterations, converged)."""
    n = len(graph)
    matrix = csr((alpha * graph).astype(np.float32), np.float32)
    # What an earlier group left in the scratch must not matter.
    x, r, p, q = (np.full((n + 3) * LANES, np.nan, dtype=np.float32) for _ in range(4))
    converged = np.zeros(LANES, dtype=np.bool_)
    iterations = conjugate_gradients(
        matrix.indptr.astype(np.uint32), matrix.indices.astype(np.uint32), matrix.data, n,
        np.array(places, dtype=np.uint32), tolerance, max_iterations, x, r, p, q,
        np.full((6, LANES), np.nan, dtype=np.float32), converged,
    )  # fmt: skip
    count = len(places)
    return x.reshape(-1, LANES)[:n, :count], iterations, converged[:count]


def exact(graph, alpha, places):
    system = np.eye(len(graph)) - (alpha * graph).astype(np.float32).astype(float)
    return np.linalg.solve(system, np.eye(len(graph))[:, places]), system


@pytest.mark.parametrize("count", [1, 3, 15, 16])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.95])
def test_equals_a_dense_solver(graph, alpha, count):
    places = np.random.default_rng(count).permutation(len(graph))[:count]
    found, iterations, converged = solve(graph, alpha, places, 1e-5)
    expected, _ = exact(graph, alpha, places)
    assert converged.all()
    assert iterations >= 1
    np.testing.assert_allclose(found, expected, atol=2e-5 / (1 - alpha))


@pytest.mark.parametrize("tolerance", [0.3, 1e-2, 1e-4, 1e-5, 1e-6])
@pytest.mark.parametrize("alpha", [0.9, 0.99])
def test_converged_means_that_the_true_residual_is_small(graph, alpha, tolerance):
    places = np.arange(LANES)
    found, _, converged = solve(graph, alpha, places, tolerance)
    _, system = exact(graph, alpha, places)
    residual = np.linalg.norm(np.eye(len(graph))[:, places] - system @ found, axis=0)
    rounding = 4 * np.finfo(np.float32).eps * np.linalg.norm(found, axis=0)
    assert (residual <= tolerance + rounding)[converged].all()
    if tolerance >= 1e-4:
        assert converged.all()


@pytest.mark.parametrize("limit", range(1, 12))
def test_at_the_limit_the_true_residuals_tell_the_good_from_the_bad(graph, limit):
    """Whatever a lane that stood still believed of itself."""
    places = np.arange(LANES)
    found, iterations, converged = solve(graph, 0.99, places, 1e-2, limit)
    _, system = exact(graph, 0.99, places)
    residual = np.linalg.norm(np.eye(len(graph))[:, places] - system @ found, axis=0)
    assert iterations <= limit
    clear = np.abs(residual - 1e-2) > 1e-5
    np.testing.assert_array_equal(converged[clear], (residual <= 1e-2)[clear])


def test_a_lane_that_is_done_waits_for_the_others():
    """A loner has its solution at once, the end of a chain after as many steps as it is long."""
    graph = np.zeros((40, 40))
    for i in range(29):
        graph[i, i + 1] = graph[i + 1, i] = 0.5
    places = [35, 0, 36, 15, 29]
    alone, quick, _ = solve(graph, 0.99, [35], 1e-4)
    found, iterations, converged = solve(graph, 0.99, places, 1e-4)
    assert quick == 1 < iterations
    assert converged.all()
    np.testing.assert_array_equal(found[:, 0], np.eye(40)[35])
    np.testing.assert_array_equal(found[:, 0], alone[:, 0])
    np.testing.assert_allclose(found, exact(graph, 0.99, places)[0], atol=1e-3)


def test_a_lane_is_the_same_wherever_it_stands(graph):
    """Of sixteen that are solved to the same accuracy, in another order: the same bits."""
    places = np.random.default_rng(5).permutation(len(graph))[:LANES]
    turned = np.roll(places, 5)
    first, one, good = solve(graph, 0.95, places, 1e-4)
    second, two, also = solve(graph, 0.95, turned, 1e-4)
    assert one == two
    np.testing.assert_array_equal(np.roll(first, 5, axis=1), second)
    np.testing.assert_array_equal(np.roll(good, 5), also)


def test_a_goal_out_of_reach_does_no_harm(graph):
    """The limit of the arithmetic is met before the goal; what was found until then stays."""
    places = np.arange(LANES)
    found, iterations, _ = solve(graph, 0.99, places, 1e-13, 400)
    expected, _ = exact(graph, 0.99, places)
    assert iterations <= 400
    np.testing.assert_allclose(found, expected, atol=1e-3 * expected.max())
