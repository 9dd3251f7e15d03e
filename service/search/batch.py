"""Searches of one version that ask alike, answered in one pass over the gallery.

An exact engine reads the whole gallery for a query. For many queries at once it reads it once,
and a pass for 32 takes about as long as five alone (see docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from kinfold.search import Hits, SearchTimings
from service.bodies import AnswerKind
from service.collections import OpenCollection
from service.search.encode import encode
from service.search.find import find
from service.search.question import Search
from service.stages import Stages


@dataclass(frozen=True, slots=True)
class Waiting:
    """A search that was read and checked, and waits to be answered.

    Attributes
    ----------
    started:
        When the whole request had arrived, by ``time.perf_counter``.
    ready:
        When it had been read.
    """

    search: Search
    collection: OpenCollection
    started: float
    ready: float
    stages: Stages
    answer: AnswerKind = "json"


def group_key(search: Search, collection: OpenCollection) -> Hashable:
    """What searches must have in common to be answered in one pass.

    The object that is open stands for the version: who waits keeps it alive, so that no other can
    take its place in memory.
    """
    kind = "ids" if search.queries is None else "vectors"
    # Examples make up one query by themselves. Explaining takes much longer than searching, and
    # nobody is to wait for another's.
    alone = id(search) if search.positive or search.options.explain else None
    return id(collection), kind, search.how(collection.index), alone


def answer_all(waiting: Sequence[Waiting]) -> list[bytes | BaseException]:
    """The answers to searches of one group; where one cannot be answered, why.

    Whatever is wrong with one of them is no other's concern: if the pass fails, each is searched
    for itself.
    """
    begin = perf_counter()
    for one in waiting:
        one.stages.add("wait", one.ready, begin)
        one.stages.passed_with = len(waiting)
    # `find` looks for what overflowed, so that no step on the way need warn of it.
    with np.errstate(all="ignore"):
        if len(waiting) == 1:
            return [_outcome(lambda: _alone(waiting[0]))]
        try:
            parts = _together(waiting)
        except Exception:
            return [_outcome(lambda one=one: _alone(one)) for one in waiting]  # type: ignore[misc]
        return [
            _outcome(lambda one=one, hits=hits: _encoded(one, hits))  # type: ignore[misc]
            for one, hits in zip(waiting, parts, strict=True)
        ]


def _alone(one: Waiting) -> bytes:
    timings, begin = SearchTimings(), perf_counter()
    hits = find(one.search, one.collection, timings)
    _note(one.stages, begin, timings)
    return _encoded(one, hits)


def _together(waiting: Sequence[Waiting]) -> list[Hits]:
    """What each search found, by one that asks for the queries of all."""
    timings, begin = SearchTimings(), perf_counter()
    stacked = _stacked([one.search for one in waiting])
    hits = find(stacked, waiting[0].collection, timings)
    parts = []
    place = 0
    for one in waiting:
        parts.append(hits.part(place, place + len(one.search)))
        place += len(one.search)
        _note(one.stages, begin, timings)
    return parts


def _stacked(searches: Sequence[Search]) -> Search:
    """One search for the queries of all."""
    options = searches[0].options
    if searches[0].queries is None:
        return Search(None, [item for search in searches for item in search.ids], options)
    queries = np.concatenate([search.queries for search in searches if search.queries is not None])
    return Search(queries, [], options)


def _note(stages: Stages, begin: float, timings: SearchTimings) -> None:
    """Stages as if they had come one after the other, which but for long rankings they do."""
    end = stages.add("filter", begin, begin + timings.filter_seconds)
    end = stages.add("knn", end, end + timings.knn_seconds)
    stages.add("combine", end, end + timings.combine_seconds)


def _encoded(one: Waiting, hits: Hits) -> bytes:
    begin = perf_counter()
    answer = encode(one.search, hits, one.collection, one.started, one.answer)
    one.stages.add("encode", begin)
    return answer


def _outcome(work: Callable[[], bytes]) -> bytes | BaseException:
    try:
        return work()
    except Exception as error:
        return error
