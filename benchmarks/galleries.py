"""Synthetic galleries with an answer: curved manifolds of unequal size among distractors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinfold.arrays import AnyArray, Float32s, Int64s


@dataclass(frozen=True, slots=True)
class Gallery:
    """Vectors of length one with labels; queries are not in the gallery.

    Attributes
    ----------
    vectors, labels:
        (n, d) float32 and (n,). Distractors have labels of their own.
    queries, query_labels:
        (m, d) float32 and (m,).
    """

    vectors: Float32s
    labels: Int64s
    queries: Float32s
    query_labels: Int64s


def curved_manifolds(
    rows: int,
    dimension: int = 64,
    *,
    mean_size: int = 20,
    distractors: float = 0.6,
    bend: float = 1.6,
    noise: float = 0.25,
    queries: int = 500,
    seed: int = 0,
) -> Gallery:
    """Arcs in random planes around random centres, among unstructured distractors.

    Parameters
    ----------
    rows:
        Gallery items, distractors included.
    mean_size:
        Items on an arc; sizes run from half to twice that.
    distractors:
        Share of the gallery that lies on no arc.
    bend:
        Radius of an arc relative to the spread of the centres: its two ends are far apart.
    noise:
        Deviation from the arc, a coordinate.
    queries:
        How many arcs give one of their items away as a query.
    """
    generator = np.random.default_rng(seed)
    wanted = int(rows * (1 - distractors)) + queries
    sizes: list[int] = []
    while sum(sizes) < wanted:
        sizes.append(int(generator.integers(mean_size // 2, 2 * mean_size + 1)))
    pieces: list[AnyArray] = []
    for size in sizes:
        centre, first, second = generator.standard_normal((3, dimension))
        angle = np.sort(generator.uniform(0, np.pi, size))[:, None]
        arc = centre + bend * (np.cos(angle) * second + np.sin(angle) * first)
        pieces.append(arc + noise * generator.standard_normal((size, dimension)))
    items = np.concatenate(pieces)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    arcs = generator.choice(len(sizes), size=min(queries, len(sizes)), replace=False)
    asked = starts[arcs] + (generator.random(arcs.size) * np.array(sizes)[arcs]).astype(np.int64)
    kept = np.ones(items.shape[0], dtype=bool)
    kept[asked] = False
    rest = np.flatnonzero(kept)[: int(rows * (1 - distractors))]
    others = rows - rest.size
    spread = np.sqrt(1 + bend**2 / 2 + noise**2)
    noise_items = spread * generator.standard_normal((others, dimension))
    vectors = np.concatenate([items[rest], noise_items])
    return Gallery(
        _unit(vectors),
        np.concatenate([labels[rest], len(sizes) + np.arange(others)]).astype(np.int64),
        _unit(items[asked]),
        labels[asked].astype(np.int64),
    )


def unequal_clusters(
    classes: int = 150, dimension: int = 48, *, queries: int = 300, seed: int = 1
) -> Gallery:
    """Clusters of 4 to 150 items, each stretched along four random directions, no distractors."""
    generator = np.random.default_rng(seed)
    pieces: list[AnyArray] = []
    labels: list[AnyArray] = []
    for label in range(classes):
        size = int(np.exp(generator.uniform(np.log(4), np.log(150))))
        centre = generator.standard_normal(dimension)
        directions = 0.5 * generator.standard_normal((4, dimension))
        along = generator.standard_normal((size, 4)) @ directions
        pieces.append(centre + along + 0.35 * generator.standard_normal((size, dimension)))
        labels.append(np.full(size, label))
    vectors, every = np.concatenate(pieces), np.concatenate(labels)
    order = generator.permutation(every.size)
    asked, kept = order[:queries], order[queries:]
    return Gallery(_unit(vectors[kept]), every[kept], _unit(vectors[asked]), every[asked])


def _unit(vectors: AnyArray) -> Float32s:
    scaled: Float32s = vectors.astype(np.float32)
    scaled /= np.linalg.norm(scaled, axis=1, keepdims=True)
    return scaled
