"""Boundary filtering with progressive relaxation (ConNR, eq. 9–13), for a gallery."""

from __future__ import annotations

from typing import ClassVar

import faiss
import numpy as np
from pydantic import Field

from kinfold.arrays import NOTHING, AnyArray, Float32s, Floats
from kinfold.blocks import Passes
from kinfold.neighbors import NeighborLists
from kinfold.progress import ProgressCallback, silent
from kinfold.similarity.registry import Cost, SimilarityModel, register

# k-means and the search for the nearest centroids take n times clusters, and there is a cluster for
# each 20 items. Beyond so many clusters the gallery is divided first, and the search looks only
# where centroids are near: time stays all but linear.
_PLAIN = 512
_PARTS = 256
_PROBES = 8
_REFINEMENTS = 5


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

    def cost(self, k_m: int, dimension: int) -> Cost:
        """See `SimilarityModel.cost`."""
        return Cost(1e-7 * k_m + 1e-6 * dimension, 35 * k_m + 8 * dimension)

    def recalculate(
        self,
        lists: NeighborLists,
        vectors: Float32s,
        progress: ProgressCallback = silent,
        passes: Passes | None = None,
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
        means = self.centroids(vectors, count)
        distances, nearest = _two_nearest(means, vectors)
        for _ in range(_REFINEMENTS if len(means) > _PLAIN else 0):
            # Clusters of two parts have not competed yet for the items on the border.
            means = _means(vectors, nearest[:, 0])
            distances, nearest = _two_nearest(means, vectors)
        own, other = np.sqrt(np.maximum(distances.astype(np.float64), 0)).T
        risk = 1 - (other - own) / np.maximum(np.maximum(own, other), 1e-30)
        return nearest[:, 0], risk

    def centroids(self, vectors: Float32s, count: int) -> Float32s:
        """`count` centroids; of many, those of the parts that a first k-means finds (a few off)."""
        if count <= _PLAIN:
            return self.k_means(vectors, count)
        parts = min(_PARTS, round(count**0.5))
        first = faiss.IndexFlatL2(vectors.shape[1])
        first.add(self.k_means(vectors, parts))
        part = first.search(np.ascontiguousarray(vectors), 1)[1][:, 0]
        if np.bincount(part).max() > len(part) / 2:
            # Duplicates, which no k-means divides: any division will do.
            part = np.arange(len(part)) * parts // len(part)
        order = np.argsort(part, kind="stable")
        pieces = np.split(order, np.flatnonzero(np.diff(part[order])) + 1)
        share = count / len(vectors)
        made = [self.centroids(vectors[p], max(1, round(share * len(p)))) for p in pieces]
        return np.concatenate(made)

    def k_means(self, vectors: Float32s, count: int) -> Float32s:
        """Plain k-means, trained on at most 256 vectors a centroid."""
        means = faiss.Kmeans(
            vectors.shape[1], count, niter=self.iterations, seed=0,
            min_points_per_centroid=1, max_points_per_centroid=256,
        )  # fmt: skip
        means.train(np.ascontiguousarray(vectors))
        return np.asarray(means.centroids)

    def first_pass(self, risk: Floats) -> AnyArray:
        """In which pass, from 0, every item is admitted; passes - 1 at the latest."""
        shares = np.linspace(self.start, 1.0, self.passes)
        shares[-1] = 1.0
        thresholds = np.quantile(risk, shares)
        thresholds[-1] = np.inf
        passes: AnyArray = np.searchsorted(thresholds, risk, side="left")
        return passes


def _two_nearest(means: Float32s, vectors: Float32s) -> tuple[Float32s, AnyArray]:
    """(squared distances, numbers) of every vector's two nearest centroids, each (n, 2)."""
    vectors = np.ascontiguousarray(vectors)
    flat = faiss.IndexFlatL2(vectors.shape[1])
    if len(means) <= _PLAIN:
        flat.add(means)
        return flat.search(vectors, 2)
    index = faiss.IndexIVFFlat(flat, vectors.shape[1], round(len(means) ** 0.5))
    index.nprobe = _PROBES
    index.cp.min_points_per_centroid = 1
    index.train(means)
    index.add(means)
    return index.search(vectors, 2)


def _means(vectors: Float32s, cluster: AnyArray) -> Float32s:
    """The mean of every cluster that has members."""
    order = np.argsort(cluster, kind="stable")
    starts = np.flatnonzero(np.diff(cluster[order], prepend=-2))
    sums = np.add.reduceat(vectors[order], starts, axis=0)
    means = sums / np.diff(starts, append=len(order))[:, None]
    return np.asarray(means, dtype=np.float32)
