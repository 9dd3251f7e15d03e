"""Progress events. The library emits them; drawing a bar is the caller's business."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Progress:
    """One step forward in a long piece of work.

    Attributes
    ----------
    phase:
        What is being done: ``"neighbors"``, ``"affinity"``, ``"diffusion"``, ``"write"``, ….
    done, total:
        Units finished and units in all, in `unit`.
    unit:
        What is counted, e.g. ``"rows"`` or ``"bytes"``.
    """

    phase: str
    done: int
    total: int
    unit: str = "rows"


ProgressCallback: TypeAlias = Callable[[Progress], None]


def silent(_event: Progress) -> None:
    """The callback of a caller who does not want to know."""
