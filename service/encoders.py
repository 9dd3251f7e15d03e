"""The encoders of the collections that are open: loaded once, when a picture first comes."""

from __future__ import annotations

import json
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING

from kinfold.errors import KinfoldError
from kinfold.index.extras import EncoderFile
from service.collections import OpenCollection
from service.problems import NO_ENCODER, ProblemError
from workers.logs import service_log

if TYPE_CHECKING:
    from kinfold.encoders import Encoder

_MOST = 4
"""Each keeps its network in memory."""


class Encoders:
    """Encoders by what they are, so that the versions of a collection share theirs."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, Encoder] = OrderedDict()
        self._lock = Lock()

    def of(self, collection: OpenCollection) -> Encoder:
        """The encoder of a collection; raises `ProblemError` where it has none, or it fails."""
        file = collection.index.extras.encoder
        if file is None:
            raise ProblemError(
                NO_ENCODER,
                f"the collection {collection.name!r} was built from vectors; search it by vectors, "
                "or build it from a folder of pictures",
            )
        key = f"{file.sha256} {json.dumps(file.spec, sort_keys=True)}"
        with self._lock:
            if key not in self._open:
                self._open[key] = _load(file, collection.name)
                while len(self._open) > _MOST:
                    self._open.popitem(last=False)
            self._open.move_to_end(key)
            return self._open[key]


def _load(file: EncoderFile, collection: str) -> Encoder:
    try:
        from kinfold.encoders import EncoderSpec, open_encoder
    except ImportError:
        raise ProblemError(
            NO_ENCODER,
            "this service was installed without what reads pictures; the operator can add it: "
            "pip install 'kinfold[images]'",
        ) from None
    try:
        # A search has a core to itself.
        return open_encoder(EncoderSpec.model_validate(file.spec), file.model, threads=1)
    except (KinfoldError, ValueError) as error:
        service_log.error("collection %s: its encoder fails: %s", collection, error)
        raise ProblemError(
            NO_ENCODER, "the collection's encoder cannot be loaded; the log says why"
        ) from None
