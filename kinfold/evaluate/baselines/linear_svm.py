"""A linear support vector machine for a few hundred vectors, solved exactly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kinfold.arrays import Floats

Doubles = npt.NDArray[np.float64]

_STEPS = 100
_HALVINGS = 40
_GAP = 1e-9


def svm_direction(vectors: Floats, targets: Floats, penalty: float) -> Doubles:
    """The normal w of the separating plane.

    min_w,b ½ ‖w‖² + ½ b² + C Σ_i max(0, 1 - y_i (w · z_i + b))², the L2-regularised squared hinge
    loss of LIBLINEAR (Fan et al., JMLR 2008, solvers 1 and 2, the bias regularised as there), by
    Newton's method on the expansion w = Σ β_i z_i (Chapelle, "Training a support vector machine
    in the primal", Neural Computation 2007, eq. 3.6). The loss is piecewise quadratic: a step
    inside the right piece is exact, and a handful of steps find it.

    Time O(p² d + steps · p³), memory O(p²).

    Parameters
    ----------
    vectors:
        (p, d) float, p >= 1. Not changed.
    targets:
        (p,) float, 1 or -1. Not changed.
    penalty:
        C > 0.

    Returns
    -------
    (d,) float64
    """
    z = vectors.astype(np.float64)
    y = targets.astype(np.float64)
    kernel = z @ z.T + 1.0
    beta = np.zeros(y.shape)
    for _ in range(_STEPS):
        slack = np.maximum(1 - y * (kernel @ beta), 0)
        # At the minimum every β_i is 2 C y_i times its own slack.
        if np.abs(beta - 2 * penalty * y * slack).max() <= _GAP * max(1.0, penalty):
            break
        active = np.flatnonzero(slack > 0)
        target = np.zeros(y.shape)
        block = kernel[np.ix_(active, active)]
        target[active] = np.linalg.solve(block + np.eye(active.size) / (2 * penalty), y[active])
        beta = _step(kernel, y, penalty, beta, target - beta)
    return beta @ z


def _step(
    kernel: Doubles, y: Doubles, penalty: float, beta: Doubles, direction: Doubles
) -> Doubles:
    """Go the whole way, or half of it, … until the loss is smaller."""
    before = _loss(kernel, y, penalty, beta)
    length = 1.0
    for _ in range(_HALVINGS):
        moved = beta + length * direction
        if _loss(kernel, y, penalty, moved) < before:
            return moved
        length /= 2
    return beta


def _loss(kernel: Doubles, y: Doubles, penalty: float, beta: Doubles) -> float:
    outputs = kernel @ beta
    slack = np.maximum(1 - y * outputs, 0)
    return float(beta @ outputs / 2 + penalty * (slack @ slack))
