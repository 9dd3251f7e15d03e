"""Rows of the diffusion matrix C: choose a truncated set T_i, solve on it, keep the mass.

For a row i (Iscen et al., CVPR 2017; Yang et al., AAAI 2019, "late truncation"):

    c_i = (1 - alpha) (I - alpha S_TT)^-1 e_i

where S is normalised on the whole graph and then restricted to T_i x T_i. I - alpha S_TT is
symmetric positive definite for 0 <= alpha < 1, so conjugate gradient applies.
"""

from __future__ import annotations

import numba
import numpy as np

from kinfold.arrays import Bools, Float32s, Floats, Ints, UInt32s
from kinfold.kernels.jit import kernel, signed, unsigned
from kinfold.kernels.lanes import LANES
from kinfold.kernels.select import kth_largest, mass_cut
from kinfold.kernels.solve import conjugate_gradient, gather
from kinfold.kernels.solve_lanes import conjugate_gradients
from kinfold.kernels.sort import sort_columns
from kinfold.kernels.walk import OUTSIDE, walk_set


@kernel()
def listed_set(row: int, listed: Ints, max_row: int, position: Ints, nodes: Ints) -> int:
    """T_i = i and the items of `listed` (OUTSIDE: none), at most `max_row`; returns its size."""
    nodes[0] = row
    position[row] = 0
    size = 1
    for j in range(unsigned(listed.shape[0])):
        node = listed[j]
        if size < max_row and node != OUTSIDE and position[node] == OUTSIDE:
            nodes[size] = node
            position[node] = size
            size += 1
    return size


@kernel()
def keep_mass(
    x: Floats,
    nodes: Ints,
    size: int,
    mass: float,
    most: int,
    ordered: Floats,
    columns: Ints,
    kept_values: Floats,
) -> int:
    """Copy the largest entries of x whose sum reaches `mass` of the whole; returns how many.

    At most `most`. Entries that are not positive are rounding: the inverse of an M-matrix has none.
    Those kept stay in their order.
    """
    total = 0.0
    positive = 0
    for a in range(unsigned(size)):
        ordered[a] = max(x[a], 0.0)
        total += ordered[a]
        positive += x[a] > 0.0
    cut, ties = 0.0, 0
    if mass < 1.0:
        cut, ties = mass_cut(ordered, size, mass * total)
        positive = ties
        for a in range(unsigned(size)):
            positive += x[a] > cut
    if positive > most:
        cut = kth_largest(ordered, size, most)
        ties = most
        for a in range(unsigned(size)):
            ties -= x[a] > cut
    kept = unsigned(0)
    for a in range(unsigned(size)):
        value = x[a]
        keep = value > cut
        if not keep and value == cut and ties > 0 and value > 0.0:
            keep = True
            ties -= 1
        if keep:
            columns[kept] = nodes[a]
            kept_values[kept] = value
            kept += unsigned(1)
    return signed(kept)


@kernel(parallel=True)
def diffuse_groups(
    indptr: Ints,
    indices: Ints,
    values: Float32s,
    starts: Ints,
    alpha: float,
    max_row: int,
    reach: int,
    steps: int,
    mass: float,
    tolerance: float,
    max_iterations: int,
    threads: int,
    columns: UInt32s,
    row_values: Float32s,
    diagonal: Float32s,
    length: Ints,
    iterations: Ints,
    converged: Bools,
) -> None:
    """Compute the rows of C of groups of nodes that stand beside each other, group by group.

    The rows of a group share one set T, which a walk from all of them finds: what it takes to
    find it and to gather S there is paid once, and sixteen systems are solved in step. Each group
    is the work of one thread, so threads change nothing.

    Parameters
    ----------
    indptr, indices, values:
        S as CSR (n, n), float32, symmetric, rows sorted by column.
    starts:
        (groups + 1,) the first row of each group and, at last, the row behind all of them; at
        most `LANES` rows a group.
    max_row:
        The most entries of a row.
    reach:
        The largest size of T.
    steps:
        Steps of the walk once it has to drop nodes.
    columns, row_values:
        (m, max_row) written: the entries of each row, by ascending column.
    diagonal, length, iterations, converged:
        (m,) written.

    The others are those of `diffuse_rows`.
    """
    n = indptr.shape[0] - 1
    groups = starts.shape[0] - 1
    for thread in numba.prange(threads):
        position = np.full(n, OUTSIDE, dtype=np.uint32)
        nodes = np.empty(n, dtype=np.uint32)
        weights = np.empty(n, dtype=np.float32)
        fresh = np.empty(n, dtype=np.float32)
        ordered = np.empty(n, dtype=np.float32)
        seeds = np.empty(LANES, dtype=np.uint32)
        places = np.empty(LANES, dtype=np.uint32)
        good = np.empty(LANES, dtype=np.bool_)
        room = max(reach, LANES)
        local_indptr = np.empty(room + 1, dtype=np.uint32)
        local_indices = np.empty(16 * room, dtype=np.uint32)
        local_values = np.empty(16 * room, dtype=np.float32)
        x = np.empty(room * LANES, dtype=np.float32)
        r = np.empty(room * LANES, dtype=np.float32)
        p = np.empty(room * LANES, dtype=np.float32)
        q = np.empty(room * LANES, dtype=np.float32)
        sums = np.empty((6, LANES), dtype=np.float32)
        own = np.empty(room, dtype=np.float32)
        for group in range(thread, groups, threads):
            begin = starts[group]
            count = starts[group + 1] - begin
            first = begin - starts[0]
            for lane in range(unsigned(count)):
                seeds[lane] = begin + lane
            size = walk_set(
                indptr, indices, values, seeds[:count], room, steps,
                position, nodes, weights, fresh, ordered,
            )  # fmt: skip
            # By column, so that every row comes out sorted.
            nodes[:size].sort()
            for a in range(unsigned(size)):
                position[nodes[a]] = a
            for lane in range(unsigned(count)):
                places[lane] = position[seeds[lane]]
            while not gather(
                indptr, indices, values, alpha, nodes, size,
                position, local_indptr, local_indices, local_values, False,
            ):  # fmt: skip
                local_indices = np.empty(2 * local_indices.shape[0], dtype=np.uint32)
                local_values = np.empty(local_indices.shape[0], dtype=np.float32)
            for a in range(unsigned(size)):
                position[nodes[a]] = OUTSIDE
            taken = conjugate_gradients(
                local_indptr, local_indices, local_values, size, places[:count],
                tolerance, max_iterations, x, r, p, q, sums, good,
            )  # fmt: skip
            for lane in range(unsigned(count)):
                row = first + lane
                me = begin + lane
                for a in range(unsigned(size)):
                    own[a] = np.float32(1.0 - alpha) * x[a * unsigned(LANES) + lane]
                if indptr[me] == indptr[me + unsigned(1)]:
                    # No edges: the walk goes nowhere, and the whole mass stays where it started.
                    own[places[lane]] = 1.0
                diagonal[row] = own[places[lane]]
                length[row] = keep_mass(
                    own, nodes, size, mass, max_row, ordered, columns[row], row_values[row]
                )
                iterations[row] = taken
                converged[row] = good[lane]


