"""CAS: Cluster-Aware Similarity diffusion (Luo et al., ICML 2024), sparse and gallery-only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pydantic import Field

from kinfold.arrays import AnyArray, Float32s
from kinfold.blocks import Arrays, Passes
from kinfold.kernels.overlap import DIVERGENCE
from kinfold.kernels.smoothing import smooth_rows
from kinfold.neighbors import NeighborLists
from kinfold.progress import ProgressCallback, silent
from kinfold.similarity.bsd import Walk, affinity, affinity_on, diffused
from kinfold.similarity.flat import (
    Compared,
    Flat,
    NearMeans,
    WalkSums,
    blocks_of,
    flat,
    in_memory,
    listed,
    reading,
)
from kinfold.similarity.reciprocal import expanded_sets, reciprocal_sets
from kinfold.similarity.registry import Cost, SimilarityModel, register


@register
class Cas(SimilarityModel):
    """Similarity diffused inside local clusters, smoothed by neighbours, compared by divergence.

    1. W_ij = exp(-d²(i, j) / sigma²) on the k1-NN graph, d² = 2 (1 - sim);
       S = D^-1/2 W D^-1/2; alpha = 1 / (1 + mu).
    2. BSD: F with (I - alpha S) F + F (I - alpha S) = 2 (1 - alpha) E, entries outside the
       clusters (expanded k1-reciprocal sets) held at 0.
    3. NSS: rows of F made to agree with the item's confident neighbours.
    4. F' = P (kappa mean over R(i, k1) + mean over N(i, k2)) F^ / (kappa + 1).
    5. sim' = (1 - omega) (1 - JS(F'_i, F'_j)) + omega sim, times sim ** power.

    The published program is dense, O(n³), and holds the queries in its graph. Here every step
    touches a bounded number of entries a row.
    """

    name: ClassVar[str] = "cas"

    k1: int = Field(8, ge=1, description="Neighbours that clusters are made of.")
    k2: int = Field(3, ge=1, description="Neighbours whose rows are averaged, the item included.")
    sigma: float | None = Field(
        None, gt=0, description="Scale of the affinity. None: the median distance to the k1-th."
    )
    mu: float = Field(0.11, gt=0, description="Weight of staying put; alpha = 1 / (1 + mu).")
    beta: float = Field(0.1, gt=0, description="Weight of the diffused row against smoothing.")
    kappa: float = Field(1.0, ge=0, description="Weight of confident neighbours in the mean.")
    omega: float = Field(0.0, ge=0, le=1, description="Share of the incoming similarity.")
    power: float = Field(3.0, ge=0, description="sim ** power multiplies the result; 0: published.")
    keep: int = Field(128, ge=1, description="Entries of a row F' that are kept.")
    iterations: int = Field(30, ge=1, description="Most BSD iterations.")
    tolerance: float = Field(1e-4, gt=0, description="Relative change at which BSD is done.")
    bsd: bool = Field(True, description="Off: the affinity itself on the clusters (ablation).")
    nss: bool = Field(True, description="Off: no smoothing (ablation).")
    propagate: bool = Field(True, description="Off: no neighbour-enhanced propagation (ablation).")

    def neighbors_needed(self) -> int:
        """See `SimilarityModel.neighbors_needed`."""
        return max(self.k1, self.k2)

    def cost(self, k_m: int, dimension: int) -> Cost:
        """See `SimilarityModel.cost`."""
        # Clusters hold some k1 items, several times as many where the gallery is dense; the terms
        # of BSD are the products of two such rows.
        seconds = 1e-5 + 4e-8 * self.k1**2 + 6e-9 * k_m * self.keep
        return Cost(seconds, 1200 + 8 * self.keep + 4 * k_m + 9 * self.k1**2)

    def recalculate(
        self,
        lists: NeighborLists,
        vectors: Float32s,
        progress: ProgressCallback = silent,
        passes: Passes | None = None,
    ) -> Float32s:
        """See `SimilarityModel.recalculate`."""
        passes = passes or in_memory()
        arrays = listed(lists) | self.rows(lists, passes).named("rows")
        compared = Compared(DIVERGENCE, self.omega, self.power)
        result: Float32s = passes.run("compared", compared, arrays, blocks_of(lists, passes))[
            "similarities"
        ]
        return result

    def rows(self, lists: NeighborLists, passes: Passes) -> Flat:
        """F': at most `keep` entries a row, each row summing to one."""
        blocks = blocks_of(lists, passes)
        pairs = reciprocal_sets(lists, self.k1, passes)
        clusters = expanded_sets(lists, pairs, passes, both=True)
        sets = pairs.sets
        del pairs
        walk = affinity(lists, self.k1, self.scale(lists), passes)
        rows = self.diffuse(lists, walk, clusters, passes)
        del clusters
        if self.nss:
            smooth = passes.run(
                "smooth",
                Smoothed(self.beta),
                sets.named("sets") | walk.named() | rows.named("rows"),
                blocks,
            )
            rows = rows._replace(values=smooth["values"])
        rows = rows._replace(values=rows.values.astype(np.float32, copy=False))
        if not self.propagate:
            # The mean over the item alone: its own row, cut and scaled.
            alone = NearMeans(0, keep=self.keep, normalise=True)
            arrays = listed(lists) | rows.named("rows")
            return flat(passes.run("rows", alone, arrays, blocks), "rows")
        arrays = listed(lists) | sets.named("sets") | rows.named("rows")
        del sets, rows
        mixed = flat(
            passes.run("mixed", NearMeans(self.k2 - 1, self.kappa), arrays, blocks), "rows"
        )
        arrays = walk.walk.named("walk") | mixed.named("rows")
        del walk, mixed
        return flat(passes.run("rows", WalkSums(self.keep), arrays, blocks), "rows")

    def scale(self, lists: NeighborLists) -> float:
        """sigma²: by which squared distances are divided."""
        if self.sigma:
            return self.sigma**2
        farthest = lists.first(self.k1).similarities[:, -1]
        distance = 2 * (1 - np.clip(farthest[np.isfinite(farthest)], -1, 1)).astype(np.float64)
        return float(np.median(distance)) or 1.0

    def diffuse(self, lists: NeighborLists, walk: Walk, clusters: Flat, passes: Passes) -> Flat:
        """F on the clusters; with BSD off, S on those of its entries that are inside."""
        if not self.bsd:
            return affinity_on(lists, walk, clusters, passes)
        return diffused(
            lists,
            walk,
            clusters,
            alpha=1 / (1 + self.mu),
            iterations=self.iterations,
            tolerance=self.tolerance,
            passes=passes,
        )


@dataclass(frozen=True)
class Smoothed:
    """NSS: rows of F made to agree with the item's confident neighbours.

    Reads ``sets``, ``walk``, ``degrees`` and ``rows``; gives ``values`` on the pattern of the rows.
    """

    beta: float

    def __call__(self, arrays: Arrays, begin: int, end: int, threads: int) -> dict[str, AnyArray]:
        """See `BlockTask`."""
        read = reading(arrays)
        indptr = read["rows_indptr"]
        out = np.empty(indptr[end] - indptr[begin], dtype=np.float32)
        smooth_rows(
            read["sets_indptr"], read["sets_columns"],
            read["walk_indptr"], read["walk_columns"], read["walk_values"], read["degrees"],
            indptr, read["rows_columns"], read["rows_values"],
            self.beta, int(np.diff(indptr[begin : end + 1]).max()), begin, end, threads, out,
        )  # fmt: skip
        return {"values": out}
