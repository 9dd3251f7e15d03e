"""EGT: walk the neighbour graph from the query, strongest edge first."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from kinfold.arrays import Float32s, Int64s
from kinfold.evaluate.baselines.graph import gallery_lists, ranks_as_scores
from kinfold.evaluate.baselines.order import best_first
from kinfold.evaluate.baselines.registry import Baseline, Prepared, register
from kinfold.neighbors import NeighborLists

THRESHOLD_NEIGHBOR = 10
"""Where no t is given: the median similarity of an item to its neighbour of this rank."""


@register
class Egt(Baseline):
    """Chang et al., "Explore-exploit graph traversal for image retrieval", CVPR 2019, algorithm 1.

    On the gallery's graph of k nearest neighbours, queries outside ("online inference"). H holds
    items seen and not yet ranked, each with its strongest edge from any item explored; at first
    the k items nearest to the query.

    1. Exploit: rank the item of the strongest edge in H, and on while the next edge is above t.
    2. Explore: put the neighbours of the items just ranked into H, or strengthen their edges.
    3. Again, until p items are ranked or H is empty.

    Items that the walk does not rank follow in the order of similarity. t → ∞ makes it Prim's
    spanning tree, t below all similarities plain kNN. The paper sets t by data set (.42 for its
    whitened descriptors of Oxford); it means nothing on other descriptors, so without one t is
    the median similarity of a gallery item and its 10th nearest (that rule is ours). Edges weigh
    what the descriptors say: the paper's variant by inliers of local features is left out.
    """

    name: ClassVar[str] = "egt"
    title: ClassVar[str] = "EGT"
    source: ClassVar[str] = "Chang et al., CVPR 2019"
    transductive: ClassVar[bool] = False

    k: int = Field(250, ge=1, description="Neighbours of an item in the graph.")
    t: float | None = Field(
        None, description="Similarity above which edges are exploited first. None: see above."
    )
    p: int = Field(5000, ge=1, description="Items that the walk ranks at most.")

    def prepare(self, gallery: Float32s) -> PreparedEgt:
        """See `Baseline.prepare`; keeps the gallery and its neighbour lists, (n, k)."""
        lists = gallery_lists(gallery, self.k)
        threshold = self.t
        if threshold is None:
            threshold = float(np.median(lists.thresholds(THRESHOLD_NEIGHBOR)))
        return PreparedEgt(gallery, lists, threshold, self)


class PreparedEgt(Prepared):
    """The gallery and its neighbour lists."""

    def __init__(
        self, gallery: Float32s, lists: NeighborLists, threshold: float, method: Egt
    ) -> None:
        self._gallery = gallery
        self._ids = lists.ids.astype(np.int64)
        self._edges = lists.similarities
        self._threshold = threshold
        self._method = method

    def scores(self, queries: Float32s) -> Float32s:
        """See `Prepared.scores`; n for the first of a ranking, then one less each."""
        similarities: Float32s = queries @ self._gallery.T
        for row in similarities:
            row[:] = ranks_as_scores(self.walk(row))
        return similarities

    def walk(self, similarities: Float32s) -> Int64s:
        """All n positions, best first, for one query's (n,) similarities."""
        n = similarities.size
        limit = min(self._method.p, n)
        # -inf: not in H. An item that is ranked never comes back.
        strongest = np.full(n, -np.inf, dtype=np.float32)
        ranked = np.zeros(n, dtype=bool)
        near = best_first(similarities, self._method.k)
        strongest[near] = similarities[near]
        order: list[Int64s] = []
        count = 0
        while count < limit:
            batch = np.flatnonzero(strongest > self._threshold)
            if batch.size:
                # Nothing enters H while edges are exploited: all above t leave it together.
                batch = batch[np.argsort(-strongest[batch], kind="stable")][: limit - count]
            else:
                batch = np.array([np.argmax(strongest)], dtype=np.int64)
                if strongest[batch[0]] == -np.inf:
                    break
            order.append(batch)
            count += batch.size
            ranked[batch] = True
            np.maximum.at(strongest, self._ids[batch].ravel(), self._edges[batch].ravel())
            strongest[ranked] = -np.inf
        rest = np.flatnonzero(~ranked)
        rest = rest[np.argsort(-similarities[rest], kind="stable")]
        return np.concatenate([*order, rest])
