"""What a build tells of its stages; how far each one is, `Progress` says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

State: TypeAlias = Literal["to do", "interrupted build", "live version"]
"""Where a stage's result comes from."""


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """One stage, and whether it has to be done.

    Attributes
    ----------
    stage:
        ``choice``, ``vectors``, ``items``, ``knn``, ``neighbors``, ``similarity``, ``diffusion``.
    model:
        The model that it belongs to, if to one.
    state:
        ``to do``, or where the result is taken from.
    """

    stage: str
    model: str | None
    state: State


@dataclass(frozen=True, slots=True)
class Plan:
    """All stages in their order. Told once they are known: with `auto`, after the choice.

    Attributes
    ----------
    version:
        The live version, if there is one.
    """

    stages: tuple[PlannedStage, ...]
    version: str | None


@dataclass(frozen=True, slots=True)
class StageEvent:
    """A stage begins, is complete, or was found complete.

    Attributes
    ----------
    seconds:
        What it took now; 0 unless done.
    """

    stage: str
    model: str | None
    state: Literal["started", "done", "reused"]
    source: State = "to do"
    seconds: float = 0.0


BuildEvent: TypeAlias = Plan | StageEvent
BuildCallback: TypeAlias = Callable[[BuildEvent], None]


def nobody(_event: BuildEvent) -> None:
    """The callback of a caller who does not want to know."""
