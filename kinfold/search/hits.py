"""What a search gives back."""

from __future__ import annotations

from dataclasses import dataclass

from kinfold.arrays import AnyArray, Float32s, Int64s, UInt32s


@dataclass(frozen=True, slots=True)
class Hits:
    """The k best items of m queries, best first.

    Attributes
    ----------
    ids:
        (m, k) the user's own ids: int64, or str objects.
    scores:
        (m, k) float32. For a diffusion model the relative score F = S·C: comparable within one
        query only, larger is better, 0 for items that the diffusion did not reach. For ``knn``
        the similarity.
    similarities:
        (m, k) float32, absolute: what the index's metric says of query and item alone.
    positions:
        (m, k) uint32 gallery positions.
    reached:
        (m,) int64: how many of a query's hits the diffusion reached. The others follow in the
        order of plain kNN.
    """

    ids: AnyArray
    scores: Float32s
    similarities: Float32s
    positions: UInt32s
    reached: Int64s

    def __len__(self) -> int:
        return int(self.ids.shape[0])


@dataclass(frozen=True, slots=True)
class Explanation:
    """Which neighbours of the query gave which share of a hit's score.

    score_j = sum_i s_i C_ij, so every share is exact.

    Attributes
    ----------
    id:
        The hit that is explained.
    score, similarity:
        As in `Hits`.
    neighbors:
        Ids of the query's seeds, those with the largest share first.
    similarities, weights, contributions, shares:
        One a neighbour: its similarity to the query, its weight s_i, s_i C_ij, and that as a
        share of the score in [0, 1] (all zero when the diffusion does not reach the hit).
    """

    id: int | str
    score: float
    similarity: float
    neighbors: list[int | str]
    similarities: list[float]
    weights: list[float]
    contributions: list[float]
    shares: list[float]
