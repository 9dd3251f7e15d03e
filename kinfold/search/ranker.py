"""The way of a batch of queries: neighbours, seeds, S·C, fusion, fill-up, similarities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from kinfold.arrays import NOTHING, AnyArray, Bools, Float32s, UInt32s
from kinfold.config import Seeds
from kinfold.index import StoredIndex, StoredModel
from kinfold.kernels.compare import closeness
from kinfold.neighbors.engine import nearest
from kinfold.search.combine import Combiner
from kinfold.search.fusion import KNN_DEPTH, Fusion, contributions
from kinfold.search.seeds import seed_weights
from kinfold.search.timings import SearchTimings

Ranked = tuple[UInt32s, Float32s, Float32s, AnyArray]
"""Positions, scores, similarities, each (m, k), and how many of each row were reached, (m,)."""


@dataclass(frozen=True, slots=True)
class Question:
    """How a batch is searched, checked already.

    Attributes
    ----------
    models:
        One, or several to be fused; None among them is plain kNN.
    k_q, seeds:
        None: as each model was built.
    """

    models: Sequence[StoredModel | None]
    k_q: int | None = None
    seeds: Seeds | None = None
    fusion: Fusion = "rrf"

    def seed_count(self, model: StoredModel, rows: int) -> int:
        """Neighbours that may seed a model's diffusion."""
        return min(model.info.config.k_q, rows) if self.k_q is None else self.k_q


