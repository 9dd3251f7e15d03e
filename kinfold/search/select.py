"""Hits by a selection: a ranking of what the filter allows, gone down as far as it takes.

A ranking is what the diffusion reaches, then the rest in the order of plain kNN. The seeds come
from the whole gallery whatever the filter: the manifold runs through items that it leaves out.
The reached items are all at hand; the rest is asked for in rounds, each of twice as many, and each
of the items only that could still be hits, until there are enough or no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from kinfold.arrays import NOTHING, AnyArray, Bools, Float32s, Int64s, UInt32s
from kinfold.index import StoredIndex, StoredModel
from kinfold.search.fusion import KNN_DEPTH
from kinfold.search.groups import Groups
from kinfold.search.hits import Hits
from kinfold.search.masks import Columns, Mask
from kinfold.search.nearby import nearest_allowed
from kinfold.search.pick import Pick
from kinfold.search.ranker import Question, Ranker
from kinfold.search.selection import Selection
from kinfold.search.timings import SearchTimings, timed

Reached = tuple[UInt32s, Float32s]
"""What a diffusion reaches, best first, with scores; complete, or as much as can be asked for."""


@dataclass(frozen=True, slots=True)
class _Task:
    """What one call looks for in every query's ranking."""

    question: Question
    mask: Mask
    groups: Groups | None
    selection: Selection
    need: int
    timings: SearchTimings | None

    @property
    def allowed(self) -> Bools | None:
        """The mask for those who need not look when everything is allowed."""
        return self.mask.allowed if self.selection.filter is not None else None


