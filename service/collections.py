"""The collections of the data folder: opened, warmed up, exchanged, and handed to requests.

What answers under a name is a single immutable object behind a single reference. A request takes
the reference once and keeps what it has. When another version goes live it is opened, verified and
warmed up beside the old one; then the reference is exchanged; and when the last request of the old
version has ended, nothing refers to that one any more, and its maps and descriptors are released.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import kinfold
from kinfold.errors import CorruptIndexError, FormatError, InputError, KinfoldError
from kinfold.index.collections import holds_collection
from kinfold.index.publish import COLLECTION_NAME, VERSIONS, live_version
from kinfold.progress import Progress
from service.answers import CollectionState, Status
from service.metrics import note_swap
from service.opened import OpenCollection, open_collection, warm_up
from service.places import Mark, Place, mark_of, pause_after
from service.problems import (
    COLLECTION_EMPTY,
    COLLECTION_FAILED,
    UNKNOWN_COLLECTION,
    WARMING_UP,
    ProblemError,
    shown,
)
from service.settings import Verify
from service.threads import prepare_loading
from service.watch import Watcher
from workers.logs import service_log

__all__ = ["Collections", "OpenCollection", "find_collections", "open_collection", "warm_up"]

_AT_ONCE = 2
"""Collections that are opened at once: warming up takes a core each, and searches need the rest."""


class _EndedError(Exception):
    """The service ends; what was being opened is not wanted any more."""


class Collections:
    """All collections of a data folder, as it is now.

    Opening and warming up run in threads of their own, each on one core. A collection that is
    damaged is kept as failed, with the reason, and does not stop the others; one whose next
    version is damaged goes on answering from the version it has.

    Parameters
    ----------
    verify:
        What is checked before a version answers: ``quick``, sizes and headers; ``full``, the hash
        of every file and the structure of C.
    watch_seconds:
        How often the folder is looked at.
    announce:
        Tells other processes that this one has changed a collection: its name, and the version
        that is live now. They would notice by themselves, but later.
    """

    def __init__(
        self,
        data: Path,
        verify: Verify = "quick",
        watch_seconds: float = 1.0,
        announce: Callable[[str, str | None], object] = lambda _name, _version: None,
    ) -> None:
        self._data = data
        self._announce = announce
        self._verify = verify
        self._shortest_pause = watch_seconds
        self._warned: set[str] = set()
        self._readable = True
        # Guards the four below; held for no longer than it takes to look them up.
        self._lock = threading.Lock()
        self._places = {name: self._new_place(name) for name in self._find()}
        self._loading: set[str] = set()
        self._first = set(self._places)
        self._ended = False
        self._loaders = ThreadPoolExecutor(_AT_ONCE, "kinfold-warm-up", initializer=prepare_loading)
        self.watcher = Watcher(self.look, watch_seconds)

    def start(self) -> None:
        """Begin to open, to warm up, and to watch; returns at once."""
        self.look()
        self.watcher.start()

    def close(self) -> None:
        """End the threads; waits for what they are at."""
        self.watcher.stop()
        with self._lock:
            self._ended = True
        self._loaders.shutdown(wait=True, cancel_futures=True)
        self._places.clear()

    def states(self) -> list[CollectionState]:
        """How far each collection is, by name."""
        return [place.state() for place in sorted(self._all(), key=lambda place: place.name)]

    def unsettled(self) -> list[str]:
        """Collections of the start that are still warming up; none once there was none.

        A service that answers goes on to be ready when a collection is added to it.
        """
        with self._lock:
            self._first = {
                name
                for name in self._first
                if name in self._places and self._places[name].status == "warming"
            }
            return sorted(self._first)

    def place(self, name: str) -> Place:
        """What stands under a name; raises `ProblemError` where nothing does."""
        place = self._places.get(name)
        if place is None:
            raise ProblemError(
                UNKNOWN_COLLECTION,
                f"no collection is called {shown(name)!r}; GET /v1/collections lists them",
                found=name,
            )
        return place

    def opened(self, name: str) -> tuple[OpenCollection, Status]:
        """A collection that is open, warmed up or not.

        Raises
        ------
        ProblemError
            No such collection, or it is not open yet, or it is empty, or it failed.
        """
        place = self.place(name)
        if place.opened is not None:
            return place.opened, place.status
        if place.status == "failed":
            raise ProblemError(COLLECTION_FAILED, place.reason or "it could not be opened")
        if place.status == "empty":
            raise ProblemError(
                COLLECTION_EMPTY,
                f"the collection {name!r} has no version yet; build one, or import a snapshot",
            )
        raise self._warming(name)

    def ready(self, name: str) -> OpenCollection:
        """A collection that is ready to be searched; raises `ProblemError` as `opened` does."""
        opened, status = self.opened(name)
        if status != "ready":
            raise self._warming(name)
        return opened

    def path(self, name: str) -> Path:
        """The folder of a collection that there is; raises `ProblemError` as `place` does."""
        self.place(name)
        return self._data / name

    @property
    def data(self) -> Path:
        """The data folder."""
        return self._data

    def without_folder(self, message: str) -> str:
        """A message as clients may see it: where the data folder lies is not their business."""
        return message.replace(f"{self._data}/", "").replace(str(self._data), "the data folder")

    def look(self) -> None:
        """See what is new, changed or gone in the data folder, and begin to open it.

        Returns at once. May be called by any thread.
        """
        try:
            found = self._find()
        except InputError as error:
            # What is open stays open: a disk that is away for a moment takes nothing along.
            if self._readable:
                service_log.error("%s", str(error))
            self._readable = False
            return
        self._readable = True
        now = time.monotonic()
        with self._lock:
            if self._ended:
                return
            gone = [self._places.pop(name).name for name in self._places.keys() - set(found)]
            for name in found:
                place = self._places.setdefault(name, self._new_place(name))
                if name not in self._loading and place.is_due(mark_of(self._data / name), now):
                    self._loading.add(name)
                    self._loaders.submit(self._load, name)
        for name in gone:
            service_log.info("collection %s is gone", name)

    def changed(self, name: str, version: str | None) -> None:
        """See what this process has changed itself, and tell others; not on the event loop.

        Parameters
        ----------
        version:
            That is live now; None where there is none.
        """
        self.look()
        self._announce(name, version)

    def _find(self) -> list[str]:
        return find_collections(self._data, self._warned)

    def _new_place(self, name: str) -> Place:
        is_empty = mark_of(self._data / name) is None and not _has_versions(self._data / name)
        return Place(name, "empty" if is_empty else "warming")

    def _all(self) -> list[Place]:
        with self._lock:
            return list(self._places.values())

    def _warming(self, name: str) -> ProblemError:
        return ProblemError(WARMING_UP, f"the collection {name!r} is warming up; try again shortly")

    def _load(self, name: str) -> None:
        """Follow a collection's CURRENT until it has not moved meanwhile."""
        mark = None
        try:
            while True:
                mark = mark_of(self._data / name)
                self._follow(name, mark)
                with self._lock:
                    is_gone = self._ended or name not in self._places
                    if is_gone or mark_of(self._data / name) == mark:
                        self._loading.discard(name)
                        return
        except _EndedError:
            return
        except Exception:
            service_log.exception("collection %s failed", name)
            self._fail(name, mark, "it could not be opened; the log of the service has the reason")
        with self._lock:
            self._loading.discard(name)

    def _follow(self, name: str, mark: Mark | None) -> None:
        """Open what CURRENT names, unless it is open already."""
        path = self._data / name
        place = self._places.get(name)
        if place is None:
            return
        if mark is None and not _has_versions(path):
            # Dropped and created again.
            self._change(name, lambda place: Place(name, "empty"))
            return
        try:
            version = live_version(path)
            if _answers(place, version):
                self._change(name, lambda place: Place(name, "ready", place.opened, mark=mark))
                return
            self._change(name, lambda place: place.on_the_way_to(version.name))
            self._bring_up(name, mark)
        except KinfoldError as error:
            if mark_of(path) == mark:
                self._fail(name, mark, self.without_folder(str(error)))

    def _bring_up(self, name: str, mark: Mark | None) -> None:
        """Open, verify, warm up, exchange."""
        opened = open_collection(self._data / name)
        self._check(opened)
        place = self._places.get(name)
        if place is not None and place.status != "ready":
            # Nothing answers yet: it can be described at least.
            self._change(name, lambda place: replace(place, status="warming", opened=opened))
        warm_up(opened.index)
        if self._was_taken_back(name, opened):
            return
        self._change(name, lambda _: Place(name, "ready", opened, mark=mark))
        if place is not None and place.status == "ready":
            note_swap(name)
        # As text: whoever keeps the record must not keep the index, and all that it maps.
        service_log.info("collection %s is ready: %s", name, repr(opened.index))
        weakref.finalize(opened, _released, name, opened.version).atexit = False

    def _check(self, opened: OpenCollection) -> None:
        """With ``full``: everything that `kinfold verify` checks."""
        if self._verify == "quick":
            return

        def go_on(_: Progress) -> None:
            if self._ended:
                raise _EndedError

        report = kinfold.verify(opened.index.version, go_on)
        if not report.ok:
            more = f" and {len(report.problems) - 1} more" if len(report.problems) > 1 else ""
            raise CorruptIndexError(f"{report.problems[0]}{more}")

    def _was_taken_back(self, name: str, opened: OpenCollection) -> bool:
        """Whether CURRENT names the version again that answers now: then nothing is exchanged."""
        place = self._places.get(name)
        try:
            return (
                place is not None
                and place.opened is not opened
                and _answers(place, live_version(self._data / name))
            )
        except FormatError:
            return False

    def _fail(self, name: str, mark: Mark | None, reason: str) -> None:
        """Note a failure: what answers goes on answering."""

        def failed(place: Place) -> Place:
            serves = place.status == "ready"
            failures = place.failures + 1 if place.mark == mark else 1
            if reason != place.reason:
                also = (
                    f"; version {place.opened.version} goes on" if place.opened and serves else ""
                )
                service_log.error("collection %s failed: %s%s", name, reason, also)
            return Place(
                name,
                "ready" if serves else "failed",
                place.opened if serves else None,
                reason=reason,
                mark=mark,
                failures=failures,
                retry_at=time.monotonic() + pause_after(failures, self._shortest_pause),
            )

        self._change(name, failed)

    def _change(self, name: str, change: Callable[[Place], Place]) -> None:
        """Exchange what stands under a name, unless nothing does any more."""
        with self._lock:
            if self._ended:
                raise _EndedError
            if name in self._places:
                self._places[name] = change(self._places[name])


