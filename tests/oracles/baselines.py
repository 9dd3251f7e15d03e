"""The published graph methods written plainly, in float64, loop by loop, from their formulas.

`items` holds gallery and queries together where the graph does, the gallery first; `order` is
each item's ranking of all, itself first, ties by position.
"""

from __future__ import annotations

import heapq

import numpy as np


def squared(items):
    """d² of unit vectors, 0 on the diagonal."""
    rows = np.asarray(items, dtype=np.float64)
    result = np.maximum(2 - 2 * rows @ rows.T, 0)
    np.fill_diagonal(result, 0)
    return result


def order_of(distances):
    n = len(distances)
    return np.array([[i, *sorted(set(range(n)) - {i}, key=lambda j: (distances[i, j], j))]
                     for i in range(n)])  # fmt: skip


def reciprocal_set(order, i, k):
    """Who is among the first k of i, and has i among its own first k."""
    return {int(j) for j in order[i, :k] if i in order[j, :k]}


def expanded_set(order, i, k, half):
    own = reciprocal_set(order, i, k)
    grown = set(own)
    for j in own:
        theirs = reciprocal_set(order, j, half)
        if 3 * len(theirs & own) > 2 * len(theirs):
            grown |= theirs
    return grown


def k_reciprocal(items, n, k1=20, k2=6, share=0.3):
    distances = squared(items)
    order = order_of(distances)
    distances = distances / distances.max(axis=1, keepdims=True)
    size = len(distances)
    V = np.zeros((size, size))
    for i in range(size):
        for j in expanded_set(order, i, k1 + 1, round(k1 / 2) + 1):
            V[i, j] = np.exp(-distances[i, j])
        V[i] /= V[i].sum()
    V = np.array([np.mean([V[j] for j in order[i, :k2]], axis=0) for i in range(size)])
    out = np.empty((size - n, n))
    for q in range(size - n):
        for j in range(n):
            least, most = np.minimum(V[n + q], V[j]).sum(), np.maximum(V[n + q], V[j]).sum()
            out[q, j] = -(1 - share) * (1 - least / most) - share * distances[n + q, j]
    return out


def gnn(items, n, k1=20, k2=5, alpha=2.0, layers=2):
    distances = squared(items)
    order = order_of(distances)
    size = len(items)
    A = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            A[i, j] = ((j in order[i, :k1]) + (i in order[j, :k1])) / 2
    for _ in range(layers):
        A = (A + A.T) / 2
        fresh = np.zeros_like(A)
        for i in range(size):
            fresh[i] = A[i]
            for j in order[i, :k2]:
                fresh[i] += max(1 - distances[i, j] / 2, 0) ** alpha * A[j]
            fresh[i] /= np.sqrt((fresh[i] ** 2).sum())
        A = fresh
    return np.array([[A[q] @ A[j] for j in range(n)] for q in range(n, size)])


def normalised(W):
    """D^-1/2 W D^-1/2, entry by entry."""
    degree = W.sum(axis=1)
    S = np.zeros_like(W)
    for i, j in np.argwhere(W):
        S[i, j] = W[i, j] / np.sqrt(degree[i] * degree[j])
    return S


def rdp(items, n, k=10, mu=0.3, sigma=0.5, iterations=20):
    distances = squared(items)
    order = order_of(distances)
    relative = distances / distances.max()
    size = len(items)
    W = np.zeros((size, size))
    for i in range(size):
        for j in order[i, :k]:
            W[i, j] = np.exp(-(relative[i, j] ** 2) / sigma**2)
    S = normalised((W + W.T) / 2)
    alpha = 1 / (1 + mu)
    F = np.eye(size)
    for _ in range(iterations):
        F = alpha * S @ F @ S.T + (1 - alpha) * np.eye(size)
    return F[n:, :n]


def mutual_transition(gallery, k_d, gamma):
    similarities = 1 - squared(gallery) / 2
    order = order_of(2 - 2 * similarities)
    n = len(gallery)
    A = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if i != j and j in order[i, : k_d + 1] and i in order[j, : k_d + 1]:
                A[i, j] = max(similarities[i, j], 0) ** gamma
    return normalised(A)


def diffusion(gallery, queries, k_d, k_q, gamma=3.0, alpha=0.99, rank=None):
    """(f, reached): exact, or by the `rank` largest eigenvectors; reached: joined to a seed."""
    S = mutual_transition(gallery, k_d, gamma)
    n = len(gallery)
    if rank is None:
        operator = (1 - alpha) * np.linalg.inv(np.eye(n) - alpha * S)
    else:
        values, vectors = np.linalg.eigh(S)
        operator = np.zeros((n, n))
        for place in np.argsort(-values)[:rank]:
            u = vectors[:, place]
            operator += (1 - alpha) / (1 - alpha * values[place]) * np.outer(u, u)
    joined = np.linalg.matrix_power((S > 0) + np.eye(n), n) > 0
    scores, reached = [], []
    for query in np.asarray(queries, dtype=np.float64):
        similarity = np.asarray(gallery, dtype=np.float64) @ query
        y = np.zeros(n)
        for i in sorted(range(n), key=lambda i: (-similarity[i], i))[:k_q]:
            y[i] = max(similarity[i], 0) ** gamma
        scores.append(operator @ y)
        reached.append(joined[y > 0].any(axis=0))
    return np.array(scores), np.array(reached)