class Selector:
    """Searches with selections over one open version; shared by threads."""

    def __init__(self, stored: StoredIndex, ranker: Ranker) -> None:
        self._stored = stored
        self._rows = stored.manifest.rows
        self._ranker = ranker
        self.columns = Columns(stored)

    def select(
        self,
        queries: Float32s,
        own: Sequence[UInt32s],
        k: int,
        question: Question,
        selection: Selection,
        timings: SearchTimings | None = None,
    ) -> Hits:
        """The hits of (m, d) prepared queries; `own` are the items that each leaves out."""
        task = self._task(k, question, selection, timings)
        # The items left out stand in the ranking, too.
        depth = task.need + max((some.size for some in own), default=0)
        if question.models == [None]:
            nothing = np.empty(0, dtype=np.uint32), np.empty(0, dtype=np.float32)
            return self._hits(queries, own, [nothing] * len(own), task, depth)
        with timed(timings, "knn"):
            wanted = self._ranker.depth(1, question)
            neighbors = self._ranker.neighbors(queries, wanted)
            nearby = self._nearby(queries, neighbors, task)
        with timed(timings, "combine"):
            seeds = {
                model.name: self._ranker.seeds(neighbors, model, question)
                for model in question.models
                if model is not None
            }
            most = None if selection.picks or len(question.models) > 1 else depth
            reached = []
            for row in range(queries.shape[0]):
                lists = {
                    model.name: self._ranker.everything(
                        model, seeds[model.name][0][row], seeds[model.name][2][row],
                        task.allowed, most,
                    )
                    for model in question.models
                    if model is not None
                }  # fmt: skip
                reached.append(self._as_one(lists, (nearby[0][row], nearby[1][row]), task))
        return self._hits(queries, own, reached, task, depth)

    def select_like(
        self,
        query: Float32s,
        positive: UInt32s,
        negative: UInt32s,
        k: int,
        question: Question,
        selection: Selection,
        timings: SearchTimings | None = None,
    ) -> Hits:
        """The hits of examples: mean F of the positives less mean F of the negatives.

        Parameters
        ----------
        query:
            (1, d), prepared: what stands for the examples where single vectors are compared.
        positive, negative:
            Their positions.
        """
        task = self._task(k, question, selection, timings)
        examples = np.concatenate([positive, negative])
        nothing = np.empty(0, dtype=np.uint32), np.empty(0, dtype=np.float32)
        reached = nothing
        if question.models != [None]:
            with timed(timings, "knn"):
                vectors = np.ascontiguousarray(self._stored.vectors[examples])
                neighbors = self._ranker.neighbors(vectors, self._ranker.depth(1, question))
                nearby = nothing
                if None in question.models:
                    nearby = _first(nearest_allowed(self._stored, query, KNN_DEPTH, task.mask))
            with timed(timings, "combine"):
                lists = {
                    model.name: self._difference(
                        model, self._ranker.seeds(neighbors, model, question), positive.size,
                        task.allowed,
                    )
                    for model in question.models
                    if model is not None
                }  # fmt: skip
                reached = self._as_one(lists, nearby, task)
        depth = task.need + examples.size
        return self._hits(query, [examples], [reached], task, depth)

    def _task(
        self,
        k: int,
        question: Question,
        selection: Selection,
        timings: SearchTimings | None,
    ) -> _Task:
        with timed(timings, "filter"):
            mask = self.columns.mask(selection.filter)
            by = selection.group_by
            groups = None if by is None else self.columns.groups(by)
        # More than there are is nothing to make room for.
        need = min(selection.offset + k, self._rows)
        return _Task(question, mask, groups, selection, need, timings)

    def _nearby(
        self, queries: Float32s, neighbors: tuple[UInt32s, Float32s], task: _Task
    ) -> tuple[UInt32s, Float32s]:
        """What plain kNN says in a fusion: the nearest of what is allowed."""
        if task.allowed is None or None not in task.question.models:
            return neighbors[0][:, :KNN_DEPTH], neighbors[1][:, :KNN_DEPTH]
        return nearest_allowed(self._stored, queries, KNN_DEPTH, task.mask)

    def _as_one(
        self, lists: dict[str, Reached], nearby: tuple[UInt32s, Float32s], task: _Task
    ) -> Reached:
        """What the only model reaches, or what several of them reach together."""
        if len(task.question.models) == 1:
            (alone,) = lists.values()
            return alone
        width = min(self._rows, nearby[0].size + sum(found.size for found, _ in lists.values()))
        found, scores = np.empty(width, dtype=np.uint32), np.empty(width, dtype=np.float32)
        size = self._ranker.fuse(task.question, lists, nearby, found, scores)
        return found[:size], scores[:size]

    def _difference(
        self,
        model: StoredModel,
        seeds: tuple[UInt32s, Float32s, Float32s],
        positives: int,
        allowed: Bools | None,
    ) -> Reached:
        """Mean F of the first rows of seeds less mean F of the others, where that is positive."""
        means = []
        for rows in (slice(0, positives), slice(positives, None)):
            found, weights = seeds[0][rows], seeds[2][rows]
            weights = (weights / np.float32(max(found.shape[0], 1))).reshape(-1)
            known = found.reshape(-1) != NOTHING
            means.append(
                self._ranker.everything(model, found.reshape(-1)[known], weights[known], allowed)
            )
        (found, scores), (others, less) = means
        order = np.argsort(found)
        found, scores = found[order], scores[order]
        place = np.searchsorted(found, others)
        inside = place < found.size
        inside[inside] = found[place[inside]] == others[inside]
        scores[place[inside]] -= less[inside]
        found, scores = found[scores > 0], scores[scores > 0]
        order = np.argsort(-scores, kind="stable")
        return found[order], scores[order]

    def _hits(
        self,
        queries: Float32s,
        own: Sequence[UInt32s],
        reached: Sequence[Reached],
        task: _Task,
        depth: int,
    ) -> Hits:
        """Pick the hits out of what was reached, and where it is not enough out of the rest."""
        picks = []
        for row in range(len(own)):
            nearness = partial(self._ranker.similarity, queries[row])
            pick = Pick(task.need, own[row], task.selection, task.groups, nearness)
            with timed(task.timings, "combine"):
                pick.take(reached[row][0], reached[row][1])
            picks.append(pick)
        short = [row for row, pick in enumerate(picks) if pick.missing and task.mask.count]
        if short:
            with timed(task.timings, "knn"):
                chosen = np.ascontiguousarray(queries[short])
                found, similarities = nearest_allowed(self._stored, chosen, depth, task.mask)
                for place, row in enumerate(short):
                    rest = ~np.isin(found[place], reached[row][0])
                    picks[row].take(found[place][rest])
                    if (
                        picks[row].missing
                        and found.shape[1] < task.mask.count
                        and not picks[row].ends_at(similarities[place])
                    ):
                        seen = np.concatenate([own[row], reached[row][0], found[place]])
                        self._go_on(chosen[place : place + 1], picks[row], seen, task, depth)
        return self._padded(queries, own, picks, task)

    def _go_on(self, query: Float32s, pick: Pick, seen: UInt32s, task: _Task, depth: int) -> None:
        """Take what is next in the order of kNN until there is enough or no more."""
        open_ = task.mask.allowed.copy()
        open_[seen] = False
        while pick.missing:
            depth *= 2
            pick.close_full_groups(open_)
            mask = Mask(open_.copy())
            if mask.count == 0:
                return
            found, similarities = nearest_allowed(self._stored, query, depth, mask)
            pick.take(found[0])
            if found.shape[1] == mask.count or pick.ends_at(similarities[0]):
                return
            open_[found[0]] = False

    def _padded(
        self, queries: Float32s, own: Sequence[UInt32s], picks: Sequence[Pick], task: _Task
    ) -> Hits:
        offset, is_knn = task.selection.offset, task.question.models == [None]
        exact = self._stored.engine.kind == "exact"
        lists = [pick.result(sort_rest=not exact) for pick in picks]
        counts: Int64s = np.array(
            [max(positions.size - offset, 0) for positions, *_ in lists], dtype=np.int64
        )
        shape = len(lists), int(counts.max(initial=0))
        positions = np.full(shape, NOTHING)
        scores, similarities = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        reached = np.zeros(len(lists), dtype=np.int64)
        for row, (found, own_scores, near, count) in enumerate(lists):
            size = counts[row]
            positions[row, :size] = found[offset:]
            similarities[row, :size] = near[offset:]
            scores[row, :size] = near[offset:] if is_knn else own_scores[offset:]
            reached[row] = max(count - offset, 0)
        matched = task.mask.count - np.array(
            [np.count_nonzero(task.mask.allowed[np.unique(some)]) for some in own], dtype=np.int64
        )
        return Hits(self._ids(positions), scores, similarities, positions, reached, counts, matched)

    def _ids(self, positions: UInt32s) -> AnyArray:
        nothing = positions == NOTHING
        ids = self._stored.ids.of(np.where(nothing, np.uint32(0), positions))
        if nothing.any():
            ids[nothing] = None if ids.dtype == object else -1
        return ids


def _first(pair: tuple[UInt32s, Float32s]) -> tuple[UInt32s, Float32s]:
    return pair[0][0], pair[1][0]
