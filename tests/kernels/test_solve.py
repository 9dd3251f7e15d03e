from __future__ import annotations

import numpy as np
import pytest
from oracles.weighted import GRAPHS, csr

from kinfold.kernels.solve import conjugate_gradient, gather
from kinfold.kernels.walk import OUTSIDE


@pytest.fixture(params=GRAPHS)
def graph(request):
    return GRAPHS[request.param]


def gathered(S, members, alpha, capacity, dtype=np.float64, half=True):
    """alpha S on `members` as (fits, dense matrix)."""
    matrix = csr(S, dtype)
    position = np.full(len(S), OUTSIDE, dtype=np.uint32)
    position[members] = np.arange(len(members))
    nodes = np.zeros(len(S), dtype=np.uint32)
    nodes[: len(members)] = members
    indptr = np.zeros(len(members) + 1, dtype=np.uint32)
    indices = np.full(capacity, OUTSIDE)
    values = np.full(capacity, np.nan, dtype=dtype)
    fits = gather(
        matrix.indptr.astype(np.uint64), matrix.indices.astype(np.uint32), matrix.data, alpha,
        nodes, len(members), position, indptr, indices, values, half,
    )  # fmt: skip
    return fits, indptr, indices, values


def as_dense(indptr, indices, values):
    size = len(indptr) - 1
    result = np.zeros((size, size))
    for a in range(size):
        for e in range(indptr[a], indptr[a + 1]):
            result[a, indices[e]] += values[e]
    return result


def test_gather_is_the_restricted_matrix(graph):
    members = np.random.default_rng(0).permutation(len(graph))[: len(graph) // 2]
    fits, *local = gathered(graph, members, 0.9, capacity=len(graph) ** 2 + 1)
    assert fits
    expected = np.triu(0.9 * graph[np.ix_(members, members)])
    np.testing.assert_array_equal(as_dense(*local), expected)


def test_gather_of_both_halves(graph):
    members = np.random.default_rng(0).permutation(len(graph))[: len(graph) // 2]
    fits, *local = gathered(graph, members, 0.9, capacity=len(graph) ** 2 + 1, half=False)
    assert fits
    np.testing.assert_array_equal(as_dense(*local), 0.9 * graph[np.ix_(members, members)])


def test_gather_refuses_what_does_not_fit(graph):
    members = np.arange(len(graph))
    # A row is written in full before what lies below the diagonal is written over.
    rows = np.count_nonzero(graph, axis=1)
    above = np.count_nonzero(np.triu(graph), axis=1)
    needed = max(above[:row].sum() + rows[row] for row in range(len(graph)))
    assert not gathered(graph, members, 0.9, capacity=needed)[0]
    fits, *local = gathered(graph, members, 0.9, capacity=needed + 1)
    assert fits
    np.testing.assert_array_equal(as_dense(*local), np.triu(0.9 * graph))


def solve(graph, alpha, tolerance, max_iterations, dtype):
    n = len(graph)
    _, indptr, indices, values = gathered(graph, np.arange(n), alpha, n * n + 1, dtype)
    # What an earlier row left in the scratch must not matter.
    x, r, p, q = (np.full(n, np.nan, dtype=dtype) for _ in range(4))
    iterations, converged = conjugate_gradient(
        indptr, indices, values, n, 1.0 - alpha, tolerance, max_iterations, x, r, p, q, np.empty(n)
    )
    return x, iterations, converged


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.99])
def test_equals_a_dense_solver(graph, alpha):
    n = len(graph)
    x, iterations, converged = solve(graph, alpha, 1e-13, 10 * n, np.float64)
    start = np.eye(n)[0] * (1 - alpha)
    assert converged
    assert 1 <= iterations <= 10 * n
    np.testing.assert_allclose(x, np.linalg.solve(np.eye(n) - alpha * graph, start), atol=1e-12)


# With alpha = 0.99, float32 itself ends near 1e-6.
@pytest.mark.parametrize(
    ("tolerance", "dtype"),
    [
        *[(tolerance, np.float32) for tolerance in (0.3, 1e-2, 1e-4)],
        *[(tolerance, np.float64) for tolerance in (0.3, 1e-2, 1e-4, 1e-10)],
    ],
)
def test_converged_means_that_the_true_residual_is_small(graph, tolerance, dtype):
    alpha, n = 0.99, len(graph)
    x, _, converged = solve(graph, alpha, tolerance, 1000, dtype)
    rounded = graph.astype(dtype).astype(float)
    residual = np.eye(n)[0] * (1 - alpha) - (np.eye(n) - alpha * rounded) @ x.astype(float)
    assert converged
    rounding = 4 * np.finfo(dtype).eps * np.linalg.norm(x)
    assert np.linalg.norm(residual) <= tolerance * (1 - alpha) + rounding


@pytest.mark.parametrize("tolerance", [1e-5, 1e-6, 1e-7])
@pytest.mark.parametrize("alpha", [0.99, 0.999])
def test_the_residual_of_the_recurrence_is_not_believed(graph, alpha, tolerance):
    """In float32 it goes on falling long after the true one has stopped."""
    x, _, converged = solve(graph, alpha, tolerance, 2000, np.float32)
    system = np.eye(len(graph)) - (alpha * graph.astype(np.float32)).astype(float)
    residual = np.eye(len(graph))[0] * (1 - alpha) - system @ x.astype(float)
    if converged:
        assert np.linalg.norm(residual) <= 1.5 * tolerance * (1 - alpha)


@pytest.mark.parametrize("name", ["path", "ring", "random_graph", "hubs"])
def test_stops_at_the_limit(name):
    _, iterations, converged = solve(GRAPHS[name], 0.99, 1e-6, 3, np.float64)
    assert (iterations, converged) == (3, False)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_goal_out_of_reach_does_no_harm(graph, dtype):
    """The limit of the arithmetic is met before the goal; what was found until then stays."""
    x, *_ = solve(graph, 0.99, 1e-13, 300, dtype)
    exact = np.linalg.solve(np.eye(len(graph)) - 0.99 * graph, np.eye(len(graph))[0] * 0.01)
    np.testing.assert_allclose(x, exact, atol=1e-4 * exact.max())
