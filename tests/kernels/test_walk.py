from __future__ import annotations

import numpy as np
import pytest
from oracles import dense
from oracles.weighted import GRAPHS, csr, random_graph, uneven

from kinfold.kernels.walk import OUTSIDE, walk_set


@pytest.fixture(params=GRAPHS)
def graph(request):
    return GRAPHS[request.param]


def walk(S, starts, size, steps=4, dtype=np.float64):
    """The set that the kernel finds, from one start or several."""
    starts = np.atleast_1d(np.array(starts, dtype=np.uint32))
    matrix = csr(S, dtype)
    n = len(S)
    position = np.full(n, OUTSIDE, dtype=np.uint32)
    nodes = np.empty(n, dtype=np.uint32)
    scratch = [np.empty(n, dtype=dtype) for _ in range(3)]
    indptr, indices = matrix.indptr.astype(np.uint64), matrix.indices.astype(np.uint32)
    found = walk_set(indptr, indices, matrix.data, starts, size, steps, position, nodes, *scratch)
    members = nodes[:found].tolist()
    assert members[: len(starts)] == starts.tolist()
    assert len(set(members)) == len(members) <= size
    assert position[members].tolist() == list(range(found))
    assert np.count_nonzero(position != OUTSIDE) == found
    return set(members)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 20])
def test_keeps_the_largest(graph, size):
    for start in range(len(graph)):
        assert walk(graph, start, size) == dense.walk_set(graph, start, size), start


@pytest.mark.parametrize("size", [2, 4, 5, 9])
@pytest.mark.parametrize("seed", range(8))
def test_keeps_the_largest_of_many_small_graphs(seed, size):
    graph = random_graph(n=24, degree=3, seed=seed)
    for start in range(24):
        assert walk(graph, start, size) == dense.walk_set(graph, start, size), start


@pytest.mark.parametrize(
    ("seed", "size", "start"), [(51, 4, 17), (52, 4, 0), (90, 3, 18), (186, 4, 5), (275, 3, 11)]
)
def test_the_start_is_never_lost(seed, size, start):
    """After a few steps more may lie in `size` others: the start stays, the least of them goes."""
    graph = uneven(seed)
    assert walk(graph, start, size) == dense.walk_set(graph, start, size)


def test_what_fits_is_the_whole_part(graph):
    joined = dense.components(graph)
    for start in range(len(graph)):
        part = set(np.flatnonzero(joined[start]))
        assert walk(graph, start, len(graph)) == part
        assert walk(graph, start, len(part)) == part


def test_one_step_keeps_the_strongest_neighbours(graph):
    for start in range(len(graph)):
        neighbours = np.flatnonzero(graph[start])
        if len(neighbours) > 3:
            best = neighbours[np.argsort(-graph[start, neighbours])[:3]]
            assert walk(graph, start, 4, steps=1) == {start, *best}


def test_ties_never_make_it_too_large():
    """Every leaf is worth the same: any three will do, the start and the hub must be there."""
    star = np.zeros((12, 12))
    star[0, 1:] = star[1:, 0] = 1 / np.sqrt(11)
    for start in range(12):
        found = walk(star, start, 5)
        assert len(found) == 5
        assert {0, start} <= found


def several(graph, count, seed=0):
    """Groups of starts: neighbours of each other, and any at all."""
    rng = np.random.default_rng(seed)
    for _ in range(12):
        start = int(rng.integers(len(graph)))
        beside = [start, *np.flatnonzero(graph[start])][:count]
        yield beside
        yield rng.permutation(len(graph))[:count].tolist()


@pytest.mark.parametrize("size", [5, 7, 20])
def test_several_starts_walk_together(graph, size):
    for starts in several(graph, 5):
        assert walk(graph, starts, size) == dense.walk_set(graph, starts, size), starts


@pytest.mark.parametrize("seed", range(20))
def test_no_start_of_several_is_lost(seed):
    """Weights over three decades, and room for no more than one other node."""
    graph = uneven(seed)
    for starts in several(graph, 4, seed):
        found = walk(graph, starts, 5)
        assert set(starts) <= found
        assert found == dense.walk_set(graph, starts, 5)


def test_room_for_the_starts_alone(graph):
    starts = [3, 5, 8, 13]
    assert walk(graph, starts, 4) == set(starts)


def test_several_starts_reach_the_whole_of_their_parts(graph):
    joined = dense.components(graph)
    for starts in several(graph, 3):
        part = set(np.flatnonzero(joined[starts].any(axis=0)))
        assert walk(graph, starts, len(graph)) == part
