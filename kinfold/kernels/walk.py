"""Graph-guided truncation: which items the rows of C of a few items may reach."""

from __future__ import annotations

import numpy as np

from kinfold.arrays import NOTHING, Floats, Ints
from kinfold.kernels.jit import kernel, signed, unsigned
from kinfold.kernels.select import kth_largest

# What `position` holds for a node outside the set.
OUTSIDE = NOTHING


@kernel()
def spread(
    indptr: Ints,
    indices: Ints,
    values: Floats,
    size: int,
    position: Ints,
    nodes: Ints,
    weights: Floats,
    fresh: Floats,
) -> int:
    """One lazy step, fresh = w + S w, over the current set and its neighbours.

    New nodes are appended to `nodes` and get their place in `position`; returns the new size.
    """
    for a in range(unsigned(size)):
        fresh[a] = weights[a]
    count = unsigned(size)
    for a in range(unsigned(size)):
        weight = weights[a]
        node = nodes[a]
        for e in range(indptr[node], indptr[node + unsigned(1)]):
            other = indices[e]
            b = position[other]
            if b == OUTSIDE:
                b = np.uint32(count)
                position[other] = b
                nodes[b] = other
                fresh[b] = 0.0
                count += unsigned(1)
            fresh[b] += weight * values[e]
    return signed(count)


@kernel()
def walk_set(
    indptr: Ints,
    indices: Ints,
    values: Floats,
    starts: Ints,
    most: int,
    steps: int,
    position: Ints,
    nodes: Ints,
    weights: Floats,
    fresh: Floats,
    ordered: Floats,
) -> int:
    """Choose T by a walk from `starts`, at most `most` of them, along the graph S (CSR).

    The walk is lazy, w <- (w + S w) / 2 from w = the sum of their e_i, so that it does not swing
    between the two sides of a bipartite piece, and keeps the `most` largest entries after each
    step (ties: the one met first). It ends after `steps` steps that had to drop something, or when
    a step found no new node: then T is whole components and the restriction is exact.

    Returns the size: ``nodes[:size]`` holds T with the starts first; ``position[node]`` its place
    there. `position` (n,) must be all OUTSIDE on entry, and the caller clears it. The other scratch
    arrays have length n.
    """
    count_of_starts = starts.shape[0]
    for a in range(unsigned(count_of_starts)):
        nodes[a] = starts[a]
        weights[a] = 1.0
        position[starts[a]] = a
    size = unsigned(count_of_starts)
    cuts = 0
    while cuts < steps:
        count = spread(indptr, indices, values, size, position, nodes, weights, fresh)
        if count <= most:
            for a in range(unsigned(count)):
                weights[a] = 0.5 * fresh[a]
            if count == size:
                break
            size = count
            continue
        cuts += 1
        for a in range(unsigned(count)):
            ordered[a] = fresh[a]
        # The starts stay, whatever their weight: the least of the others makes room.
        for a in range(unsigned(count_of_starts)):
            ordered[a] = np.inf
        cut = kth_largest(ordered, count, most)
        ties = most
        for a in range(unsigned(count)):
            if a < count_of_starts or fresh[a] > cut:
                ties -= 1
        kept = unsigned(0)
        for a in range(unsigned(count)):
            node, weight = nodes[a], fresh[a]
            keep = weight > cut or a < count_of_starts
            if not keep and weight == cut and ties > 0:
                keep = True
                ties -= 1
            if keep:
                position[node] = kept
                nodes[kept] = node
                weights[kept] = 0.5 * weight
                kept += unsigned(1)
            else:
                position[node] = OUTSIDE
        size = kept
    return signed(size)
