"""Rows of the diffusion matrix C: choose a truncated set T_i, solve on it, keep the mass.

For a row i (Iscen et al., CVPR 2017; Yang et al., AAAI 2019, "late truncation"):

    c_i = (1 - alpha) (I - alpha S_TT)^-1 e_i

where S is normalised on the whole graph and then restricted to T_i x T_i. I - alpha S_TT is
symmetric positive definite for 0 <= alpha < 1, so conjugate gradient applies.
"""

from __future__ import annotations

import numba
import numpy as np

from kinfold.arrays import Bools, Floats, Ints
from kinfold.kernels.jit import kernel, signed, unsigned
from kinfold.kernels.select import mass_cut
from kinfold.kernels.solve import conjugate_gradient, gather
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
    ordered: Floats,
    columns: Ints,
    kept_values: Floats,
) -> int:
    """Copy the largest entries of x whose sum reaches `mass` of the whole; returns how many.

    Entries that are not positive are rounding: the inverse of an M-matrix has none.
    """
    total = 0.0
    for a in range(unsigned(size)):
        ordered[a] = max(x[a], 0.0)
        total += ordered[a]
    cut, ties = 0.0, 0
    if mass < 1.0:
        cut, ties = mass_cut(ordered, size, mass * total)
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
def diffuse_rows(
    indptr: Ints,
    indices: Ints,
    values: Floats,
    rows: Ints,
    listed: Ints,
    alpha: float,
    max_row: int,
    steps: int,
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
    """Compute the rows `rows` of C. Each row is the work of one thread, so threads change nothing.

    Parameters
    ----------
    indptr, indices, values:
        S as CSR (n, n), symmetric, rows sorted by column.
    rows:
        (m,) the rows wanted.
    listed:
        (m, w) the items that T_i may hold beside i, best first, OUTSIDE for none; w = 0 means
        that T_i is found by a walk along the graph.
    alpha, tolerance, max_iterations:
        Of the linear system.
    max_row:
        T, the largest size of T_i.
    steps:
        Steps of the walk once it has to drop nodes.
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
        nodes = np.empty(n, dtype=np.uint32)
        weights = np.empty(n, dtype=values.dtype)
        fresh = np.empty(n, dtype=values.dtype)
        ordered = np.empty(n, dtype=values.dtype)
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
            if listed.shape[1] > 0:
                size = listed_set(row, listed[m_row], max_row, position, nodes)
            else:
                size = walk_set(
                    indptr, indices, values, row, max_row, steps,
                    position, nodes, weights, fresh, ordered,
                )  # fmt: skip
            while not gather(
                indptr, indices, values, alpha, nodes, size,
                position, local_indptr, local_indices, local_values,
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
            kept = keep_mass(x, nodes, size, mass, ordered, columns[m_row], row_values[m_row])
            sort_columns(columns[m_row], row_values[m_row], kept, n - 1, spare, r, histogram)
            length[m_row] = kept


@kernel(parallel=True)
def pack_rows(
    columns: Ints, values: Floats, indptr: Ints, packed_columns: Ints, packed_values: Floats
) -> None:
    """Copy the beginnings of (m, T) rows one behind the other, row i to ``indptr[i]`` on."""
    for i in numba.prange(indptr.shape[0] - 1):
        begin = indptr[i]
        for a in range(indptr[i + 1] - begin):
            packed_columns[begin + a] = columns[i, a]
            packed_values[begin + a] = values[i, a]