class Ranker:
    """Ranks batches over one open version; shared by threads."""

    def __init__(self, stored: StoredIndex) -> None:
        self._stored = stored
        self._rows = stored.manifest.rows
        self._combiner = Combiner(self._rows)

    def rank(
        self,
        queries: Float32s,
        k: int,
        question: Question,
        timings: SearchTimings | None = None,
    ) -> Ranked:
        """The k best items of each of (m, d) prepared queries."""
        begin = perf_counter()
        if question.models == [None]:
            positions, similarities = self.neighbors(queries, k)
            reached = np.zeros(queries.shape[0], dtype=np.int64)
            if timings is not None:
                timings.add("knn", perf_counter() - begin)
            return positions, similarities.copy(), similarities, reached
        neighbors = self.neighbors(queries, self.depth(k, question))
        if timings is not None:
            timings.add("knn", perf_counter() - begin)
            begin = perf_counter()
        seeds = {
            model.name: self.seeds(neighbors, model, question)
            for model in question.models
            if model is not None
        }
        positions = np.full((queries.shape[0], k), NOTHING)
        scores = np.zeros((queries.shape[0], k), dtype=np.float32)
        similarities = np.empty((queries.shape[0], k), dtype=np.float32)
        reached = np.empty(queries.shape[0], dtype=np.int64)
        for row in range(queries.shape[0]):
            out = positions[row], scores[row]
            if len(question.models) == 1 and (model := question.models[0]) is not None:
                found, _, weights = seeds[model.name]
                size = self._combiner.combine(model, found[row], weights[row], *out)
            else:
                own = {
                    name: self.everything(self._stored.models[name], found[row], weights[row])
                    for name, (found, _, weights) in seeds.items()
                }
                nearby = neighbors[0][row, :KNN_DEPTH], neighbors[1][row, :KNN_DEPTH]
                size = self.fuse(question, own, nearby, *out)
            reached[row] = size
            if size < k:
                self.fill(neighbors[0][row], positions[row], scores[row], size)
            similarities[row] = self.similarity(queries[row], positions[row])
        if timings is not None:
            timings.add("combine", perf_counter() - begin)
        return positions, scores, similarities, reached

    def depth(self, k: int, question: Question) -> int:
        """Neighbours of a query that its answer takes."""
        wanted = [k]
        for model in question.models:
            if model is None:
                wanted.append(min(KNN_DEPTH, self._rows))
            else:
                wanted.append(question.seed_count(model, self._rows))
        return max(wanted)

    def everything(
        self,
        model: StoredModel,
        seeds: UInt32s,
        weights: Float32s,
        allowed: Bools | None = None,
        most: int | None = None,
    ) -> tuple[UInt32s, Float32s]:
        """All that a model reaches, or the best `most` of it, with scores, best first."""
        width = min(self._rows, seeds.shape[0] * model.info.longest_row)
        width = width if most is None else min(width, most)
        found, scores = np.empty(width, dtype=np.uint32), np.empty(width, dtype=np.float32)
        size = self._combiner.combine(model, seeds, weights, found, scores, allowed)
        return found[:size], scores[:size]

    def fuse(
        self,
        question: Question,
        own: Mapping[str, tuple[UInt32s, Float32s]],
        nearby: tuple[UInt32s, Float32s],
        positions: UInt32s,
        scores: Float32s,
    ) -> int:
        """The best items by what several models say together; returns how many there are.

        Parameters
        ----------
        own:
            By name all that each diffusion model reaches.
        nearby:
            The `KNN_DEPTH` nearest with their similarities: what plain kNN says.
        """
        lists = []
        for model in question.models:
            if model is None:
                # Shares of the best one need a scale that starts at zero.
                closeness = self._stored.measure.relative(nearby[1])
                lists.append(contributions(nearby[0], np.maximum(closeness, 0), question.fusion))
            else:
                lists.append(contributions(*own[model.name], question.fusion))
        return self._combiner.fuse(lists, positions, scores)

    def fill(self, ranked: UInt32s, positions: UInt32s, scores: Float32s, size: int) -> int:
        """Append what is nearest and not among ``positions[:size]``, with score 0."""
        return self._combiner.fill(ranked, positions, scores, size)

    def neighbors(self, queries: Float32s, k: int) -> tuple[UInt32s, Float32s]:
        """The k nearest of each query with their similarities, (m, k) each."""
        stored = self._stored
        return nearest(stored.engine, stored.vectors, stored.measure, queries, k)

    def seeds(
        self, neighbors: tuple[UInt32s, Float32s], model: StoredModel, question: Question
    ) -> tuple[UInt32s, Float32s, Float32s]:
        """Positions, similarities and weights of each query's seeds, (m, k_q) each."""
        wanted = question.seed_count(model, self._rows)
        config = model.info.config
        positions, similarities = neighbors[0][:, :wanted], neighbors[1][:, :wanted]
        weights = seed_weights(
            positions,
            similarities,
            self._stored.similarities,
            self._stored.measure,
            config,
            config.seeds if question.seeds is None else question.seeds,
        )
        return positions, similarities, weights

    def similarity(self, query: Float32s, positions: UInt32s) -> Float32s:
        """What the metric says of one query and the items at (p,) positions."""
        out = np.empty(positions.shape[0], dtype=np.float32)
        measure = self._stored.measure
        closeness(query, self._stored.vectors, positions, measure.by_distance, out)
        return measure.similarity(out)


def without(
    own: UInt32s,
    wide: UInt32s,
    wide_scores: Float32s,
    wide_similarities: Float32s,
    reached: AnyArray,
) -> Ranked:
    """Rankings (m, k + 1) less one item each, ``own`` (m,), or less the last one."""
    m, k = wide.shape[0], wide.shape[1] - 1
    positions = np.empty((m, k), dtype=np.uint32)
    scores = np.empty((m, k), dtype=np.float32)
    similarities = np.empty((m, k), dtype=np.float32)
    for row in range(m):
        mine = np.flatnonzero(wide[row] == own[row])
        gone = int(mine[0]) if mine.size else k
        keep = np.arange(k + 1) != gone
        positions[row] = wide[row][keep]
        scores[row] = wide_scores[row][keep]
        similarities[row] = wide_similarities[row][keep]
        if gone < reached[row]:
            reached[row] -= 1
    return positions, scores, similarities, reached
