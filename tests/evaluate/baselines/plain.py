"""The methods written from their formulas, with loops, for one query; slow and obvious."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize


def dot(a, b):
    return float(sum(float(x) * float(y) for x, y in zip(a, b, strict=True)))


def ranked(scores):
    """Positions, best first, ties by position."""
    return sorted(range(len(scores)), key=lambda j: (-scores[j], j))


def unit(vector):
    return vector / np.sqrt(dot(vector, vector))


def cosine(query, gallery):
    return [dot(query, x) for x in gallery]


def expansion(query, gallery, n, weight):
    """`weight(rank, similarity)` of the neighbour at rank 1 … n."""
    similarities = cosine(query, gallery)
    moved = query.astype(float)
    for rank, j in enumerate(ranked(similarities)[:n], 1):
        moved = moved + weight(rank, similarities[j]) * gallery[j]
    return cosine(unit(moved), gallery)


def aqe(query, gallery, n):
    return expansion(query, gallery, n, lambda rank, similarity: 1.0)


def aqe_with_decay(query, gallery, n):
    return expansion(query, gallery, n, lambda rank, similarity: (n - rank) / n)


def alpha_qe(query, gallery, n, alpha):
    return expansion(query, gallery, n, lambda rank, similarity: max(similarity, 0) ** alpha)


def svm(examples, targets, penalty):
    """w of the plane, by a general minimiser on (w, b)."""

    def loss(plane):
        value = 0.5 * dot(plane, plane)
        slope = plane.copy()
        for z, y in zip(examples, targets, strict=True):
            extended = np.append(z, 1.0)
            slack = 1 - y * float(plane @ extended)
            if slack > 0:
                value += penalty * slack**2
                slope -= 2 * penalty * slack * y * extended
        return value, slope

    start = np.zeros(len(examples[0]) + 1)
    found = minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-9})
    return found.x[:-1]


def dqe(query, gallery, n, negatives, penalty):
    order = ranked(cosine(query, gallery))
    near, rest = order[:n], order[n:]
    far = rest[max(0, len(rest) - negatives) :]
    examples = [query, *(gallery[j] for j in near), *(gallery[j] for j in far)]
    targets = [1.0] * (1 + len(near)) + [-1.0] * len(far)
    return cosine(svm(np.array(examples, dtype=float), targets, penalty), gallery)


def ranks(scores):
    found = [0] * len(scores)
    for rank, j in enumerate(ranked(scores), 1):
        found[j] = rank
    return found


def knn_reranking(query, gallery, k, rounds):
    own = ranks(cosine(query, gallery))
    neighbors = ranked([-rank for rank in own])[:k]
    scores = []
    for _ in range(rounds):
        others = [ranks(cosine(gallery[i], gallery)) for i in neighbors]
        scores = [
            1 / own[j] + sum(1 / (i + 1) / other[j] for i, other in enumerate(others, 1))
            for j in range(len(gallery))
        ]
        neighbors = ranked(scores)[:k]
    return scores


def superglobal(query, gallery, m, k, beta):
    """The whole ranking, and the new scores of the m nearest, in the order of `ranked`."""
    order = ranked(cosine(query, gallery))
    members, rest = order[:m], order[m:]
    refined = []
    for a in members:
        others = [b for b in members if b != a]
        others.sort(key=lambda b: -dot(gallery[a], gallery[b]))
        total, weight = gallery[a].astype(float), 1.0
        for b in others[:k]:
            share = beta * max(dot(gallery[a], gallery[b]), 0)
            total = total + share * gallery[b]
            weight += share
        refined.append(total / weight)
    first = [dot(query, x) for x in refined]
    best = ranked(first)[: k + 1]
    again = [max(refined[i][c] for i in best) for c in range(len(query))]
    scores = [(s1 + dot(again, x)) / 2 for s1, x in zip(first, refined, strict=True)]
    return [members[i] for i in ranked(scores)] + rest, scores
