"""Maps of the collections that are open, each made when it is first asked for."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Any

import orjson

from kinfold.search.atlas import make_atlas
from service.collections import OpenCollection

_MOST = 8


class Atlases:
    """The maps that were asked for last, as answers; shared by threads.

    One is made at a time: each takes a core for about a second.
    """

    def __init__(self) -> None:
        self._answers: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._lock = Lock()

    def of(self, collection: OpenCollection) -> bytes:
        """The map of a collection's version."""
        key = (collection.name, collection.version)
        with self._lock:
            if key not in self._answers:
                self._answers[key] = orjson.dumps(
                    _described(collection), option=orjson.OPT_SERIALIZE_NUMPY
                )
                while len(self._answers) > _MOST:
                    self._answers.popitem(last=False)
            self._answers.move_to_end(key)
            return self._answers[key]


def _described(collection: OpenCollection) -> dict[str, Any]:
    index = collection.index
    atlas = make_atlas(index)
    return {
        "collection": collection.name,
        "version": collection.version,
        "total": len(index),
        "ids": index.ids_of(atlas.positions).tolist(),
        "x": atlas.places[:, 0].round(4).tolist(),
        "y": atlas.places[:, 1].round(4).tolist(),
        "edges": atlas.edges,
    }
