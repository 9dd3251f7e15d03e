"""Waiting until this process answers from a version that has gone live."""

from __future__ import annotations

import time

import anyio

from service.collections import Collections
from service.places import mark_of
from service.problems import COLLECTION_FAILED, ProblemError
from service.version_answers import Activated

_LOOK_SECONDS = 0.02


async def follow(
    collections: Collections, name: str, version: str, previous: str | None, seconds: float
) -> Activated:
    """Wait, at most so long, until this process has gone over to a version that it has seen.

    Raises
    ------
    ProblemError
        It cannot: the version is damaged in a way that showed only now.
    """
    end = time.monotonic() + seconds
    while True:
        place = collections.place(name)
        serving = place.opened.version if place.opened and place.status == "ready" else None
        if serving == version and place.reason is None:
            return Activated(collection=name, version=version, previous=previous, serving=True)
        # Of the CURRENT file that is there now, and not of one before it.
        if place.reason is not None and place.mark == mark_of(collections.data / name):
            goes_on = "; the version before goes on answering" if serving else ""
            raise ProblemError(
                COLLECTION_FAILED,
                f"version {version} is live, but cannot be served: {place.reason}{goes_on}",
            )
        if time.monotonic() >= end:
            return Activated(collection=name, version=version, previous=previous, serving=False)
        await anyio.sleep(_LOOK_SECONDS)
