"""Where the time of searches went, for those who want to know."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Literal

Stage = Literal["knn", "combine", "filter"]


@dataclass(slots=True)
class SearchTimings:
    """Seconds of each stage, added up over the searches that it was given to.

    Attributes
    ----------
    knn_seconds:
        Finding nearest neighbours.
    combine_seconds:
        Seeds, S·C, fusion, choosing the hits.
    filter_seconds:
        Evaluating the filter and the groups; next to nothing for one that was asked for before.
    """

    knn_seconds: float = 0.0
    combine_seconds: float = 0.0
    filter_seconds: float = 0.0

    def add(self, stage: Stage, seconds: float) -> None:
        """Add to a stage."""
        match stage:
            case "knn":
                self.knn_seconds += seconds
            case "combine":
                self.combine_seconds += seconds
            case "filter":
                self.filter_seconds += seconds


@contextmanager
def timed(timings: SearchTimings | None, stage: Stage) -> Iterator[None]:
    """Add the time that the block takes to a stage; None: nobody asks."""
    if timings is None:
        yield
        return
    start = perf_counter()
    try:
        yield
    finally:
        timings.add(stage, perf_counter() - start)
