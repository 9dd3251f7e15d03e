"""Conjugate gradient for sixteen right sides at once, on one truncated set."""

from __future__ import annotations

import numpy as np

from kinfold.arrays import Bools, Float32s, Ints
from kinfold.kernels.jit import kernel, unsigned
from kinfold.kernels.lanes import LANES, descend, system_product, turn


@kernel()
def true_residuals(
    indptr: Ints, indices: Ints, values: Float32s, size: int, places: Ints,
    x: Float32s, r: Float32s, scratch: Float32s, squares: Float32s,
) -> None:  # fmt: skip
    """R = E - (I - M) X, E holding one e_place a lane, and squares = ||R||² a lane."""
    system_product(indptr, indices, values, size, x, r, scratch)
    for a in range(unsigned(size * LANES)):
        r[a] = -r[a]
    for lane in range(unsigned(places.shape[0])):
        r[unsigned(places[lane]) * unsigned(LANES) + lane] += np.float32(1)
    for lane in range(unsigned(LANES)):
        squares[lane] = 0
    for a in range(unsigned(size)):
        for lane in range(unsigned(LANES)):
            value = r[a * unsigned(LANES) + lane]
            squares[lane] += value * value


@kernel()
def conjugate_gradients(
    indptr: Ints,
    indices: Ints,
    values: Float32s,
    size: int,
    places: Ints,
    tolerance: float,
    max_iterations: int,
    x: Float32s,
    r: Float32s,
    p: Float32s,
    q: Float32s,
    sums: Float32s,
    converged: Bools,
) -> int:
    """Solve (I - M) X = E, column by column e_place, all columns in step; returns the iterations.

    As `conjugate_gradient`, a lane each: one that has reached its goal stands still while the
    others go on, and only when all have, or at the limit, the true residuals decide.

    Parameters
    ----------
    indptr, indices, values:
        M, all of it, (size, size) CSR, float32.
    places:
        (count,) where the one of each column stands, count <= LANES.
    x, r, p, q:
        Flat (size * LANES,) or longer; x is the solution, the others scratch.
    sums:
        (6, LANES) scratch.
    converged:
        (count,) written.
    """
    count = places.shape[0]
    rr, products, fresh, factors, reached = sums[0], sums[1], sums[2], sums[3], sums[4]
    for a in range(unsigned(size * LANES)):
        x[a] = 0
        r[a] = 0
        p[a] = 0
    for lane in range(unsigned(LANES)):
        rr[lane] = 0
        reached[lane] = np.inf
    for lane in range(unsigned(count)):
        place = unsigned(places[lane]) * unsigned(LANES) + lane
        r[place] = 1
        p[place] = 1
        rr[lane] = 1
    goal = np.float32(float(tolerance) ** 2)
    iterations = 0
    proved = True
    while iterations < max_iterations:
        system_product(indptr, indices, values, size, p, q, products)
        for lane in range(unsigned(LANES)):
            goes_on = rr[lane] > goal and products[lane] > 0
            factors[lane] = rr[lane] / products[lane] if goes_on else np.float32(0)
        descend(size, factors, p, q, x, r, fresh)
        iterations += 1
        proved = False
        busy = 0
        for lane in range(unsigned(LANES)):
            ratio = np.float32(0)
            if factors[lane] > 0:
                ratio = fresh[lane] / rr[lane]
                rr[lane] = fresh[lane]
                busy += fresh[lane] > goal
            factors[lane] = ratio
        if busy == 0:
            true_residuals(indptr, indices, values, size, places, x, r, sums[5], rr)
            proved = True
            worse, better = 0, 0
            for lane in range(unsigned(count)):
                if rr[lane] > goal:
                    worse += 1
                    better += rr[lane] < reached[lane]
                reached[lane] = rr[lane]
                factors[lane] = 0
            if worse == 0 or better == 0:
                break
        turn(size, factors, r, p)
    if not proved:
        true_residuals(indptr, indices, values, size, places, x, r, sums[5], rr)
    for lane in range(unsigned(count)):
        converged[lane] = rr[lane] <= goal
    return iterations
