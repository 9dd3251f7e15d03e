"""Groups that a gallery falls into by itself, as answers to hold rankings against."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from kinfold.arrays import AnyArray, Float32s, Int64s, UInt32s
from kinfold.kernels.communities import spread_labels

GROUPINGS = ("mutual 3", "spread 5", "spread 10", "spread 15")
"""Four ways to group, of different courage."""
WIDEST = 15
ROUNDS = 30
VOTES = 5
SMALLEST = 3
"""Items of a group below which it says nothing about a ranking."""


def group_items(ids: UInt32s, grouping: str, seed: int = 0) -> Int64s:
    """(n,) the group of every item, from the (n, k) nearest neighbours of each.

    ``mutual k``: what is connected by mutual neighbourhood among the k nearest. ``spread k``:
    labels that spread along these edges, weighted by how many neighbours two items share.
    """
    kind, _, number = grouping.partition(" ")
    near = min(int(number), ids.shape[1])
    rows = ids.shape[0]
    indptr = np.arange(0, rows * near + 1, near)
    listed = sp.csr_array(
        (np.ones(rows * near, dtype=np.float32), ids[:, :near].ravel().astype(np.int64), indptr),
        shape=(rows, rows),
    )
    mutual = sp.csr_array(listed.multiply(listed.T))
    if kind == "mutual":
        _, groups = sp.csgraph.connected_components(mutual, directed=False)
        return np.asarray(groups, dtype=np.int64)
    around = sp.csr_array(listed + sp.eye_array(rows, dtype=np.float32, format="csr"))
    shared = sp.csr_array(mutual.multiply(around @ around.T))
    shared.sort_indices()
    labels = np.arange(rows, dtype=np.int64)
    order = np.random.default_rng(seed).permutation(rows)
    spread_labels(
        shared.indptr.astype(np.int64),
        shared.indices.astype(np.int64),
        shared.data.astype(np.float64),
        order,
        ROUNDS,
        labels,
    )
    return labels


def group_queries(nearest: Int64s, groups: Int64s) -> Int64s:
    """(m,) the group that most of a query's nearest items are in, the nearest counting most."""
    votes = 1.0 / np.arange(1, min(VOTES, nearest.shape[1]) + 1)
    named = groups[nearest[:, : votes.size]]
    weight = (votes[None, :, None] * (named[:, :, None] == named[:, None, :])).sum(axis=1)
    best: Int64s = np.take_along_axis(named, weight.argmax(axis=1)[:, None], axis=1)[:, 0]
    return best


def precision_by_groups(rankings: Int64s, wanted: Int64s, groups: Int64s) -> float:
    """Mean average precision of truncated rankings, a query's group being its answer."""
    sizes = np.bincount(groups, minlength=groups.size)
    told = sizes[wanted] >= SMALLEST
    if not told.any():
        return float("nan")
    hits: AnyArray = groups[rankings[told]] == wanted[told, None]
    found = np.cumsum(hits, axis=1, dtype=np.float64)
    precision = found / np.arange(1, rankings.shape[1] + 1)
    return float(np.mean((precision * hits).sum(axis=1) / sizes[wanted[told]]))


def halves(vectors: Float32s, seed: int = 0) -> tuple[Float32s, Float32s]:
    """The vectors cut into two random halves of their dimensions."""
    order = np.random.default_rng(seed).permutation(vectors.shape[1])
    middle = vectors.shape[1] // 2
    first, second = np.sort(order[:middle]), np.sort(order[middle:])
    return np.ascontiguousarray(vectors[:, first]), np.ascontiguousarray(vectors[:, second])


def of_length_one(vectors: Float32s) -> Float32s:
    """Scaled to length one; what has no length in these dimensions stays zero, like nothing."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.ascontiguousarray(vectors / np.where(lengths > 0, lengths, 1), dtype=np.float32)
