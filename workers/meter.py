"""From the progress events of a build to what a job tells of itself."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil

from kinfold.progress import Progress
from workers.jobs import JobProgress

_LEAST_SECONDS = 0.1


class Meter:
    """Turns events into `JobProgress`, a few a second at most, with rate, ETA and memory.

    Parameters
    ----------
    tell:
        Takes what is worth telling: the first and the last event of a phase, and one in
        `_LEAST_SECONDS` in between.
    """

    def __init__(self, tell: Callable[[JobProgress], None]) -> None:
        self._tell = tell
        self._process = psutil.Process()
        self._phase: tuple[str | None, str] | None = None
        self._seen = self._begun = self._told = time.monotonic()

    def __call__(self, event: Progress) -> None:
        """Take an event."""
        stage: str | None = getattr(event, "stage", None)
        clock = time.monotonic()
        is_new = self._phase != (stage, event.phase)
        if is_new:
            # A phase begins where the one before it ended, long before its own first event.
            self._phase, self._begun = (stage, event.phase), self._seen
        self._seen = clock
        if not is_new and event.done < event.total and clock - self._told < _LEAST_SECONDS:
            return
        self._told = clock
        seconds = clock - self._begun
        rate = event.done / seconds if seconds > 0 and event.done else None
        self._tell(
            JobProgress(
                stage=stage,
                phase=event.phase,
                done=event.done,
                total=event.total,
                unit=event.unit,
                rate=None if rate is None else round(rate, 1),
                eta_seconds=None if rate is None else round((event.total - event.done) / rate, 1),
                stages_done=getattr(event, "stages_done", None),
                stages_total=getattr(event, "stages_total", None),
                rss_bytes=self._process.memory_info().rss,
            )
        )
