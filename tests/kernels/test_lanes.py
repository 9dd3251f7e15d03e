"""Sixteen vectors side by side, against NumPy and against one vector alone."""

from __future__ import annotations

import numpy as np
import pytest
from oracles.weighted import GRAPHS, csr

from kinfold.kernels.jit import kernel
from kinfold.kernels.lanes import LANES, descend, system_product, turn


@kernel()
def product(indptr, indices, values, size, x, out, inner):
    system_product(indptr, indices, values, size, x, out, inner)


@kernel()
def step_down(size, step, p, q, x, r, squares):
    descend(size, step, p, q, x, r, squares)


@kernel()
def turned(size, ratio, r, p):
    turn(size, ratio, r, p)


def vectors(n, seed):
    """Flat lanes of n rows, and one row more that must not be touched."""
    random = np.random.default_rng(seed)
    return random.normal(size=(n + 1) * LANES).astype(np.float32)


def rows(flat, n):
    return flat[: n * LANES].reshape(n, LANES).astype(np.float64)


def small(size, seed):
    return np.random.default_rng(seed).uniform(-1, 1, size=size).astype(np.float32)


@pytest.fixture(params=GRAPHS)
def graph(request):
    return GRAPHS[request.param]


def multiplied(graph, x):
    matrix = csr(0.9 * graph, np.float32)
    out = np.full_like(x, 77)
    inner = np.empty(LANES, dtype=np.float32)
    indptr, indices = matrix.indptr.astype(np.uint32), matrix.indices.astype(np.uint32)
    product(indptr, indices, matrix.data, len(graph), x, out, inner)
    return out, inner


def test_product_with_the_system(graph):
    n = len(graph)
    x = vectors(n, 0)
    out, inner = multiplied(graph, x)
    expected = rows(x, n) - 0.9 * graph @ rows(x, n)
    np.testing.assert_allclose(rows(out, n), expected, atol=1e-5)
    np.testing.assert_allclose(inner, (rows(x, n) * expected).sum(axis=0), atol=1e-3)
    assert (out[n * LANES :] == 77).all()


def test_a_lane_knows_nothing_of_the_others(graph):
    """The same vector gives the same bits in any lane, whatever stands in the others."""
    n = len(graph)
    first, second = vectors(n, 1), vectors(n, 2)
    moved = second.reshape(-1, LANES).copy()
    moved[:, 11] = first.reshape(-1, LANES)[:, 3]
    one, one_inner = multiplied(graph, first)
    two, two_inner = multiplied(graph, moved.reshape(-1))
    np.testing.assert_array_equal(one.reshape(-1, LANES)[:n, 3], two.reshape(-1, LANES)[:n, 11])
    assert one_inner[3] == two_inner[11]


@pytest.mark.parametrize("n", [0, 1, 2, 7, 100])
def test_a_step_down(n):
    step, squares = small(LANES, 3), np.empty(LANES, dtype=np.float32)
    p, q, x, r = (vectors(n, seed) for seed in range(4, 8))
    moved, rest = x.copy(), r.copy()
    step_down(n, step, p, q, moved, rest, squares)
    np.testing.assert_allclose(rows(moved, n), rows(x, n) + step * rows(p, n), atol=1e-5)
    expected = rows(r, n) - step * rows(q, n)
    np.testing.assert_allclose(rows(rest, n), expected, atol=1e-5)
    np.testing.assert_allclose(squares, (expected**2).sum(axis=0), rtol=1e-5)
    np.testing.assert_array_equal(moved[n * LANES :], x[n * LANES :])
    np.testing.assert_array_equal(rest[n * LANES :], r[n * LANES :])


@pytest.mark.parametrize("n", [0, 1, 2, 7, 100])
def test_a_turn(n):
    ratio = small(LANES, 8)
    r, p = vectors(n, 9), vectors(n, 10)
    along = p.copy()
    turned(n, ratio, r, along)
    np.testing.assert_allclose(rows(along, n), rows(r, n) + ratio * rows(p, n), atol=1e-5)
    np.testing.assert_array_equal(along[n * LANES :], p[n * LANES :])