def _answers(place: Place, version: Path) -> bool:
    return (
        place.status == "ready"
        and place.opened is not None
        and place.opened.index.version == version
    )


def _released(name: str, version: str) -> None:
    service_log.info("collection %s: version %s is released", name, version)


def _has_versions(folder: Path) -> bool:
    """Whether something was published; then a missing CURRENT is damage."""
    try:
        return any(not entry.name.startswith(".") for entry in (folder / VERSIONS).iterdir())
    except OSError:
        return False


def find_collections(data: Path, warned: set[str] | None = None) -> list[str]:
    """Names of the sub-folders that hold a collection, sorted.

    Parameters
    ----------
    warned:
        Names that cannot be served and were logged already; what is logged now is added.

    Raises
    ------
    InputError
        The data folder cannot be read.
    """
    try:
        found = sorted(
            folder.name
            for folder in data.iterdir()
            if not folder.name.startswith(".") and holds_collection(folder)
        )
    except OSError as error:
        raise InputError(
            f"KINFOLD_DATA: expected a folder of collections, {data} cannot be read: "
            f"{error.strerror}"
        ) from None
    told = set() if warned is None else warned
    for name in found:
        if not COLLECTION_NAME.fullmatch(name) and name not in told:
            told.add(name)
            service_log.warning(
                "%s is not served: expected a name of at most 64 characters a-z, 0-9, _ and -, "
                "the first a letter or digit",
                data / name,
            )
    return [name for name in found if COLLECTION_NAME.fullmatch(name)]
