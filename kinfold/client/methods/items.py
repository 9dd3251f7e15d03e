"""Items of a collection, their small pictures, and a map of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kinfold.client.addresses import collection_at
from kinfold.client.answers import GalleryMap, Id, ItemList
from kinfold.client.calls import Call, Steps
from kinfold.client.method import Caller, answer_of, content_of, method
from kinfold.client.methods.search import as_json


class Items:
    """What a collection holds, to look at."""

    @method
    def list_items(
        self: Caller,
        collection: str,
        *,
        limit: int = 50,
        offset: int = 0,
        sample: int | None = None,
        filter: Mapping[str, Any] | None = None,
    ) -> Steps[ItemList]:
        """Items with their payload: in the gallery's order, or a sample from all over it.

        Parameters
        ----------
        sample:
            Any number; another one gives others.
        filter:
            Which items, as docs/api.md describes filters.
        """
        parameters = {"limit": str(limit), "offset": str(offset)}
        if sample is not None:
            parameters["sample"] = str(sample)
        if filter is not None:
            parameters["filter"] = as_json(dict(filter))
        call = Call("GET", collection_at(collection, "items"), parameters)
        return (yield from answer_of(self, call, ItemList))

    @method
    def get_thumbnail(self: Caller, collection: str, id: Id) -> Steps[bytes]:
        """The small picture of an item, a JPEG; `NotFoundError` where it has none."""
        call = Call("GET", collection_at(collection, "thumbnail"), {"id": str(id)})
        return (yield from content_of(self, call))

    @method
    def get_map(self: Caller, collection: str) -> Steps[GalleryMap]:
        """Items in the plane, related ones beside each other; of a large gallery, a sample."""
        call = Call("GET", collection_at(collection, "map"))
        return (yield from answer_of(self, call, GalleryMap))
