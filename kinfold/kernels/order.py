"""An order of a graph's nodes in which neighbours stand together, cut into small groups."""

from __future__ import annotations

import numpy as np

from kinfold.arrays import Floats, Int64s, Ints, UInt32s
from kinfold.kernels.jit import kernel, unsigned


@kernel()
def local_groups(
    indptr: Ints, indices: Ints, values: Floats, most: int, order: UInt32s, starts: Int64s
) -> int:
    """Put the nodes in an order of groups of at most `most`; returns how many groups there are.

    A group begins beside the one before it and takes, one after the other, the node that has the
    most weight to those it has (ties: the one met first); it ends when it is full, or when nothing
    that is left is joined to what was placed. Nodes without edges share groups.

    Parameters
    ----------
    indptr, indices, values:
        A symmetric graph (n, n) as CSR, weights positive.
    order:
        (n,) written: the nodes, group by group.
    starts:
        (n + 1,) written: where each group begins, and at last n.
    """
    n = indptr.shape[0] - 1
    placed, groups, head, tail, scan = 0, 0, 0, 0, 0
    starts[0] = 0
    for node in range(n):
        if indptr[node] == indptr[node + 1]:
            order[placed] = node
            placed += 1
            if placed % most == 0:
                groups += 1
                starts[groups] = placed
    if placed > starts[groups]:
        groups += 1
        starts[groups] = placed
    taken = np.zeros(n, dtype=np.bool_)
    weight = np.zeros(n, dtype=np.float32)
    # What was met and not placed, in the order met: where the next group may begin.
    waiting = np.empty(n, dtype=np.uint32)
    listed = np.zeros(n, dtype=np.bool_)
    near = np.empty(n, dtype=np.uint32)
    while placed < n:
        node = _next(waiting, taken, head, tail)
        if node < tail:
            head = node + 1
            current = waiting[unsigned(node)]
        else:
            head = tail
            while taken[scan] or indptr[scan] == indptr[scan + 1]:
                scan += 1
            current = np.uint32(scan)
        count, size = 0, 0
        while True:
            taken[current] = True
            order[placed] = current
            placed += 1
            size += 1
            for e in range(indptr[current], indptr[current + unsigned(1)]):
                other = indices[e]
                if not taken[other]:
                    if weight[other] == 0:
                        near[count] = other
                        count += 1
                    weight[other] += values[e]
            if size == most:
                break
            best, heaviest = -1, np.float32(0)
            for a in range(count):
                other = near[a]
                if not taken[other] and weight[other] > heaviest:
                    best, heaviest = a, weight[other]
            if best >= 0:
                current = near[best]
                continue
            node = _next(waiting, taken, head, tail)
            if node >= tail:
                head = tail
                break
            head = node + 1
            current = waiting[unsigned(node)]
        for a in range(count):
            other = near[a]
            weight[other] = 0
            if not taken[other] and not listed[other]:
                listed[other] = True
                waiting[tail] = other
                tail += 1
        groups += 1
        starts[groups] = placed
    return groups


@kernel()
def _next(waiting: UInt32s, taken: Ints, head: int, tail: int) -> int:
    """The first place from `head` on of a node that is not taken; `tail` if there is none."""
    while head < tail and taken[waiting[unsigned(head)]]:
        head += 1
    return head


@kernel()
def relabel(
    indptr: Ints, indices: Ints, values: Floats, order: UInt32s, places: UInt32s,
    new_indptr: Ints, new_indices: UInt32s, new_values: Floats,
) -> None:  # fmt: skip
    """The same graph, node ``order[slot]`` called `slot`; columns ascending in each row.

    `places` (n,) is the inverse of `order`. The graph is symmetric: going through the new rows in
    their order, and writing each entry where it stands mirrored, leaves every row sorted.

    new_indptr (n + 1,), new_indices and new_values (stored,) are written.
    """
    n = unsigned(order.shape[0])
    cursor = np.empty(order.shape[0], dtype=np.uint64)
    end = unsigned(0)
    new_indptr[0] = 0
    for slot in range(n):
        node = order[slot]
        cursor[slot] = end
        end += unsigned(indptr[node + unsigned(1)] - indptr[node])
        new_indptr[slot + unsigned(1)] = end
    for slot in range(n):
        node = order[slot]
        for e in range(indptr[node], indptr[node + unsigned(1)]):
            mirrored = places[indices[e]]
            place = cursor[mirrored]
            new_indices[place] = slot
            new_values[place] = values[e]
            cursor[mirrored] = place + unsigned(1)
