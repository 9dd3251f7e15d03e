"""Where the time of one search went."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter
from typing import Literal, get_args

Stage = Literal["wait", "decode", "embed", "filter", "knn", "combine", "encode"]
STAGES: tuple[Stage, ...] = get_args(Stage)


@dataclass(slots=True)
class Stages:
    """When which stage of one search began, and how long it took.

    Attributes
    ----------
    spans:
        Stage, begin (by ``time.perf_counter``) and seconds, in the order in which they ended.
        What was done for several searches at once counts for each of them.
    passed_with:
        Searches that shared the pass over the gallery, this one included; 0: it had none.
    """

    spans: list[tuple[Stage, float, float]] = field(default_factory=list)
    passed_with: int = 0

    def add(self, stage: Stage, begin: float, end: float | None = None) -> float:
        """Note a stage that ends now, or at `end`; returns when it ended."""
        over = perf_counter() if end is None else end
        self.spans.append((stage, begin, over - begin))
        return over
