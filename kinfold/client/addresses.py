"""The service's addresses, made of names that stay names."""

from __future__ import annotations

from urllib.parse import quote

from kinfold.errors import InputError

COLLECTIONS = "/v1/collections"


def collection_at(collection: str, *more: str) -> str:
    """The address of a collection, or of something in it.

    Raises
    ------
    InputError
        A name that would lead elsewhere.
    """
    return "/".join([COLLECTIONS, *(segment(name) for name in (collection, *more))])


def segment(name: str) -> str:
    """A name as one part of a path."""
    if not isinstance(name, str) or name in {"", ".", ".."}:
        raise InputError(f"expected a name, found {name!r}")
    return quote(name, safe="")
