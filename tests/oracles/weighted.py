"""Weighted graphs given by S itself: random weights, so that no two paths are worth the same."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import scipy.sparse as sp

from .dense import normalised_affinity


def _weighted(edges, n, seed):
    rng = np.random.default_rng(seed)
    A = np.zeros((n, n))
    for i, j in edges:
        A[i, j] = A[j, i] = rng.uniform(0.1, 1.0)
    return normalised_affinity(A)


def path(n=60):
    return _weighted([(i, i + 1) for i in range(n - 1)], n, 1)


def ring(n=61):
    return _weighted([(i, (i + 1) % n) for i in range(n)], n, 2)


def star(n=40):
    return _weighted([(0, i) for i in range(1, n)], n, 3)


def complete(n=30):
    return _weighted([(i, j) for i in range(n) for j in range(i)], n, 4)


def two_parts_and_loners(n=80):
    """A ring of triangles, a path, and every tenth item alone."""
    joined = [i for i in range(n) if i % 10]
    first, second = joined[:48], joined[48:]
    edges = [(first[a], first[(a + step) % 48]) for a in range(48) for step in (1, 2)]
    edges += pairwise(second)
    return _weighted(edges, n, 5)


def random_graph(n=150, degree=6, seed=6):
    rng = np.random.default_rng(seed)
    edges = {tuple(sorted(rng.choice(n, 2, replace=False))) for _ in range(n * degree // 2)}
    return _weighted(sorted(edges), n, seed)


def hubs(n=120):
    """Two items that half of all others are joined to, and a sparse random graph below."""
    rng = np.random.default_rng(7)
    edges = {tuple(sorted(rng.choice(n, 2, replace=False))) for _ in range(n)}
    edges |= {(hub, i) for hub in (0, 1) for i in range(2 + hub, n, 2)}
    return _weighted(sorted(edges), n, 8)


def uneven(seed, n=20, edges=50):
    """Weights over three decades: a walk may hold more elsewhere than where it began."""
    rng = np.random.default_rng(seed)
    A = np.zeros((n, n))
    for _ in range(edges):
        i, j = rng.choice(n, 2, replace=False)
        A[i, j] = A[j, i] = 10 ** rng.uniform(-3, 0)
    return normalised_affinity(A)


GRAPHS = {
    make.__name__: make()
    for make in (path, ring, star, complete, two_parts_and_loners, random_graph, hubs)
}


def csr(S, dtype=np.float64):
    matrix = sp.csr_array(S.astype(dtype))
    matrix.sort_indices()
    return matrix
