"""What a build tells of itself, as events for other programs: plain values, ready for JSON."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from kinfold.pipeline.events import BuildEvent, Plan, StageEvent
from kinfold.progress import Progress

Event: TypeAlias = dict[str, Any]
EventCallback: TypeAlias = Callable[[Event], None]

INTERVAL = 0.2
"""Seconds between two progress events of one phase; its first and its last are always told."""

_LEAST_SHARE = 0.02
_LEAST_SECONDS = 0.5
_MOST_CORRECTION = 20.0


@dataclass(frozen=True, slots=True)
class StageSummary:
    """What became of a stage.

    Attributes
    ----------
    how:
        ``computed``, or ``reused``.
    source:
        Where it was reused from: ``interrupted build`` or ``live version``; None if computed.
    seconds:
        What it took in this build.
    """

    stage: str
    model: str | None
    how: str
    source: str | None
    seconds: float

    def as_json(self) -> Event:
        """For machines."""
        return {
            "stage": self.stage,
            "model": self.model,
            "how": self.how,
            "source": self.source,
            "seconds": self.seconds,
        }


class Reporter:
    """Turns what the library tells into events, a few a second.

    The time that is left is that of the phase at its own speed, and for all stages after it the
    estimate, corrected by what the finished stages took instead of theirs.

    Parameters
    ----------
    events:
        Called with each event, from the thread that builds.
    estimates:
        Seconds of each stage by its name, in order.
    """

    def __init__(
        self,
        events: EventCallback,
        estimates: Mapping[str, float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._events = events
        self._clock = clock
        self._begun = clock()
        self._waiting = dict(estimates)
        self._total = len(estimates)
        self._estimated = self._measured = 0.0
        self._expected = 0.0
        self.stage: str | None = None
        self.model: str | None = None
        self._stage_begun = self._begun
        self._phase: str | None = None
        self._phase_begun = self._phase_end = self._told = self._begun
        self.summaries: list[StageSummary] = []

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return self._clock() - self._begun

    def tell(self, event: str, **values: Any) -> None:
        """Tell of something as it is."""
        self._events({"event": event, **values})

    def stages(self, event: BuildEvent) -> None:
        """Take in what happens to stages."""
        if isinstance(event, Plan):
            self._plan(event)
        elif event.state == "started":
            self._start(event)
        else:
            self._finish(event)

    def progress(self, event: Progress) -> None:
        """Take in one step forward."""
        now = self._clock()
        first, last = event.phase != self._phase, event.done >= event.total
        if first:
            # A phase begins where the one before it ended, long before its own first event.
            self._phase_begun = self._phase_end
            self._phase = event.phase
        self._phase_end = now
        if not first and not last and now - self._told < INTERVAL:
            return
        self._told = now
        elapsed = now - self._phase_begun
        self.tell(
            "progress",
            stage=self.stage,
            model=self.model,
            phase=event.phase,
            done=event.done,
            total=event.total,
            unit=event.unit,
            rate=round(event.done / elapsed, 3) if elapsed > 0 else None,
            eta_seconds=round(self._left(event, now), 1),
            stages_done=len(self.summaries),
            stages_total=self._total,
            rss_bytes=rss_bytes(),
            peak_rss_bytes=peak_rss_bytes(),
            elapsed_seconds=round(now - self._begun, 3),
        )

    def _plan(self, plan: Plan) -> None:
        names = [_name(stage.stage, stage.model) for stage in plan.stages]
        finished = {_name(done.stage, done.model) for done in self.summaries}
        # A stage that is taken over takes no time, and one that is not planned never comes.
        self._waiting = {
            name: self._waiting.get(name, 0.0)
            for name, stage in zip(names, plan.stages, strict=True)
            if name not in finished and stage.state == "to do"
        }
        self._total = len(names)
        self.tell(
            "plan",
            version=plan.version,
            stages=[
                {
                    "stage": stage.stage,
                    "model": stage.model,
                    "state": stage.state,
                    "estimate_seconds": round(self._waiting.get(name, 0.0), 1),
                }
                for name, stage in zip(names, plan.stages, strict=True)
            ],
        )

    def _start(self, event: StageEvent) -> None:
        self.stage, self.model = event.stage, event.model
        self._stage_begun = self._phase_end = self._clock()
        self._phase = None
        self._expected = self._waiting.pop(_name(event.stage, event.model), 0.0)
        self.tell("stage", stage=event.stage, model=event.model, state="started")

    def _finish(self, event: StageEvent) -> None:
        reused = event.state == "reused"
        name = _name(event.stage, event.model)
        expected = self._waiting.pop(name, 0.0) if reused else self._expected
        if not reused:
            self._estimated += expected
            self._measured += event.seconds
            self._expected = 0.0
        self.summaries.append(
            StageSummary(
                event.stage,
                event.model,
                "reused" if reused else "computed",
                event.source if reused else None,
                event.seconds,
            )
        )
        self.stage = self.model = self._phase = None
        self._phase_end = self._clock()
        self.tell(
            "stage",
            stage=event.stage,
            model=event.model,
            state=event.state,
            source=event.source if reused else None,
            seconds=event.seconds,
        )

    def _left(self, event: Progress, now: float) -> float:
        correction = 1.0
        if self._estimated > 0 and self._measured > 0:
            correction = self._measured / self._estimated
            correction = min(max(correction, 1 / _MOST_CORRECTION), _MOST_CORRECTION)
        share = event.done / event.total if event.total else 1.0
        elapsed = now - self._phase_begun
        if share >= _LEAST_SHARE and (elapsed >= _LEAST_SECONDS or share >= 1):
            here = elapsed * (1 - share) / share
        else:
            here = max(0.0, self._expected * correction - (now - self._stage_begun))
        return here + correction * sum(self._waiting.values())


def _name(stage: str, model: str | None) -> str:
    return stage if model is None else f"{stage}:{model}"


def rss_bytes() -> int:
    """Memory that this process holds now, mapped files included."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return peak_rss_bytes()
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak_rss_bytes() -> int:
    """The most that it has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
