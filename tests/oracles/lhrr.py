"""LHRR by its definitions: ranks, hyperedges, confidences and sums over hyperedges."""

from __future__ import annotations

import numpy as np


def mutual_order(lists):
    """Each list put in order of L - t_i(j) + L - t_j(i); ranks from one, the absent add nothing."""
    n, length = len(lists), len(lists[0])
    result = []
    for i in range(n):
        points = []
        for j in lists[i]:
            value = length - lists[i].index(j)
            if i in lists[j]:
                value += length - lists[j].index(i)
            points.append(value)
        order = sorted(range(length), key=lambda place: -points[place])
        result.append([lists[i][place] for place in order])
    return result


def weight(rank, k):
    return 1 - np.log(rank) / np.log(k)


def hyperedges(ranked, k):
    """(n, n) h; `ranked` without the items themselves, whose rank is one."""
    n = len(ranked)
    out = np.zeros((n, n))
    first = [[i, *ranked[i][: k - 1]] for i in range(n)]
    for i in range(n):
        for a, x in enumerate(first[i]):
            for b, j in enumerate(first[x]):
                out[i, j] += weight(a + 1, k) * weight(b + 1, k)
    return out


def affinity(ranked, k):
    """W, entry by entry."""
    h = hyperedges(ranked, k)
    n = len(h)
    confidence = np.array([sum(sorted(h[e], reverse=True)[:k]) for e in range(n)])
    out = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            edges = h[i] @ h[j]
            items = h[:, i] @ h[:, j]
            product = (confidence * h[:, i] * h[:, j]).sum()
            out[i, j] = edges * items * product
    return out


def lhrr(lists, k, iterations):
    """(n, n) (W_ij / sqrt(W_ii W_jj)) ** ⅓, as it is after the last iteration."""
    ranked = mutual_order(lists)
    for _ in range(iterations):
        w = affinity(ranked, k)
        own = np.sqrt(np.diag(w))
        result = np.cbrt(w / np.outer(own, own))
        ranked = [sorted(lists[i], key=lambda j, row=result[i]: -row[j]) for i in range(len(lists))]
    return result
