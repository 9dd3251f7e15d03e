"""Galleries that are small enough to be tuned many times."""

from __future__ import annotations

import numpy as np

from benchmarks.galleries import Gallery


def clusters(groups: int = 20, size: int = 18, dimension: int = 16, seed: int = 3) -> Gallery:
    """Stretched clusters with three queries each."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(groups, dimension))
    ways = random.normal(size=(groups, dimension))
    label = np.repeat(np.arange(groups), size)
    along = random.uniform(-1.2, 1.2, label.size)[:, None]
    vectors = (
        centres[label] + along * ways[label] + 0.4 * random.normal(size=(label.size, dimension))
    )
    asked = np.arange(label.size) % size < 3
    vectors = vectors.astype("f4")
    return Gallery(vectors[~asked], label[~asked], vectors[asked], label[asked])
