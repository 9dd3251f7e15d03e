"""The peer of `cas`: CAS on n × n matrices as published, in NumPy (Luo et al., ICML 2024).

Written from the formulas, in float32, with what makes a dense program quick: F is symmetric, so
F S is the transpose of S F and an iteration is one product; masks are bytes; smoothing reads only
a cluster's entries; and only the pairs of the lists are compared, each on the entries of one row.
"""

from __future__ import annotations

import numpy as np

from kinfold.arrays import AnyArray, Float32s

# What the published program runs.
ITERATIONS = 10


def dense_cas(
    ids: AnyArray,
    similarities: Float32s,
    *,
    k1: int,
    k2: int,
    mu: float,
    beta: float,
    kappa: float,
    iterations: int = ITERATIONS,
) -> Float32s:
    """1 - the Jensen–Shannon divergence of every item and those of its list: (n, k)."""
    walk, symmetric = affinity(ids, similarities, k1)
    sets, clusters = reciprocal_clusters(ids, k1)
    diffused = diffuse(symmetric, clusters, 1 / (1 + mu), iterations)
    del symmetric
    smoothed = smooth(diffused, walk @ walk, sets, clusters, beta)
    rows = propagate(smoothed, walk, sets, ids, k2, kappa)
    return compare(rows, ids)


def affinity(ids: AnyArray, similarities: Float32s, k1: int) -> tuple[Float32s, Float32s]:
    """(D^-1 W, D^-1/2 W D^-1/2) of the symmetrised k1-NN graph with W_ii = 1."""
    n = len(ids)
    distance = 2 * (1 - np.clip(similarities[:, :k1], -1, 1))
    weights = np.zeros((n, n), dtype=np.float32)
    nearest = np.exp(-distance / np.median(distance[:, -1]))
    np.put_along_axis(weights, ids[:, :k1].astype(np.int64), nearest, axis=1)
    np.maximum(weights, weights.T.copy(), out=weights)
    np.fill_diagonal(weights, 1)
    degree = weights.sum(axis=1, keepdims=True)
    walk: Float32s = weights / degree
    weights /= np.sqrt(degree)
    weights /= np.sqrt(degree.T)
    return walk, weights


def mutual(ids: AnyArray, k: int) -> AnyArray:
    """(n, n) bytes: R(i, k) and i itself."""
    near = np.zeros((len(ids), len(ids)), dtype=np.uint8)
    np.put_along_axis(near, ids[:, :k].astype(np.int64), 1, axis=1)
    np.fill_diagonal(near, 1)
    return near & near.T


def reciprocal_clusters(ids: AnyArray, k: int) -> tuple[AnyArray, AnyArray]:
    """(R(i, k), the clusters: R*(i, k) made symmetric), as (n, n) bytes."""
    sets, half = mutual(ids, k), mutual(ids, max(1, round(k / 2)))
    sizes = half.sum(axis=1, dtype=np.int64)
    own = np.arange(len(ids))
    grown = sets.copy()
    for member in (own, *ids[:, :k].T.astype(np.int64)):
        theirs = half[member]
        inside = np.einsum("ij,ij->i", theirs, sets, dtype=np.int32)
        trusted = (sets[own, member] > 0) & (3 * inside > 2 * sizes[member])
        grown[trusted] |= theirs[trusted]
    return sets, grown | grown.T


def diffuse(symmetric: Float32s, clusters: AnyArray, alpha: float, iterations: int) -> Float32s:
    """BSD: F <- alpha/2 (S F + F S) + (1 - alpha) I, entries outside the clusters held at 0."""
    diffused = np.eye(len(symmetric), dtype=np.float32)
    product = np.empty_like(diffused)
    for _ in range(iterations):
        np.matmul(symmetric, diffused, out=product)
        np.add(product, product.T, out=diffused)
        diffused *= np.float32(alpha / 2)
        diffused *= clusters
        diffused[np.diag_indices_from(diffused)] += np.float32(1 - alpha)
    return diffused


def smooth(
    diffused: Float32s, twice: Float32s, sets: AnyArray, clusters: AnyArray, beta: float
) -> Float32s:
    """NSS, item by item on its cluster; `twice` is P squared. Rows sum to one."""
    result = np.zeros_like(diffused)
    for item, row in enumerate(diffused):
        near, cluster = np.flatnonzero(sets[item]), np.flatnonzero(clusters[item])
        anchor = twice[np.ix_(near, near)].mean()
        weight = np.minimum(twice[np.ix_(near, cluster)].mean(axis=0), anchor)
        weight[sets[item, cluster] > 0] = anchor
        inside = row[cluster]
        agreed = (
            inside * (anchor * weight + 2 * beta)
            + anchor**2 * inside.mean()
            - anchor * (inside * weight).mean()
        ) / (anchor**2 + 2 * beta)
        agreed = np.maximum(agreed, 0)
        result[item, cluster] = agreed / agreed.sum()
    return result


def propagate(
    smoothed: Float32s, walk: Float32s, sets: AnyArray, ids: AnyArray, k2: int, kappa: float
) -> Float32s:
    """P (kappa mean over R(i, k1) + mean over the k2 nearest) F^ / (kappa + 1), rows to sum 1."""
    confident = sets / sets.sum(axis=1, keepdims=True, dtype=np.float32)
    mixed = confident @ smoothed
    mixed *= np.float32(kappa)
    mixed += smoothed / np.float32(k2)
    for other in ids[:, : k2 - 1].T:
        mixed += smoothed[other] / np.float32(k2)
    result: Float32s = walk @ mixed
    result /= result.sum(axis=1, keepdims=True)
    return result


def compare(rows: Float32s, ids: AnyArray) -> Float32s:
    """1 - the divergence of row i and the rows ``ids[i]``: only entries that both have count."""
    out = np.zeros(ids.shape, dtype=np.float32)
    for item, others in enumerate(ids):
        columns = np.flatnonzero(rows[item])
        mine, theirs = rows[item, columns], rows[np.ix_(others, columns)]
        both = mine + theirs
        with np.errstate(divide="ignore", invalid="ignore"):
            shared = both - mine * np.log2(2 * mine / both) - theirs * np.log2(2 * theirs / both)
        out[item] = np.where(theirs > 0, shared, 0).sum(axis=1) / 2
    result: Float32s = np.clip(out, 0, 1)
    return result
