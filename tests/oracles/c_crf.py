"""The continuous CRF of one clique, written plainly from its energy."""

from __future__ import annotations

import numpy as np


def weights(vectors, sigma, profile_scale):
    """(m, m) weights of the pairwise potentials between the members of a clique."""
    x = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    seen = np.maximum(x @ x.T, 0)
    distance = np.sqrt(np.maximum(2 - 2 * seen, 0))
    profile = np.exp(seen / np.linalg.norm(seen, axis=1, keepdims=True))
    profile /= profile.sum(axis=1, keepdims=True)
    size = len(x)
    out = np.zeros((size, size))
    for j in range(size):
        for other in range(size):
            if j != other:
                p, q = profile[j], profile[other]
                there = (p * np.log(p / q)).sum()
                back = (q * np.log(q / p)).sum()
                divergence = (there + back) / 2
                out[j, other] = np.exp(-(distance[j, other] ** 2) / (2 * sigma**2)) * np.exp(
                    -(divergence**2) / (2 * profile_scale**2)
                )
    return out


def energy(x, start, weight, beta):
    """Sum (x - s)² + beta sum over pairs of w (x_j - x_l)²."""
    pairwise = weight * (x[:, None] - x[None, :]) ** 2
    return ((x - start) ** 2).sum() + beta * pairwise.sum() / 2


def denoised(vectors, start, sigma, profile_scale, beta):
    """The x of least energy: (I + beta L) x = s."""
    weight = weights(vectors, sigma, profile_scale)
    system = np.eye(len(start)) + beta * (np.diag(weight.sum(axis=1)) - weight)
    return np.linalg.inv(system) @ start
