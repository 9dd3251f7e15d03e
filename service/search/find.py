"""The library's answer to a search."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kinfold.errors import UnknownNameError
from kinfold.index.ids import Id
from kinfold.search import Hits, Index
from service.collections import OpenCollection
from service.problems import INVALID_VECTORS, UNKNOWN_ID, ProblemError
from service.search.question import Search


def find(search: Search, collection: OpenCollection) -> Hits:
    """The library's answer, refused where numbers left float32's range on the way."""
    hits = _hits(search, collection.index)
    finite = (np.isfinite(hits.scores) & np.isfinite(hits.similarities)).all(axis=1)
    if not finite.all():
        raise ProblemError(
            INVALID_VECTORS,
            f"the values of query {int(np.argmin(finite))} are so large that its similarities "
            "exceed float32; scale the vectors down",
        )
    return hits


def _hits(search: Search, index: Index) -> Hits:
    k, models = search.options.k, search.names(index)
    k_q, seeds, fusion = search.options.k_q, search.options.seeds, search.options.fusion
    if search.queries is not None:
        return index.search(search.queries, k, models, k_q=k_q, seeds=seeds, fusion=fusion)
    try:
        return index.search_by_id(search.ids, k, models, k_q=k_q, seeds=seeds, fusion=fusion)
    except UnknownNameError:
        _refuse_unknown(search.ids, index)
        raise


def _refuse_unknown(ids: Sequence[Id], index: Index) -> None:
    """Name the id that made a search fail."""
    for item in ids:
        try:
            index.position(item)
        except UnknownNameError as error:
            raise ProblemError(UNKNOWN_ID, str(error), found=item) from None
