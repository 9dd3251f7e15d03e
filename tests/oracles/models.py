"""Similarity models written plainly on n × n matrices, from the formulas.

`full` is the (n, n) matrix of similarities with 1 on its diagonal; `order` (n, n - 1) each item's
others, nearest first, ties by position.
"""

from __future__ import annotations

import numpy as np


def full_of(lists, n):
    """(full, order) of lists that hold all n - 1 others."""
    full = np.eye(n)
    for row in range(n):
        full[row, lists.ids[row]] = lists.similarities[row]
    return np.clip(full, -1, 1), lists.ids.astype(np.int64)


def near(order, k, itself=True):
    n = len(order)
    found = np.eye(n, dtype=bool) if itself else np.zeros((n, n), dtype=bool)
    for row in range(n):
        found[row, order[row, :k]] = True
    return found


def reciprocal(order, k):
    found = near(order, k)
    return found & found.T


def expanded(order, k):
    sets, half = reciprocal(order, k), reciprocal(order, max(1, round(k / 2)))
    grown = sets.copy()
    for i in range(len(order)):
        for j in np.flatnonzero(sets[i]):
            inside = (half[j] & sets[i]).sum()
            if inside > 2 / 3 * half[j].sum():
                grown[i] |= half[j]
    return sets, grown


def k_reciprocal(full, order, k1, k2, share):
    _, grown = expanded(order, k1)
    rows = np.where(grown, np.exp(-2 * (1 - full)), 0)
    rows /= rows.sum(axis=1, keepdims=True)
    mean = near(order, k2 - 1).astype(float)
    rows = mean / mean.sum(axis=1, keepdims=True) @ rows
    rows /= rows.sum(axis=1, keepdims=True)
    n = len(full)
    out = np.empty((n, n))
    for i in range(n):
        smaller = np.minimum(rows[i], rows).sum(axis=1)
        larger = np.maximum(rows[i], rows).sum(axis=1)
        out[i] = (1 - share) * smaller / larger + share * np.clip(full[i], 0, 1)
    return out


def cas_affinity(full, order, k1):
    distance = 2 * (1 - full)
    scale = np.median(np.take_along_axis(distance, order[:, k1 - 1 : k1], axis=1))
    weights = np.where(near(order, k1, itself=False), np.exp(-distance / scale), 0)
    weights = np.maximum(weights, weights.T) + np.eye(len(full))
    degree = weights.sum(axis=1)
    return weights / degree[:, None], weights / np.sqrt(np.outer(degree, degree))


def bsd(symmetric, support, alpha):
    """The solution of the Lyapunov equation on the support, by a linear system of its entries."""
    n = len(symmetric)
    places = np.argwhere(support)
    number = {tuple(place): index for index, place in enumerate(places.tolist())}
    system = np.eye(len(places))
    right = np.zeros(len(places))
    for index, (i, j) in enumerate(places.tolist()):
        right[index] = (1 - alpha) * (i == j)
        for other in range(n):
            if symmetric[i, other] and (other, j) in number:
                system[index, number[other, j]] -= alpha / 2 * symmetric[i, other]
            if symmetric[other, j] and (i, other) in number:
                system[index, number[i, other]] -= alpha / 2 * symmetric[other, j]
    result = np.zeros((n, n))
    result[support] = np.linalg.solve(system, right)
    return result


def cas_rows(full, order, k1, k2, mu, beta, kappa):
    walk, symmetric = cas_affinity(full, order, k1)
    sets, grown = expanded(order, k1)
    support = grown | grown.T
    diffused = bsd(symmetric, support, 1 / (1 + mu))
    twice = walk @ walk
    smooth = np.zeros_like(diffused)
    for i in range(len(full)):
        xi, cluster = np.flatnonzero(sets[i]), np.flatnonzero(support[i])
        anchor = twice[np.ix_(xi, xi)].mean()
        weight = np.minimum(twice[xi].mean(axis=0), anchor)
        weight[xi] = anchor
        row = diffused[i]
        value = (
            row * (anchor * weight + 2 * beta)
            + anchor**2 * row[cluster].mean()
            - anchor * (row * weight)[cluster].mean()
        ) / (anchor**2 + 2 * beta)
        smooth[i, cluster] = np.maximum(value[cluster], 0)
    smooth /= smooth.sum(axis=1, keepdims=True)
    confident = sets / sets.sum(axis=1, keepdims=True)
    local = near(order, k2 - 1).astype(float)
    local /= local.sum(axis=1, keepdims=True)
    result = walk @ ((kappa * confident @ smooth + local @ smooth) / (kappa + 1))
    return result / result.sum(axis=1, keepdims=True)


def jensen_shannon(rows):
    """(n, n) divergences, base 2."""
    n = len(rows)
    out = np.empty((n, n))

    def entropy(values):
        safe = np.where(values > 0, values, 1)
        return -(values * np.log2(safe)).sum(axis=-1)

    own = entropy(rows)
    for i in range(n):
        out[i] = entropy((rows[i] + rows) / 2) - (own[i] + own) / 2
    return out


def conaff(full, order, k1, k2, alpha, layers):
    found = near(order, k1)
    features = 0.5 * (found + found.T.astype(float))
    step = np.where(near(order, k2, itself=False), np.clip(full, 0, 1) ** alpha, 0)
    step += np.eye(len(full))
    for _ in range(layers):
        features = step @ (features + features.T)
        features /= np.linalg.norm(features, axis=1, keepdims=True)
    return features @ features.T


def rdp(symmetric, alpha, iterations):
    n = len(symmetric)
    result = np.eye(n)
    for _ in range(iterations):
        result = alpha * symmetric @ result @ symmetric.T + (1 - alpha) * np.eye(n)
    scale = np.sqrt(np.diag(result))
    return result / np.outer(scale, scale)


def alpha_qe(vectors, full, order, n, alpha):
    weights = np.where(near(order, n, itself=False), np.clip(full, 0, None) ** alpha, 0)
    moved = vectors + weights @ vectors
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    return moved @ moved.T


def superglobal(vectors, members, i, neighbors, beta):
    """Scores of item i's members by (s1 + s2) / (1 + ||q'||)."""
    inside = np.concatenate([[i], members])
    x = vectors[inside]
    refined = np.empty_like(x)
    for m in range(len(inside)):
        similarity = x @ x[m]
        others = [o for o in np.argsort(-similarity, kind="stable") if o != m][:neighbors]
        weights = beta * np.maximum(similarity[others], 0)
        refined[m] = (x[m] + weights @ x[others]) / (1 + weights.sum())
    first = refined @ x[0]
    best = np.argsort(-first, kind="stable")[: min(neighbors, len(inside) - 1) + 1]
    expanded_query = refined[best].max(axis=0)
    second = refined @ expanded_query
    return ((first + second) / (1 + np.linalg.norm(expanded_query)))[1:]
