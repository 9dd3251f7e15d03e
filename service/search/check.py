"""What a search may ask of a collection and of the service."""

from __future__ import annotations

from collections.abc import Sequence

from kinfold.search import Index
from kinfold.search.index import KNN
from service.collections import OpenCollection
from service.problems import INVALID_REQUEST, TOO_MANY, UNKNOWN_MODEL, ProblemError, shown
from service.search.question import Search
from service.settings import Settings

MOST_EXPLAINED = 100
"""Hits that one request may have explained: each costs about as much as a search."""


def check(search: Search, collection: OpenCollection, settings: Settings) -> None:
    """Refuse a model that is not there, and numbers beyond a limit or the collection's size."""
    options = search.options
    names = search.names(collection.index)
    _check_models(names, options.explain, collection.index)
    rows = len(collection.index)
    wanted = options.k_q or 1
    _at_most("k", options.k, settings.max_k, "this service allows")
    _at_most("k_q", wanted, settings.max_k, "this service allows")
    _at_most("k_q", wanted, rows, "the collection holds")
    if search.queries is None:
        _at_most("k", options.k, rows - 1, "the collection holds besides the item itself")
    else:
        _at_most("k", options.k, rows, "the collection holds")
    product = len(names) * len(search) * max(options.k, wanted)
    what = "queries × k" if len(names) == 1 else "models × queries × k"
    _at_most(what, product, settings.max_hits, "this service allows in one answer")
    if options.explain:
        product = len(search) * options.k
        _at_most("queries × k", product, MOST_EXPLAINED, "this service allows with explain")


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
