"""The steps of a search: read and check alone, then found and encoded with those that ask alike."""

from __future__ import annotations

from collections.abc import Sequence

from service.bodies import AnswerKind, BodyKind
from service.collections import OpenCollection
from service.pool import Grouped
from service.search.batch import Waiting, answer_all, group_key
from service.search.check import check
from service.search.read import read
from service.settings import Settings
from service.stages import Stages


def prepare(
    collection: OpenCollection,
    kind: BodyKind,
    body: bytearray,
    parameters: Sequence[tuple[str, str]],
    settings: Settings,
    started: float,
    stages: Stages,
    answer: AnswerKind = "json",
) -> Grouped:
    """Read and check a search, and say with which others it may be answered.

    Parameters
    ----------
    started:
        When the whole request had arrived, by ``time.perf_counter``.
    """
    begin = stages.add("wait", started)
    search = read(collection, kind, body, parameters, settings)
    check(search, collection, settings)
    ready = stages.add("decode", begin)
    return Grouped(
        key=group_key(search, collection),
        size=len(search),
        item=Waiting(search, collection, started, ready, stages, answer),
        together=answer_all,
    )
