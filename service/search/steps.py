"""All steps of a search, one after the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from service.bodies import AnswerKind, BodyKind
from service.collections import OpenCollection
from service.search.check import check
from service.search.encode import encode
from service.search.find import find
from service.search.read import read
from service.settings import Settings


def run(
    collection: OpenCollection,
    kind: BodyKind,
    body: bytearray,
    parameters: Sequence[tuple[str, str]],
    settings: Settings,
    started: float,
    answer: AnswerKind = "json",
) -> bytes:
    """Read, check, search, and encode the answer; `started` by ``time.perf_counter``."""
    search = read(collection, kind, body, parameters, settings)
    check(search, collection, settings)
    # `find` looks for what overflowed, so that no step on the way need warn of it.
    with np.errstate(all="ignore"):
        return encode(search, find(search, collection), collection, started, answer)
