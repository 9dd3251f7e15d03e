"""The whole method, dense, slow and in float64, written from its formulas alone.

Nothing here is shared with the library: loops run over pairs, matrices are n × n.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


def prepared(vectors, metric):
    """Rows in float64; of length one for cosine."""
    rows = np.asarray(vectors, dtype=np.float64)
    if metric != "cosine":
        return rows
    rows = rows / np.abs(rows).max(axis=1, keepdims=True)
    return rows / np.sqrt((rows * rows).sum(axis=1, keepdims=True))


def closeness(left, right, metric):
    """(a, b): inner product, or negated squared distance.

    Summed dimension by dimension, so that equal rows give equal bits wherever they stand.
    """
    total = np.zeros((len(left), len(right)))
    for axis in range(left.shape[1]):
        a, b = left[:, axis, None], right[None, :, axis]
        total += -((a - b) ** 2) if metric == "l2" else a * b
    return total


def ranked(values):
    """Positions by descending value, ties by ascending position."""
    return np.lexsort((np.arange(len(values)), -np.asarray(values)))


def self_join(close, k):
    """(n, k) neighbours of every item and their closeness, the item itself left out by id."""
    ids = np.array([[j for j in ranked(row) if j != i][:k] for i, row in enumerate(close)])
    return ids, np.take_along_axis(close, ids, axis=1)


def metric_scale(lists, k_d, metric):
    """What similarities are measured in: see `kinfold.metric.Measure`."""
    scale = 1.0
    if metric == "inner_product":
        scale = lists.max()
    elif metric == "l2":
        scale = np.sqrt(np.mean(-lists[:, k_d - 1]))
    return scale if scale > 0 else 1.0


def similarity(close, metric, scale):
    return 1.0 / (1.0 - close / scale**2) if metric == "l2" else close


def affinity(similarities, metric, scale, gamma):
    relative = similarities / scale if metric == "inner_product" else similarities
    return np.maximum(relative, 0.0) ** gamma


def mutual_rank(ids, values, i, place):
    """The worse of the ranks that i and its neighbour at `place` have with each other.

    Ties share a rank. One that is not listed stands behind all k, unless the list ends with
    equals, or was never filled.
    """
    j, k = int(ids[i, place]), ids.shape[1]
    value = values[i, place]
    mine = 1 + (values[i] > value).sum()
    listed = np.flatnonzero(ids[j] == i)
    if listed.size:
        return max(mine, 1 + (values[j] > values[j, listed[0]]).sum())
    if value == values[j, -1] or values[j, -1] == -np.inf:
        return max(mine, 1 + (values[j] > value).sum())
    return k + 1


def rank_factors(ids, values, rank_scale):
    """(n, k): what each entry's weight is multiplied by; ones where ranks do not count."""
    factors = np.ones(ids.shape)
    if rank_scale:
        for i in range(len(ids)):
            for place in range(ids.shape[1]):
                if 0 <= ids[i, place] < len(ids):
                    rank = mutual_rank(ids, values, i, place)
                    factors[i, place] = np.exp(-(rank - 1) / rank_scale)
    return factors


def affinity_matrix(ids, values, weights, kind, min_degree):
    """A: the mean weight of an edge's directions, where there is an edge.

    i accepts j when it lists j, or j is exactly as close as i's own k_d-th neighbour, or its list
    was never filled; `values` decide, `weights` are what an edge is worth. What is worth nothing
    is no edge.
    """
    n = len(ids)
    listed = {
        (i, int(j)): (v, w)
        for i in range(n)
        for j, v, w in zip(ids[i], values[i], weights[i], strict=True)
    }
    mutual = {
        frozenset((i, j))
        for (i, j), (v, w) in listed.items()
        if w > 0 and ((j, i) in listed or v == values[j, -1] or values[j, -1] == -np.inf)
    }
    if kind == "mutual":
        edges = mutual
    elif kind == "union":
        edges = {frozenset(pair) for pair in listed}
    else:
        edges = set(mutual)
        for i in range(n):
            missing = min_degree - sum(i in edge for edge in mutual)
            one_sided = [
                frozenset((i, int(j)))
                for j, w in zip(ids[i], weights[i], strict=True)
                if w > 0 and frozenset((i, int(j))) not in mutual
            ]
            edges.update(one_sided[: max(missing, 0)])
    result = np.zeros((n, n))
    for edge in edges:
        i, j = sorted(edge)
        found = [listed[pair][1] for pair in ((i, j), (j, i)) if pair in listed]
        found = [w for w in found if w > 0]
        if found:
            result[i, j] = result[j, i] = np.mean(found)
    return result


