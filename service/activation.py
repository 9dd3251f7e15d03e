"""Waiting until this process answers from a version that has gone live."""

from __future__ import annotations

import time

import anyio

from service.collections import Collections
from service.problems import COLLECTION_FAILED, ProblemError
from service.version_answers import Activated

_LOOK_SECONDS = 0.02


async def follow(
    collections: Collections, name: str, version: str, previous: str | None, seconds: float
) -> Activated:
    """Wait, at most so long, until this process has gone over to a version.

    Raises
    ------
    ProblemError
        It cannot: the version is damaged in a way that showed only now.
    """
    before = _failures(collections, name)
    collections.look()
    end = time.monotonic() + seconds
    while True:
        place = collections.place(name)
        serving = place.opened.version if place.opened and place.status == "ready" else None
        if serving == version and place.reason is None:
            return Activated(collection=name, version=version, previous=previous, serving=True)
        if place.reason is not None and _failures(collections, name) != before:
            goes_on = "; the version before goes on answering" if serving else ""
            raise ProblemError(
                COLLECTION_FAILED,
                f"version {version} is live, but cannot be served: {place.reason}{goes_on}",
            )
        if time.monotonic() >= end:
            return Activated(collection=name, version=version, previous=previous, serving=False)
        await anyio.sleep(_LOOK_SECONDS)


def _failures(collections: Collections, name: str) -> object:
    place = collections.place(name)
    return place.mark, place.failures
