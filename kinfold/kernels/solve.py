"""Solving on a truncated set: gather alpha S_TT, then conjugate gradient."""

from __future__ import annotations

import numpy as np

from kinfold.arrays import Floats, Ints
from kinfold.kernels.jit import kernel, unsigned


@kernel()
def gather(
    indptr: Ints,
    indices: Ints,
    values: Floats,
    alpha: float,
    nodes: Ints,
    size: int,
    position: Ints,
    local_indptr: Ints,
    local_indices: Ints,
    local_values: Floats,
    half: bool,
) -> bool:
    """Write alpha S restricted to T x T as a local CSR matrix; False when it does not fit.

    `half`: only what lies above the diagonal: the matrix is symmetric with a zero diagonal.

    The local arrays need room for one value more than they keep: every entry is written, and only
    those inside T move the end on. (A branch here would be mispredicted for most entries.)
    """
    capacity = local_indices.shape[0]
    stored = unsigned(0)
    local_indptr[0] = 0
    for a in range(unsigned(size)):
        node = nodes[a]
        floor = np.int32(a) if half else np.int32(-1)
        begin, end = indptr[node], indptr[node + unsigned(1)]
        if stored + end - begin >= capacity:
            return False
        for e in range(begin, end):
            b = position[indices[e]]
            local_indices[stored] = b
            local_values[stored] = alpha * values[e]
            # Read as signed, OUTSIDE is -1: one comparison for "inside" and "above the diagonal".
            stored += unsigned(np.int32(b) > floor)
        local_indptr[a + unsigned(1)] = stored
    return True


@kernel()
def multiply(
    indptr: Ints, indices: Ints, values: Floats, size: int, x: Floats, out: Floats
) -> None:
    """Out = (I - M) x, of M only what lies above its diagonal being stored.

    Half the memory, which then stays in the nearest cache, and one load for two products.
    """
    for a in range(unsigned(size)):
        out[a] = x[a]
    for a in range(unsigned(size)):
        mine = x[a]
        total = out[a]
        for e in range(indptr[a], indptr[a + unsigned(1)]):
            b = indices[e]
            total -= values[e] * x[b]
            out[b] -= values[e] * mine
        out[a] = total


@kernel()
def residual(
    indptr: Ints, indices: Ints, values: Floats, size: int, right_side: float, x: Floats,
    exact: Floats, r: Floats,
) -> float:  # fmt: skip
    """Set r = right_side * e_0 - (I - M) x and return ||r||²; `exact` is float64 scratch.

    In double precision: where r is all but nothing, sums of float32 would be no more than their
    own rounding.
    """
    for a in range(unsigned(size)):
        exact[a] = -np.float64(x[a])
    for a in range(unsigned(size)):
        mine = np.float64(x[a])
        total = exact[a]
        for e in range(indptr[a], indptr[a + unsigned(1)]):
            b = indices[e]
            value = np.float64(values[e])
            total += value * np.float64(x[b])
            exact[b] += value * mine
        exact[a] = total
    exact[0] += right_side
    rr = 0.0
    for a in range(unsigned(size)):
        r[a] = exact[a]
        rr += exact[a] * exact[a]
    return rr


@kernel()
def conjugate_gradient(
    indptr: Ints,
    indices: Ints,
    values: Floats,
    size: int,
    right_side: float,
    tolerance: float,
    max_iterations: int,
    x: Floats,
    r: Floats,
    p: Floats,
    q: Floats,
    exact: Floats,
) -> tuple[int, bool]:
    """Solve (I - M) x = right_side * e_0, M the local matrix; returns (iterations, converged).

    r, p and q are scratch of x's dtype, `exact` of float64.

    Converged means ||b - (I - M) x|| <= tolerance * ||b||. The residual of the recurrence drifts
    away from the true one, so when the recurrence says stop, the true residual is computed and
    decides; if it is too large, the iteration restarts from the x that it has, as long as that
    makes it smaller: beyond the precision of the dtype it no longer does.
    """
    for a in range(unsigned(size)):
        x[a] = 0.0
        r[a] = 0.0
        p[a] = 0.0
    r[0] = right_side
    p[0] = right_side
    goal = (float(tolerance) * right_side) ** 2
    rr = float(right_side) ** 2
    reached = np.inf
    iterations = 0
    while iterations < max_iterations:
        pq = 0.0
        multiply(indptr, indices, values, size, p, q)
        for a in range(unsigned(size)):
            pq += p[a] * q[a]
        if not pq > 0.0:
            break
        step = x.dtype.type(rr / pq)
        fresh_rr = 0.0
        for a in range(unsigned(size)):
            x[a] += step * p[a]
            r[a] -= step * q[a]
            fresh_rr += r[a] * r[a]
        iterations += 1
        if fresh_rr <= goal:
            rr = residual(indptr, indices, values, size, right_side, x, exact, r)
            if rr <= goal:
                return iterations, True
            if rr >= reached:
                break
            reached = rr
            for a in range(unsigned(size)):
                p[a] = r[a]
            continue
        ratio = x.dtype.type(fresh_rr / rr)
        for a in range(unsigned(size)):
            p[a] = r[a] + ratio * p[a]
        rr = fresh_rr
    return iterations, False
