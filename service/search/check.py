"""What a search may ask of a collection and of the service."""

from __future__ import annotations

from collections.abc import Sequence

from kinfold.search import Index
from kinfold.search.index import KNN
from kinfold.search.selection import MOST_EXAMPLES
from service.collections import OpenCollection
from service.problems import (
    INVALID_REQUEST,
    TOO_MANY,
    UNKNOWN_COLUMN,
    UNKNOWN_MODEL,
    ProblemError,
    shown,
)
from service.search.question import Search
from service.settings import Settings

MOST_EXPLAINED = 100
"""Hits that one request may have explained: each costs about as much as a search."""

_HERE = "this service allows"


def check(search: Search, collection: OpenCollection, settings: Settings) -> None:
    """Refuse a model that is not there, and numbers beyond a limit or the collection's size."""
    options = search.options
    names = search.names(collection.index)
    _check_models(names, options.explain, collection.index)
    named = [] if options.filter is None else options.filter.columns
    named = named if options.group_by is None else [*named, options.group_by]
    check_columns(named, collection.index)
    rows = len(collection.index)
    wanted, depth = options.k_q or 1, options.offset + options.k
    _at_most("offset + k" if options.offset else "k", depth, settings.max_k, _HERE)
    _at_most("k_q", wanted, settings.max_k, _HERE)
    _at_most("k_q", wanted, rows, "the collection holds")
    if search.is_plain and search.queries is None:
        _at_most("k", options.k, rows - 1, "the collection holds besides the item itself")
    elif search.is_plain:
        _at_most("k", options.k, rows, "the collection holds")
    examples = len(search.positive) + len(search.negative)
    _at_most("positive and negative examples", examples, MOST_EXAMPLES, _HERE)
    product = len(names) * max(len(search), examples) * max(depth, wanted)
    what = "queries × k" if len(names) == 1 else "models × queries × k"
    _at_most(what, product, settings.max_hits, f"{_HERE} in one answer")
    if options.explain:
        product = len(search) * options.k
        _at_most("queries × k", product, MOST_EXPLAINED, f"{_HERE} with explain")
        if search.positive:
            raise ProblemError(
                INVALID_REQUEST,
                "explain: expected a vector or an id, found examples; explain them one by one",
                expected="a vector or an id",
                found="positive",
            )


def check_columns(named: Sequence[str], index: Index) -> None:
    """Refuse columns that the payload does not have."""
    known = index.manifest.payload_columns
    strangers = [name for name in named if name not in known]
    if strangers:
        raise ProblemError(
            UNKNOWN_COLUMN,
            f"the payload has no column {shown(strangers[0])!r}; it has "
            + (", ".join(known) or "none at all"),
            expected=known,
            found=strangers[0],
        )


def _check_models(names: Sequence[str], explain: bool, index: Index) -> None:
    known = index.models
    strangers = [name for name in names if name not in known]
    if strangers:
        named = " or ".join(repr(shown(name)) for name in strangers)
        raise ProblemError(
            UNKNOWN_MODEL,
            f"no model is called {named}; the collection has {', '.join(known)}",
            expected=known,
            found=strangers[0],
        )
    if explain and len(names) > 1:
        raise ProblemError(
            INVALID_REQUEST,
            f"explain: expected one model, found {', '.join(names)}; explain them one by one",
            expected="one model",
            found=", ".join(names),
        )
    if explain and names[0] == KNN:
        raise ProblemError(
            INVALID_REQUEST, "plain kNN has nothing to explain; name a diffusion model"
        )


def _at_most(name: str, value: int, most: int, whose: str) -> None:
    if value > most:
        raise ProblemError(
            TOO_MANY, f"{name} is {value}, but {whose} {most}", expected=most, found=value
        )
