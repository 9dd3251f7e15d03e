"""k-reciprocal encoding (Zhong et al., CVPR 2017), sparse rows only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pydantic import Field

from kinfold.arrays import AnyArray, Float32s
from kinfold.blocks import Arrays, Passes
from kinfold.kernels.clusters import encode_rows
from kinfold.kernels.overlap import JACCARD
from kinfold.neighbors import NeighborLists
from kinfold.progress import ProgressCallback, silent
from kinfold.similarity.flat import (
    Compared,
    NearMeans,
    blocks_of,
    flat,
    in_memory,
    listed,
    packed,
    reading,
)
from kinfold.similarity.reciprocal import expanded_sets, reciprocal_sets
from kinfold.similarity.registry import Cost, SimilarityModel, register


@register
class KReciprocal(SimilarityModel):
    """How much two items' k-reciprocal neighbourhoods overlap.

    R*(i): R(i, k1), grown by the half-sized sets of its confident members.
    V_ij = exp(-d(i, j)) on R*(i), d = 2 (1 - sim), rows summing to one; V_i becomes the mean of V
    over N(i, k2), the item included. sim' = (1 - lambda) sum min / sum max + lambda sim.

    Members of R*(i) that neither of the two items has in its list are left out: with k_m >= 2 k1
    there are next to none.
    """

    name: ClassVar[str] = "k-reciprocal"

    k1: int = Field(20, ge=1, description="Neighbours that reciprocal sets are made of.")
    k2: int = Field(6, ge=1, description="Rows averaged by the local expansion, own included.")
    lambda_: float = Field(
        0.3, ge=0, le=1, alias="lambda", description="Share of the incoming similarity."
    )
    keep: int = Field(256, ge=1, description="Entries of a row V that are kept.")

    def neighbors_needed(self) -> int:
        """See `SimilarityModel.neighbors_needed`."""
        return max(2 * self.k1, self.k2)

    def least_neighbors(self) -> int:
        """See `SimilarityModel.least_neighbors`."""
        return max(self.k1, self.k2)

    def cost(self, k_m: int, dimension: int) -> Cost:
        """See `SimilarityModel.cost`."""
        return Cost(2e-6 + 2e-7 * k_m, 4 * k_m + 64 * self.k1 + 2 * self.keep)

    def recalculate(
        self,
        lists: NeighborLists,
        vectors: Float32s,
        progress: ProgressCallback = silent,
        passes: Passes | None = None,
    ) -> Float32s:
        """See `SimilarityModel.recalculate`."""
        passes = passes or in_memory()
        sets = reciprocal_sets(lists, self.k1, passes)
        blocks = blocks_of(lists, passes)
        grown = expanded_sets(lists, sets, passes, both=False)
        del sets
        arrays = listed(lists) | grown.named("grown")
        encoded = flat(passes.run("encoded", Encoded(), arrays, blocks), "encoded")
        arrays = listed(lists) | encoded.named("rows")
        means = NearMeans(self.k2 - 1, keep=self.keep, normalise=True)
        rows = flat(passes.run("means", means, arrays, blocks), "rows")
        arrays = listed(lists) | rows.named("rows")
        del encoded, grown
        compared = Compared(JACCARD, self.lambda_)
        result: Float32s = passes.run("compared", compared, arrays, blocks)["similarities"]
        return result


@dataclass(frozen=True)
class Encoded:
    """V_ij = exp(-d(i, j)) on R*(i), rows summing to one; 1 for the item itself.

    Pairs that are in neither list are left out. Reads ``ids``, ``similarities`` and ``grown``;
    gives ``encoded``.
    """

    def __call__(self, arrays: Arrays, begin: int, end: int, threads: int) -> dict[str, AnyArray]:
        """See `BlockTask`."""
        read = reading(arrays)
        indptr = read["grown_indptr"]
        begins = indptr[begin : end + 1] - indptr[begin]
        columns = np.empty(begins[-1], dtype=np.uint32)
        values = np.empty(begins[-1], dtype=np.float32)
        lengths = np.empty(end - begin, dtype=np.int64)
        encode_rows(
            read["ids"], read["similarities"], indptr, read["grown_columns"],
            begin, end, threads, columns, values, lengths,
        )  # fmt: skip
        return packed("encoded", begins, lengths, threads, columns=columns, values=values)