@kernel(parallel=True)
def diffuse_rows(
    indptr: Ints,
    indices: Ints,
    values: Floats,
    rows: Ints,
    listed: Ints,
    alpha: float,
    max_row: int,
    mass: float,
    tolerance: float,
    max_iterations: int,
    threads: int,
    columns: Ints,
    row_values: Floats,
    diagonal: Floats,
    length: Ints,
    iterations: Ints,
    converged: Bools,
) -> None:
    """Compute the rows `rows` of C on the sets `listed`.

    Each row is the work of one thread, so threads change nothing.

    Parameters
    ----------
    indptr, indices, values:
        S as CSR (n, n), symmetric, rows sorted by column.
    rows:
        (m,) the rows wanted.
    listed:
        (m, w) the items that T_i may hold beside i, best first, OUTSIDE for none.
    alpha, tolerance, max_iterations:
        Of the linear system.
    max_row:
        T, the largest size of T_i.
    mass:
        The share of a row's sum that is kept, in (0, 1].
    columns, row_values:
        (m, T) written: the entries of each row, by ascending column.
    diagonal:
        (m,) written: what each row holds of its own item, C_ii.
    length, iterations, converged:
        (m,) written.
    """
    n = indptr.shape[0] - 1
    m = rows.shape[0]
    for thread in numba.prange(threads):
        position = np.full(n, OUTSIDE, dtype=np.uint32)
        nodes = np.empty(max_row, dtype=np.uint32)
        ordered = np.empty(max_row, dtype=values.dtype)
        local_indptr = np.empty(max_row + 1, dtype=np.uint32)
        local_indices = np.empty(16 * max_row, dtype=np.uint32)
        local_values = np.empty(16 * max_row, dtype=values.dtype)
        x = np.empty(max_row, dtype=values.dtype)
        r = np.empty(max_row, dtype=values.dtype)
        p = np.empty(max_row, dtype=values.dtype)
        q = np.empty(max_row, dtype=values.dtype)
        exact = np.empty(max_row, dtype=np.float64)
        spare = np.empty(max_row, dtype=np.uint32)
        histogram = np.empty(256, dtype=np.uint32)
        for m_row in range(thread, m, threads):
            row = rows[m_row]
            size = listed_set(row, listed[m_row], max_row, position, nodes)
            while not gather(
                indptr, indices, values, alpha, nodes, size,
                position, local_indptr, local_indices, local_values, True,
            ):  # fmt: skip
                local_indices = np.empty(2 * local_indices.shape[0], dtype=np.uint32)
                local_values = np.empty(local_indices.shape[0], dtype=values.dtype)
            for a in range(unsigned(size)):
                position[nodes[a]] = OUTSIDE
            iterations[m_row], converged[m_row] = conjugate_gradient(
                local_indptr, local_indices, local_values, size, 1.0,
                tolerance, max_iterations, x, r, p, q, exact,
            )  # fmt: skip
            for a in range(unsigned(size)):
                x[a] *= 1.0 - alpha
            if indptr[row] == indptr[row + unsigned(1)]:
                # No edges: the walk goes nowhere, and the whole mass stays where it started.
                x[0] = 1.0
                size = signed(1)
            diagonal[m_row] = x[0]
            kept = keep_mass(
                x, nodes, size, mass, max_row, ordered, columns[m_row], row_values[m_row]
            )
            sort_columns(columns[m_row], row_values[m_row], kept, n - 1, spare, r, histogram)
            length[m_row] = kept
