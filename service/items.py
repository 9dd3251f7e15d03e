"""Items of an open collection as clients ask for them: by id in an address, or some of all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from kinfold.arrays import Int64s
from kinfold.errors import UnknownNameError
from kinfold.index.ids import Id
from kinfold.search import Filter, Index
from service.collections import OpenCollection
from service.filters import filter_of
from service.problems import INVALID_REQUEST, UNKNOWN_ID, ProblemError, shown
from service.search.check import check_columns

MOST_ITEMS = 200
"""Items of one answer."""
MOST_OFFSET = 1 << 32
_MOST_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which items: from an offset on, or a sample.

    Attributes
    ----------
    sample:
        Another number, another sample; None: in the gallery's own order.
    """

    offset: int
    limit: int
    sample: int | None
    filter: Filter | None


def read_wanted(pairs: Iterable[tuple[str, str]]) -> Wanted:
    """The query string of a list of items."""
    given: dict[str, str] = {}
    for name, text in pairs:
        if name in given:
            raise ProblemError(INVALID_REQUEST, f"the query parameter {name!r} is given twice")
        given[name] = text
    known = ("offset", "limit", "sample", "filter")
    strangers = [name for name in given if name not in known]
    if strangers:
        raise ProblemError(
            INVALID_REQUEST,
            f"no query parameter is called {shown(strangers[0])!r}; there are {', '.join(known)}",
            expected=list(known),
            found=strangers[0],
        )
    return Wanted(
        offset=_whole("offset", given.get("offset", "0"), 0, MOST_OFFSET),
        limit=_whole("limit", given.get("limit", "50"), 1, MOST_ITEMS),
        sample=_whole("sample", given["sample"], 0, MOST_OFFSET) if "sample" in given else None,
        filter=_filter(given.get("filter")),
    )


def list_items(collection: OpenCollection, wanted: Wanted) -> dict[str, Any]:
    """The items with their payload, and how many there are."""
    index = collection.index
    matching = None
    if wanted.filter is not None:
        check_columns(wanted.filter.columns, index)
        matching = index.matching(wanted.filter)
    total = len(index) if matching is None else matching.size
    if wanted.sample is None:
        chosen = np.arange(wanted.offset, min(total, wanted.offset + wanted.limit))
    else:
        chosen = _sample(wanted, total)
    positions = (chosen if matching is None else matching[chosen]).astype(np.uint32)
    ids, rows = index.ids_of(positions).tolist(), collection.payload.rows(positions)
    return {
        "collection": collection.name,
        "version": collection.version,
        "total": total,
        "items": [{"id": item, "payload": row} for item, row in zip(ids, rows, strict=True)],
    }


def _sample(wanted: Wanted, total: int) -> Int64s:
    """Places of some of `total` items, drawn without repetition."""
    rng = np.random.default_rng(wanted.sample)
    count = min(wanted.limit, total)
    if total <= 8 * count:
        return rng.permutation(total)[:count]
    # Of many it draws a few too many, rather than to put all of them in order.
    return rng.permutation(np.unique(rng.integers(0, total, 2 * count)))[:count]


def position_of(index: Index, text: str) -> int:
    """The place of the item that an address names."""
    item: Id = text
    if index.manifest.ids != "string":
        number = text.removeprefix("-")
        if not (number.isascii() and number.isdecimal()) or len(number) > _MOST_DIGITS:
            raise ProblemError(
                UNKNOWN_ID, "the ids of this collection are whole numbers", found=text
            )
        item = int(text)
    try:
        return index.position(item)
    except UnknownNameError as error:
        raise ProblemError(UNKNOWN_ID, str(error), found=item) from None


def _whole(name: str, text: str, least: int, most: int) -> int:
    is_number = text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS
    if not is_number or not least <= int(text) <= most:
        raise ProblemError(
            INVALID_REQUEST,
            f"{name}: expected a whole number from {least} to {most}, found {shown(text)!r}",
            expected=f"{least} to {most}",
            found=text,
        )
    return int(text)


def _filter(text: str | None) -> Filter | None:
    if text is None:
        return None
    try:
        return filter_of(orjson.loads(text))
    except orjson.JSONDecodeError as error:
        raise ProblemError(
            INVALID_REQUEST, f"filter: expected JSON: {error}", expected="JSON", found=text
        ) from None
