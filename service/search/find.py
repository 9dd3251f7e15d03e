"""The library's answer to a search."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kinfold.errors import UnknownNameError
from kinfold.index.ids import Id
from kinfold.search import Hits, Index, SearchTimings
from service.collections import OpenCollection
from service.problems import INVALID_VECTORS, UNKNOWN_ID, ProblemError
from service.search.question import Search


def find(search: Search, collection: OpenCollection, timings: SearchTimings | None = None) -> Hits:
    """The library's answer, refused where numbers left float32's range on the way."""
    hits = _hits(search, collection.index, timings)
    finite = (np.isfinite(hits.scores) & np.isfinite(hits.similarities)).all(axis=1)
    if not finite.all():
        raise ProblemError(
            INVALID_VECTORS,
            f"the values of query {int(np.argmin(finite))} are so large that its similarities "
            "exceed float32; scale the vectors down",
        )
    return hits


def _hits(search: Search, index: Index, timings: SearchTimings | None) -> Hits:
    options = search.how(index).options()
    if search.queries is not None:
        return index.search(search.queries, **options, timings=timings)
    try:
        if search.positive:
            return index.search_examples(
                search.positive, search.negative, **options, timings=timings
            )
        return index.search_by_id(search.ids, **options, timings=timings)
    except UnknownNameError:
        _refuse_unknown([*search.ids, *search.positive, *search.negative], index)
        raise


def _refuse_unknown(ids: Sequence[Id], index: Index) -> None:
    """Name the id that made a search fail."""
    for item in ids:
        try:
            index.position(item)
        except UnknownNameError as error:
            raise ProblemError(UNKNOWN_ID, str(error), found=item) from None
