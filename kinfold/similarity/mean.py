"""Several models at once: the mean of what they say, each asked about the same lists."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from kinfold.arrays import Float32s
from kinfold.blocks import Named, Passes
from kinfold.config import NamedSpec, SimilaritySpec
from kinfold.errors import KinfoldError
from kinfold.neighbors import NeighborLists
from kinfold.progress import Progress, ProgressCallback, silent
from kinfold.similarity.registry import Cost, SimilarityModel, register, resolve


@register
class Mean(SimilarityModel):
    """sim' = mean over the models of sim'_model, times sim ** power.

    Models that err differently correct each other: a graph whose edges are the mean of two was
    better on average over our sets than the graph of either. The power brings back how near two
    items are, which models of neighbourhoods forget.
    """

    name: ClassVar[str] = "mean"

    of: list[NamedSpec] = Field(
        default_factory=lambda: [
            SimilaritySpec(name="cosine"),
            SimilaritySpec(name="cas", parameters={"k1": 8, "k2": 3, "power": 0}),
            SimilaritySpec(name="k-reciprocal", parameters={"k1": 10, "k2": 4}),
        ],
        min_length=1,
        max_length=8,
        description="The models, each with its own parameters.",
    )
    power: float = Field(
        3.0,
        ge=0,
        le=20,
        description="Exponent of the incoming similarity that multiplies the mean.",
    )

    @model_validator(mode="after")
    def _known(self) -> Self:
        try:
            _ = self.members
        except KinfoldError as error:
            raise ValueError(str(error)) from None
        return self

    @cached_property
    def members(self) -> list[SimilarityModel]:
        """The models, checked."""
        return [resolve(spec) for spec in self.of]

    def neighbors_needed(self) -> int:
        """See `SimilarityModel.neighbors_needed`."""
        return max(member.neighbors_needed() for member in self.members)

    def least_neighbors(self) -> int:
        """See `SimilarityModel.least_neighbors`."""
        return max(member.least_neighbors() for member in self.members)

    def cost(self, k_m: int, dimension: int) -> Cost:
        """See `SimilarityModel.cost`."""
        costs = [member.cost(k_m, dimension) for member in self.members]
        return Cost(sum(c.seconds for c in costs), max(c.memory for c in costs) + 8 * k_m)

    def recalculate(
        self,
        lists: NeighborLists,
        vectors: Float32s,
        progress: ProgressCallback = silent,
        passes: Passes | None = None,
    ) -> Float32s:
        """See `SimilarityModel.recalculate`."""
        total = np.zeros(lists.similarities.shape, dtype=np.float32)
        for number, member in enumerate(self.members):
            if number:
                progress(Progress("similarity", number, len(self.members), "models"))
            own = Named(passes, f"{number}-{member.name}") if passes else None
            total += member.recalculate(lists, vectors, passes=own)
        total /= np.float32(len(self.members))
        if self.power > 0:
            total *= np.clip(lists.similarities, 0, 1) ** np.float32(self.power)
        return total
