"""The steps of a search: read and check alone, then found and encoded with those that ask alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from service.bodies import AnswerKind, BodyKind
from service.collections import OpenCollection
from service.encoders import Encoders
from service.pool import Grouped
from service.search.batch import Waiting, answer_all, group_key
from service.search.check import check
from service.search.picture import read_form
from service.search.question import Search
from service.search.read import by_picture, no_parameters, read
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
    return _grouped(search, collection, started, stages.add("decode", begin), stages, answer)


def prepare_picture(
    collection: OpenCollection,
    body: bytearray,
    content_type: str,
    parameters: Sequence[tuple[str, str]],
    encoders: Encoders,
    settings: Settings,
    started: float,
    stages: Stages,
    answer: AnswerKind = "json",
) -> Grouped:
    """The same for a search by a picture, which is looked at after its options are."""
    begin = stages.add("wait", started)
    no_parameters(parameters)
    content, options = read_form(body, content_type)
    stand_in = np.zeros((1, collection.index.dimension), np.float32)
    check(Search(stand_in, [], options), collection, settings)
    begin = stages.add("decode", begin)
    search = by_picture(collection, content, options, encoders)
    ready = stages.add("embed", begin)
    return _grouped(search, collection, started, ready, stages, answer)


def _grouped(
    search: Search,
    collection: OpenCollection,
    started: float,
    ready: float,
    stages: Stages,
    answer: AnswerKind,
) -> Grouped:
    return Grouped(
        key=group_key(search, collection),
        size=len(search),
        item=Waiting(search, collection, started, ready, stages, answer),
        together=answer_all,
    )