def normalised_affinity(matrix):
    """S = D^-1/2 A D^-1/2; a row without edges stays zero."""
    degree = matrix.sum(axis=1)
    root = np.where(degree > 0, 1.0 / np.sqrt(np.where(degree > 0, degree, 1.0)), 0.0)
    return root[:, None] * matrix * root[None, :]


def components(matrix):
    """(n, n) bool: whether two items are joined by any path."""
    joined = (matrix != 0) | np.eye(len(matrix), dtype=bool)
    while True:
        further = (joined.astype(float) @ joined.astype(float)) > 0
        if (further == joined).all():
            return joined
        joined = further


def diffusion_row(S, alpha, i, members):
    """c_i on the truncated set `members`, zero outside; e_i for an item without edges."""
    row = np.zeros(len(S))
    if not S[i].any():
        row[i] = 1.0
        return row
    members = np.array(sorted(members))
    inside = S[np.ix_(members, members)]
    start = members == i
    row[members] = np.linalg.solve(np.eye(len(members)) - alpha * inside, (1 - alpha) * start)
    # A solver leaves 1e-20 where nothing can arrive.
    row[members[~components(inside)[start][0]]] = 0.0
    return row


def diffusion_matrix(S, alpha):
    """C on the whole graph."""
    C = (1 - alpha) * np.linalg.inv(np.eye(len(S)) - alpha * S)
    C[~components(S)] = 0.0
    C[~S.any(axis=1)] = np.eye(len(S))[~S.any(axis=1)]
    return C


def nearest_set(ids, i, size):
    """T_i as published: i and its size - 1 nearest."""
    return {i, *(int(j) for j in ids[i][: size - 1])}


def walk_set(S, starts, size, cuts=4):
    """T by the lazy walk w <- (w + S w) / 2 from one item or several that walk together.

    After every step the `size` largest are kept, and the starts whatever they are worth.
    """
    starts = [int(i) for i in np.atleast_1d(starts)]
    w = np.zeros(len(S))
    w[starts] = 1.0
    members = set(starts)
    while cuts:
        w = (w + S @ w) / 2
        touched = members | {int(j) for a in members for j in np.flatnonzero(S[a])}
        if len(touched) <= size:
            if touched == members:
                break
            members = touched
            continue
        cuts -= 1
        others = sorted(touched - set(starts), key=lambda j: -w[j])
        members = {*starts, *others[: size - len(starts)]}
        w = np.where(np.isin(np.arange(len(S)), list(members)), w, 0.0)
    return members


def local_groups(S, most):
    """The items in groups of at most `most`: neighbours together, those without edges apart.

    A group takes the item that has the most weight to it, or, where it has no neighbour left, the
    first that some earlier group met; what nothing leads to begins a group of its own.
    """
    loners = [i for i in range(len(S)) if not S[i].any()]
    groups = [loners[a : a + most] for a in range(0, len(loners), most)]
    left = [i for i in range(len(S)) if S[i].any()]
    waiting = []
    while left:
        group, met = [], []
        while len(group) < most:
            near = [j for j in met if j in left]
            known = [j for j in waiting if j in left]
            if near:
                chosen = max(near, key=lambda j: S[group, j].sum())
            elif known:
                chosen = known[0]
            elif not group:
                chosen = left[0]
            else:
                break
            left.remove(chosen)
            group.append(chosen)
            met += [int(j) for j in np.flatnonzero(S[chosen]) if j in left and j not in met]
        waiting += [j for j in met if j in left and j not in waiting]
        groups.append(group)
    return groups


