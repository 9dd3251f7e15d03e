"""The continuous CRF of one item and its neighbours, solved exactly (Kim et al., ICIP 2025)."""

from __future__ import annotations

import numba
import numpy as np

from kinfold.arrays import NOTHING, Float32s, Floats, UInt32s
from kinfold.kernels.jit import kernel, unsigned

_NOTHING = NOTHING


@kernel()
def unit_row(vector: Float32s, out: Float32s) -> None:
    """Copy a vector scaled to length one."""
    squares = 0.0
    for a in range(unsigned(vector.shape[0])):
        squares += np.float64(vector[a]) * np.float64(vector[a])
    scale = 1 / max(np.sqrt(squares), 1e-30)
    for a in range(unsigned(vector.shape[0])):
        out[a] = np.float32(scale * vector[a])


@kernel(reassociate=True)
def products(member: Float32s, size: int, out: Floats) -> None:
    """``max(x_j · x_l, 0)`` of the first `size` rows."""
    d = unsigned(member.shape[1])
    for j in range(unsigned(size)):
        for other in range(j + unsigned(1)):
            total = np.float32(0)
            for a in range(d):
                total += member[j, a] * member[other, a]
            out[j, other] = out[other, j] = max(total, np.float32(0))


@kernel()
def profiles(product: Floats, size: int, level: Floats, share: Floats) -> None:
    """What each member sees: its row of products to length one, and the softmax of that."""
    for j in range(unsigned(size)):
        squares = 0.0
        for a in range(unsigned(size)):
            squares += product[j, a] * product[j, a]
        scale = 1 / max(np.sqrt(squares), 1e-30)
        total = 0.0
        for a in range(unsigned(size)):
            level[j, a] = scale * product[j, a]
            share[j, a] = np.exp(level[j, a])
            total += share[j, a]
        for a in range(unsigned(size)):
            share[j, a] /= total


@kernel()
def laplacian(
    product: Floats, level: Floats, share: Floats, size: int,
    beta: float, distance_scale: float, profile_scale: float,
) -> None:  # fmt: skip
    """Put the lower half of I + beta L in the place of the products.

    The logarithms of two softmax rows differ by their levels and a constant, and a constant times
    the difference of two rows that both sum to one is nothing: so the divergence needs no
    logarithm, and does not drown in the rounding of two large sums.
    """
    near = 1 / (2 * distance_scale * distance_scale)
    alike = 1 / (2 * profile_scale * profile_scale)
    for j in range(unsigned(size)):
        product[j, j] = 1
    for j in range(unsigned(size)):
        for other in range(j):
            divergence = 0.0
            for a in range(unsigned(size)):
                divergence += (share[j, a] - share[other, a]) * (level[j, a] - level[other, a])
            divergence *= 0.5
            squared = max(2 - 2 * product[j, other], 0.0)
            weight = beta * np.exp(-near * squared - alike * divergence * divergence)
            product[j, other] = -weight
            product[j, j] += weight
            product[other, other] += weight


@kernel()
def solve(system: Floats, size: int, value: Floats) -> None:
    """Solve in place by Cholesky: `system` holds the lower half and is overwritten.

    I + beta L is never near singular: no eigenvalue is below one.
    """
    for j in range(unsigned(size)):
        for other in range(j + unsigned(1)):
            total = system[j, other]
            for a in range(other):
                total -= system[j, a] * system[other, a]
            system[j, other] = np.sqrt(total) if j == other else total / system[other, other]
    for j in range(unsigned(size)):
        total = value[j]
        for a in range(j):
            total -= system[j, a] * value[a]
        value[j] = total / system[j, j]
    for back in range(unsigned(size)):
        j = unsigned(size) - unsigned(1) - back
        value[j] /= system[j, j]
        for a in range(j):
            value[a] -= system[j, a] * value[j]


@kernel(parallel=True)
def denoise_lists(
    vectors: Float32s, lists: UInt32s, similarities: Float32s,
    beta: float, distance_scale: float, profile_scale: float, threads: int, out: Float32s,
) -> None:  # fmt: skip
    """Solve the CRF of every item's clique, for (n, k) lists.

    Parameters
    ----------
    profile_scale:
        It is divided by the size of the clique: the divergence of two softmax rows shrinks with
        their length, for they come nearer to being even.
    out:
        (n, k) in [0, 1]; 0 for `NOTHING`.
    """
    n, width = lists.shape
    for thread in numba.prange(threads):
        member = np.empty((width + 1, vectors.shape[1]), dtype=np.float32)
        product = np.empty((width + 1, width + 1), dtype=np.float64)
        level = np.empty((width + 1, width + 1), dtype=np.float64)
        share = np.empty((width + 1, width + 1), dtype=np.float64)
        value = np.empty(width + 1, dtype=np.float64)
        for i in range(thread, n, threads):
            unit_row(vectors[i], member[0])
            value[0] = 1
            size = 1
            for j in range(width):
                if lists[i, j] != _NOTHING:
                    unit_row(vectors[lists[i, j]], member[size])
                    value[size] = min(max(np.float64(similarities[i, j]), 0.0), 1.0)
                    size += 1
            products(member, size, product)
            profiles(product, size, level, share)
            laplacian(product, level, share, size, beta, distance_scale, profile_scale / size)
            solve(product, size, value)
            place = 1
            for j in range(width):
                if lists[i, j] == _NOTHING:
                    out[i, j] = 0
                else:
                    out[i, j] = min(max(value[place], 0.0), 1.0)
                    place += 1