def egt(gallery, query, k, t, p):
    """The order in which a priority queue of edges gives its items up, then the rest."""
    rows = np.asarray(gallery, dtype=np.float64)
    similarity = rows @ np.asarray(query, dtype=np.float64)
    among = 1 - squared(gallery) / 2
    order = order_of(2 - 2 * among)
    heap = []
    for j in sorted(range(len(rows)), key=lambda j: (-similarity[j], j))[:k]:
        heapq.heappush(heap, (-similarity[j], j))
    ranked = []

    def drop_ranked():
        while heap and heap[0][1] in ranked:
            heapq.heappop(heap)

    while heap and len(ranked) < p:
        fresh = []
        while True:
            j = heapq.heappop(heap)[1]
            ranked.append(j)
            fresh.append(j)
            drop_ranked()
            if len(ranked) >= p or not heap or -heap[0][0] <= t:
                break
        for i in fresh:
            for j in order[i, 1 : k + 1]:
                if j not in ranked:
                    heapq.heappush(heap, (-among[i, j], int(j)))
        drop_ranked()
    rest = sorted(set(range(len(rows))) - set(ranked), key=lambda j: (-similarity[j], j))
    return ranked + rest


def share(matrix):
    """Rows divided by their sums; rows of zeros stay."""
    sums = matrix.sum(axis=1, keepdims=True)
    return matrix / np.where(sums > 0, sums, 1)


def jensen_shannon(p, q):
    total = 0.0
    for a, b in zip(p, q, strict=True):
        total += a * np.log2(2 * a / (a + b)) if a > 0 else 0.0
        total += b * np.log2(2 * b / (a + b)) if b > 0 else 0.0
    return total / 2


def cas_smoothed(F, P, confident, cluster, beta):
    out = np.zeros_like(F)
    for i in range(len(F)):
        xi, C = sorted(confident[i]), sorted(cluster[i])
        others = [j for j in C if j not in confident[i]]
        out[i, C] = F[i, C]
        if len(xi) < 2 or len(others) < 2:
            continue
        a = np.mean([P[j, j] for j in xi])
        w = {j: a if j in confident[i] else min(np.mean([P[j, o] for o in xi]), a) for j in C}
        mean = np.mean([F[i, j] for j in C])
        weighted = np.mean([F[i, j] * w[j] for j in C])
        for j in C:
            value = F[i, j] * (a * w[j] + 2 * beta) + a**2 * mean - a * weighted
            out[i, j] = value / (a**2 + 2 * beta)
    return share(out)


def cas(
    items, n, k1=5, k2=20, k3=25, k4=6, k5=25, sigma=0.3, mu=0.23, beta=0.0, kappa=2.0,
    omega=0.3, iterations=10, paths=100,
):  # fmt: skip
    distances = squared(items)
    order = order_of(distances)
    distances = distances / distances.max(axis=1, keepdims=True)
    size = len(items)
    confident = [reciprocal_set(order, i, k1) for i in range(size)]
    cluster = [expanded_set(order, i, k2 + 1, k2 // 2 + 1) for i in range(size)]
    W, P = np.zeros((size, size)), np.zeros((size, size))
    for i in range(size):
        for j in order[i, 1:k1]:
            W[i, j] = np.exp(-distances[i, j] / sigma**2) * (2 if j in confident[i] else 1)
        for j in order[i, 1:k3]:
            P[i, j] = np.exp(-distances[i, j] / sigma**2)
    W = (W + W.T) / 2
    S = normalised(W)
    alpha = 1 / (1 + mu)
    F = W
    for _ in range(iterations):
        F = alpha / 2 * (S @ F + F @ S) + (1 - alpha) * np.eye(size)
    smooth = cas_smoothed(F, share(P) @ share(P), confident, cluster, beta)
    mean = np.zeros_like(smooth)
    for i in range(size):
        own = np.mean([smooth[j] for j in confident[i]], axis=0)
        near = np.mean([smooth[j] for j in order[i, :k4]], axis=0)
        mean[i] = (kappa * own + near) / (kappa + 1)
    mean = share(mean)
    walked = mean @ mean
    for i in range(size):
        walked[i, np.argsort(-walked[i], kind="stable")[k5:]] = 0
    walked = share(walked)
    rows = share(walked @ walked)
    if not paths:
        apart = np.array([[jensen_shannon(rows[i], rows[j]) for j in range(size)]
                          for i in range(size)])  # fmt: skip
    else:
        apart = np.full((size, size), 50.0)
        for i in range(size):
            apart[i, i] = 0
            for j in order[i, 1 : paths + 1]:
                edge = jensen_shannon(rows[i], rows[j])
                apart[i, j] = min(apart[i, j], edge)
                apart[j, i] = min(apart[j, i], edge)
        for middle in range(size):
            apart = np.minimum(apart, apart[:, [middle]] + apart[[middle], :])
        apart = np.minimum(apart, 50)
    return -((1 - omega) * apart + omega * distances)[n:, :n]
