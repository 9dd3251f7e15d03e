"""What a search gives back."""

from __future__ import annotations

from dataclasses import dataclass

from kinfold.arrays import AnyArray, Float32s, Int64s, UInt32s


@dataclass(frozen=True, slots=True)
class Hits:
    """The best items of m queries, best first.

    The arrays are as wide as the longest list, w <= k; a plain search fills all k. A shorter list
    ends with padding: position `kinfold.arrays.NOTHING`, id -1 (None among strings), score and
    similarity 0. Such a list is complete: no other item is allowed, similar enough, or of a group
    that has room.

    Attributes
    ----------
    ids:
        (m, w) the user's own ids: int64, or str objects.
    scores:
        (m, w) float32, what the hits are ranked by.

        ================  ======================================================  =============
        diffusion model   F = S·C: comparable within one query only; 0 for items  [0, ∞)
                          that the diffusion did not reach
        knn               the similarity                                          as below
        several, rrf      sum of 1 / (60 + rank) over the models                  [0, models/61]
        several, score    sum of each model's score as a share of its best        [0, models]
        ================  ======================================================  =============
    similarities:
        (m, w) float32, absolute: what the index's metric says of query and item alone. In
        [-1, 1] for cosine (up to rounding), (0, 1] for l2, any number for inner products.
    positions:
        (m, w) uint32 gallery positions.
    reached:
        (m,) int64: how many of a query's hits the diffusion reached. The others follow in the
        order of plain kNN.
    counts:
        (m,) int64: how many hits each query has.
    matched:
        (m,) int64: how many items the filter allows, the query's own left out; without a filter
        all of them.
    """

    ids: AnyArray
    scores: Float32s
    similarities: Float32s
    positions: UInt32s
    reached: Int64s
    counts: Int64s
    matched: Int64s

    def __len__(self) -> int:
        return int(self.ids.shape[0])

    def part(self, begin: int, end: int) -> Hits:
        """The hits of the queries from `begin` to before `end`; nothing is copied."""
        rows = slice(begin, end)
        return Hits(
            self.ids[rows],
            self.scores[rows],
            self.similarities[rows],
            self.positions[rows],
            self.reached[rows],
            self.counts[rows],
            self.matched[rows],
        )


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
