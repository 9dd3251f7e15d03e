"""Named galleries of 10 to 200 items, each with one thing that graphs of neighbours stumble over.

Where many items are equally far from each other the coordinates are whole numbers and the metric
is l2: then ties are ties in float32 and in float64 alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Gallery:
    name: str
    vectors: np.ndarray
    queries: np.ndarray
    metric: str = "cosine"
    k_d: int = 6
    isolated: tuple[int, ...] = ()
    parts: int | None = field(default=None)
    """Connected parts of the union graph, isolated items included; None: not by design."""

    def __str__(self):
        return self.name


def _clusters(rng, centres, each, dimension, spread):
    middle = rng.normal(size=(centres, dimension))
    rows = np.repeat(middle, each, axis=0) + spread * rng.normal(size=(centres * each, dimension))
    return rows.astype(np.float32)


def _near(rng, vectors, count, spread=0.2):
    picked = vectors[rng.choice(len(vectors), count, replace=False)]
    return np.concatenate(
        [picked, picked + spread * rng.normal(size=picked.shape).astype(np.float32)]
    )


def clusters():
    rng = np.random.default_rng(1)
    rows = _clusters(rng, 9, 22, 12, 0.6)
    return Gallery("clusters", rows, _near(rng, rows, 6), k_d=7)


def isolated():
    """Items at right angles to every other one, between the members of a few clusters."""
    rng = np.random.default_rng(2)
    rows = np.zeros((64, 14), dtype=np.float32)
    rows[:, :10] = np.abs(_clusters(rng, 8, 8, 10, 0.3))
    alone = (0, 17, 40, 63)
    for axis, row in enumerate(alone):
        rows[row] = 0
        rows[row, 10 + axis] = 1 + axis
    return Gallery(
        "isolated", rows, np.concatenate([_near(rng, rows, 5), rows[[17]]]), isolated=alone
    )


def duplicates():
    """Pairs, triples, and a group of 15 that no list of six can hold."""
    rng = np.random.default_rng(3)
    rows = _clusters(rng, 6, 10, 9, 0.5)
    rows[20:22] = rows[3]
    rows[30] = rows[31]
    rows[[0, 9, 11, 24, 25, 26, 38, 40, 44, 45, 50, 52, 55, 58, 59]] = rows[59]
    return Gallery("duplicates", rows, np.concatenate([rows[[3, 24]], _near(rng, rows, 5)]))


def all_equal():
    rows = np.full((10, 4), 3, dtype=np.float32)
    return Gallery("all equal", rows, rows[:2] + np.float32(1), metric="l2", k_d=3)


def two_parts():
    rng = np.random.default_rng(4)
    rows = np.zeros((70, 16), dtype=np.float32)
    rows[:40, :8] = 1 + 0.5 * rng.normal(size=(40, 8))
    rows[40:, 8:] = 1 + 0.5 * rng.normal(size=(30, 8))
    order = rng.permutation(70)
    return Gallery("two parts", rows[order], _near(rng, rows, 4), k_d=8, parts=2)


def path():
    rows = np.zeros((40, 3), dtype=np.float32)
    rows[:, 0] = 2 * np.arange(40)
    queries = rows[[0, 5, 20, 39]] + np.float32([0, 1, 0])
    return Gallery("path", rows, queries, metric="l2", k_d=2, parts=1)


def ring():
    """The border of a square, whose neighbours along it are the nearest everywhere."""
    side = np.arange(8)
    none, full = np.zeros(8), np.full(8, 8)
    corners = [(side, none), (full, side), (8 - side, full), (none, 8 - side)]
    rows = np.concatenate([np.stack(part, axis=1) for part in corners]).astype(np.float32) * 2
    queries = rows[[0, 7, 12]] + np.float32([1, 0])
    return Gallery("ring", rows, queries, metric="l2", k_d=2, parts=1)


def star():
    """Twelve leaves whose nearest item is the hub; with k_d = 1 nothing else is joined."""
    rows = np.zeros((13, 12), dtype=np.float32)
    rows[np.arange(12), np.arange(12)] = 2
    queries = np.stack([rows[12] + 0.25, rows[4] * 2]).astype(np.float32)
    return Gallery("star", rows, queries, metric="l2", k_d=1, parts=1)


def hub():
    """One item that lies in the middle of all others, which hardly know each other."""
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(90, 60)).astype(np.float32)
    rows += np.float32(0.35)
    rows[33] = 1
    return Gallery("hub", rows, _near(rng, rows, 4, 0.5), k_d=4)


def complete():
    rows = 4 * np.eye(12, dtype=np.float32)
    queries = np.stack([rows[0] + rows[3] / 2, rows[7] * 2]).astype(np.float32)
    return Gallery("complete", rows, queries, metric="l2", k_d=11, parts=1)


def products():
    """Vectors of different lengths, compared by inner product: the longest are everybody's hubs."""
    rng = np.random.default_rng(6)
    rows = _clusters(rng, 7, 12, 8, 0.4) * rng.uniform(0.5, 2, size=(84, 1)).astype(np.float32)
    return Gallery("products", rows, _near(rng, rows, 5), metric="inner_product")


GALLERIES = [
    make()
    for make in (
        clusters,
        isolated,
        duplicates,
        all_equal,
        two_parts,
        path,
        ring,
        star,
        hub,
        complete,
        products,
    )
]
BY_NAME = {gallery.name: gallery for gallery in GALLERIES}
