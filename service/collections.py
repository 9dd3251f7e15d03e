"""The collections of the data folder: opened, warmed up, and handed to requests.

Each one that is open is a single immutable object behind a single reference. A request takes the
reference once and keeps what it has, whatever becomes of the reference.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinfold.errors import InputError, KinfoldError
from kinfold.index import Manifest
from kinfold.index.publish import COLLECTION_NAME, CURRENT
from kinfold.search import Index, open_index
from kinfold.search.fusion import FUSIONS
from kinfold.search.index import KNN
from service.answers import CollectionInfo, CollectionState, ModelInfo, Status
from service.payload import Payload
from service.pool import use_one_core
from service.problems import COLLECTION_FAILED, UNKNOWN_COLLECTION, WARMING_UP, ProblemError, shown
from workers.logs import service_log

_PROBE_K = 10


@dataclass(frozen=True, slots=True)
class OpenCollection:
    """One version of a collection, open."""

    name: str
    index: Index
    payload: Payload


@dataclass(frozen=True, slots=True)
class _Place:
    """What stands under a collection's name: one reference, exchanged as a whole."""

    name: str
    status: Status
    opened: OpenCollection | None = None
    reason: str | None = None

    def state(self) -> CollectionState:
        opened = self.opened
        return CollectionState(
            name=self.name,
            status=self.status,
            reason=self.reason,
            version=opened.index.version.name if opened else None,
            rows=len(opened.index) if opened else None,
            dimension=opened.index.dimension if opened else None,
        )


class Collections:
    """All collections of a data folder.

    Opening and warming up run in a thread of their own, a collection after the other.
    One that is damaged is kept as failed, with the reason, and does not stop the others.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self._places = {name: _Place(name, "warming") for name in find_collections(data)}
        self._worker = ThreadPoolExecutor(1, "kinfold-warm-up", initializer=use_one_core)

    def start(self) -> None:
        """Begin to open and to warm up; returns at once."""
        for name in self._places:
            self._worker.submit(self._bring_up, name)

    def close(self) -> None:
        """End the thread; waits for the collection that it is at."""
        self._worker.shutdown(wait=True, cancel_futures=True)

    def states(self) -> list[CollectionState]:
        """How far each collection is, by name."""
        return [place.state() for place in self._places.values()]

    def opened(self, name: str) -> tuple[OpenCollection, Status]:
        """A collection that is open, warmed up or not.

        Raises
        ------
        ProblemError
            No such collection, or it is not open yet, or it failed.
        """
        place = self._places.get(name)
        if place is None:
            raise ProblemError(
                UNKNOWN_COLLECTION,
                f"no collection is called {shown(name)!r}; GET /v1/collections lists them",
                found=name,
            )
        if place.status == "failed":
            raise ProblemError(COLLECTION_FAILED, place.reason or "it could not be opened")
        if place.opened is None:
            raise self._warming(name)
        return place.opened, place.status

    def ready(self, name: str) -> OpenCollection:
        """A collection that is ready to be searched; raises `ProblemError` as `opened` does."""
        opened, status = self.opened(name)
        if status != "ready":
            raise self._warming(name)
        return opened

    def without_folder(self, message: str) -> str:
        """A message as clients may see it: where the data folder lies is not their business."""
        return message.replace(f"{self._data}/", "")

    def _warming(self, name: str) -> ProblemError:
        return ProblemError(WARMING_UP, f"the collection {name!r} is warming up; try again shortly")

    def _bring_up(self, name: str) -> None:
        try:
            opened = open_collection(self._data / name)
            self._places[name] = _Place(name, "warming", opened)
            warm_up(opened.index)
            self._places[name] = _Place(name, "ready", opened)
            # As text: whoever keeps the record must not keep the index, and all that it maps.
            service_log.info("collection %s is ready: %s", name, repr(opened.index))
        except KinfoldError as error:
            self._places[name] = _Place(name, "failed", reason=self.without_folder(str(error)))
            service_log.error("collection %s failed: %s", name, error)
        except Exception:
            reason = "it could not be opened; the log of the service has the reason"
            self._places[name] = _Place(name, "failed", reason=reason)
            service_log.exception("collection %s failed", name)


def find_collections(data: Path) -> list[str]:
    """Names of the sub-folders that hold a collection, sorted.

    Raises
    ------
    InputError
        The data folder cannot be read.
    """
    try:
        found = sorted(folder.name for folder in data.iterdir() if _holds_collection(folder))
    except OSError as error:
        raise InputError(
            f"KINFOLD_DATA: expected a folder of collections, {data} cannot be read: "
            f"{error.strerror}"
        ) from None
    for name in found:
        if not COLLECTION_NAME.fullmatch(name):
            service_log.warning(
                "%s is not served: expected a name of at most 64 characters a-z, 0-9, _ and -, "
                "the first a letter or digit",
                data / name,
            )
    return [name for name in found if COLLECTION_NAME.fullmatch(name)]


def _holds_collection(folder: Path) -> bool:
    try:
        return (folder / CURRENT).exists()
    except OSError:
        # Whatever is wrong with it shows, with a reason, when it is opened.
        return True


def open_collection(path: Path) -> OpenCollection:
    """Open the live version of a collection."""
    index = open_index(path)
    return OpenCollection(path.name, index, Payload(index.version, index.manifest))


def warm_up(index: Index) -> None:
    """Do everything once that a request may do, so that none waits for a kernel to compile."""
    index.warm_up()
    probe = np.array(index.vectors[:1])
    k = min(_PROBE_K, len(index))
    first = index.ids_of(np.zeros(1, dtype=np.uint32)).tolist()[0]
    # An approximate engine that finds fewer than k is a matter of the request, not of the index.
    with suppress(InputError):
        for model in index.models:
            # One seed reaches little, so that filling up from kNN is done, too.
            index.search(probe, k, model, k_q=1)
            if model != KNN:
                index.explain(probe, first, model)
        for fusion in FUSIONS:
            index.search(probe, k, index.models, k_q=1, fusion=fusion)


def describe(collection: OpenCollection, status: Status) -> CollectionInfo:
    """All that the manifest tells of a collection."""
    manifest = collection.index.manifest
    return CollectionInfo(
        name=collection.name,
        status=status,
        version=collection.index.version.name,
        created=manifest.created,
        kinfold_version=manifest.kinfold_version,
        rows=manifest.rows,
        dimension=manifest.dimension,
        metric=manifest.metric,
        ids=manifest.ids,
        payload_columns=manifest.payload_columns,
        engine=manifest.engine,
        neighbor_recall=manifest.neighbor_recall,
        default_model=manifest.default_model,
        models=collection.index.models,
        details=[
            _describe_model(name, manifest) for name in collection.index.models if name != KNN
        ],
    )


def _describe_model(name: str, manifest: Manifest) -> ModelInfo:
    info = manifest.models[name]
    return ModelInfo(
        name=name,
        parameters=info.config,
        stored=info.stored,
        mean_row=round(info.stored / manifest.rows, 2),
        longest_row=info.longest_row,
        dtype=info.dtype,
        edges=info.edges,
        isolated=info.isolated,
        not_converged=info.not_converged,
        mean_iterations=info.mean_iterations,
    )