def group_rows(S, alpha, groups, size):
    """C with the rows of a group on one set, at most `size` entries of a row kept.

    The set holds twice as many, or a whole group of 16.
    """
    result = np.zeros_like(S)
    for group in groups:
        members = walk_set(S, group, max(2 * min(size, len(S)), 16))
        for i in group:
            row = diffusion_row(S, alpha, i, members)
            kept = ranked(row)[:size]
            result[i, kept] = row[kept]
    return result


def mass_prefix(row, mass):
    """How many of a row's largest entries it takes to reach that share of its sum."""
    values = np.sort(row[row > 0])[::-1]
    return 1 + int(np.searchsorted(np.cumsum(values), mass * values.sum()))


@dataclass
class Oracle:
    """Gallery, graph, C and queries, by the formulas."""

    vectors: np.ndarray
    metric: str = "cosine"
    k_d: int = 10
    graph: str = "completed"
    min_degree: int = 3
    gamma: float = 3.0
    alpha: float = 0.95
    rank_scale: float = 3.0
    unit_diagonal: bool = True

    def __post_init__(self):
        self.rows = prepared(self.vectors, self.metric)
        self.close = closeness(self.rows, self.rows, self.metric)
        self.all_ids, self.all_close = self_join(self.close, len(self.rows) - 1)
        self.ids, self.kth_close = self.all_ids[:, : self.k_d], self.all_close[:, : self.k_d]
        self.scale = metric_scale(self.all_close, self.k_d, self.metric)
        weights = affinity(
            similarity(self.kth_close, self.metric, self.scale),
            self.metric,
            self.scale,
            self.gamma,
        )
        weights = weights * rank_factors(self.ids, self.kth_close, self.rank_scale)
        self.A = affinity_matrix(self.ids, self.kth_close, weights, self.graph, self.min_degree)
        self.S = normalised_affinity(self.A)

    @cached_property
    def C(self):
        return diffusion_matrix(self.S, self.alpha)

    def truncated(self, truncation, size):
        """C with row i computed on T_i, or on the set of its group."""
        if truncation == "graph":
            return group_rows(self.S, self.alpha, local_groups(self.S, 16), size)
        result = np.zeros_like(self.S)
        for i in range(len(self.S)):
            members = nearest_set(self.all_ids, i, size)
            result[i] = diffusion_row(self.S, self.alpha, i, members)
        return result

    def counted(self, C):
        """C as a search takes it."""
        if not self.unit_diagonal:
            return C
        return C / np.sqrt(np.outer(np.diag(C), np.diag(C)))

    def query_closeness(self, queries):
        return closeness(prepared(queries, self.metric), self.rows, self.metric)

    def seed_matrix(self, queries, k_q, seeds):
        """S_q, (m, n)."""
        close = self.query_closeness(queries)
        result = np.zeros_like(close)
        for q, row in enumerate(close):
            for rank, i in enumerate(ranked(row)[:k_q]):
                weight = affinity(
                    similarity(row[i], self.metric, self.scale), self.metric, self.scale, self.gamma
                )
                if seeds == "soft":
                    better_for_q = (row > row[i]).sum()
                    better_for_i = (self.kth_close[i] > row[i]).sum()
                    weight *= np.exp(-max(better_for_q, better_for_i) / (self.rank_scale or 3.0))
                elif seeds == "reciprocal" and rank > 0 and row[i] < self.kth_close[i, -1]:
                    weight = 0.0
                result[q, i] = weight
        return result
