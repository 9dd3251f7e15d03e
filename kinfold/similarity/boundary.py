"""Boundary filtering with progressive relaxation (ConNR, eq. 9–13), for a gallery."""

from __future__ import annotations

from typing import ClassVar

import faiss
import numpy as np
from pydantic import Field

from kinfold.arrays import NOTHING, AnyArray, Float32s, Floats
from kinfold.neighbors import NeighborLists
from kinfold.progress import ProgressCallback, silent
from kinfold.similarity.registry import SimilarityModel, register


@register
class Boundary(SimilarityModel):
    """Edges that leave a cluster count less, the nearer their ends lie to a boundary.

    k-means; d^I: distance to the own centroid, d^N: to the nearest other;
    r = 1 - (d^N - d^I) / max(d^I, d^N), near 1 on a boundary. In pass t items with r above the
    fr(t)-quantile take no part in edges between clusters, fr rising linearly from `start` to 1.
    sim' = sim times the share of passes in which the edge takes part: no item is ever lost, for
    the last pass admits all.
    """

    name: ClassVar[str] = "boundary"

    clusters: int | None = Field(None, ge=2, description="None: one for each 20 items.")
    start: float = Field(0.5, ge=0, le=1, description="fr(t0): the share admitted at first.")
    passes: int = Field(4, ge=1, le=100, description="Passes of the relaxation.")
    iterations: int = Field(15, ge=1, description="k-means iterations.")

    def recalculate(
        self, lists: NeighborLists, vectors: Float32s, progress: ProgressCallback = silent
    ) -> Float32s:
        """See `SimilarityModel.recalculate`."""
        rows = vectors.shape[0]
        count = min(self.clusters or max(2, rows // 20), rows)
        cluster, risk = self.boundary_risk(vectors, count)
        admitted = self.first_pass(risk)
        safe = np.where(lists.ids == NOTHING, 0, lists.ids).astype(np.int64)
        crosses = cluster[safe] != cluster[:, None]
        later = np.maximum(admitted[safe], admitted[:, None])
        share = np.where(crosses, (self.passes - later) / self.passes, 1.0)
        result = np.clip(lists.similarities, 0, 1) * share
        return np.asarray(result, dtype=np.float32)

    def boundary_risk(self, vectors: Float32s, count: int) -> tuple[AnyArray, Floats]:
        """(cluster of every item, its r)."""
        means = faiss.Kmeans(
            vectors.shape[1], count, niter=self.iterations, seed=0,
            min_points_per_centroid=1, max_points_per_centroid=256,
        )  # fmt: skip
        means.train(np.ascontiguousarray(vectors))
        distances, nearest = means.index.search(np.ascontiguousarray(vectors), 2)
        own, other = np.sqrt(np.maximum(distances.astype(np.float64), 0)).T
        risk = 1 - (other - own) / np.maximum(np.maximum(own, other), 1e-30)
        return nearest[:, 0], risk

    def first_pass(self, risk: Floats) -> AnyArray:
        """In which pass, from 0, every item is admitted; passes - 1 at the latest."""
        shares = np.linspace(self.start, 1.0, self.passes)
        shares[-1] = 1.0
        thresholds = np.quantile(risk, shares)
        thresholds[-1] = np.inf
        passes: AnyArray = np.searchsorted(thresholds, risk, side="left")
        return passes
