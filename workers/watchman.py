"""Notices jobs whose worker is gone, and jobs that got lost on their way to one."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import datetime

from kinfold.errors import StorageError
from workers.errors import QueueUnavailableError
from workers.jobs import Job
from workers.logs import worker_log
from workers.queue import JobQueue
from workers.uploads import remove_old_uploads

_PATIENCE = 2.5
_CLEANING_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class _Sign:
    """What is heard of a job; a job that lives gives a new one with every beat."""

    status: str
    claim: str | None
    delivery: int
    beat: datetime | None


class Watchman:
    """Looks at all active jobs again and again, in a thread of its own.

    A job is given up when this watchman itself has heard the same of it for 2.5 heartbeats: with
    the time until the look that finds it, three. Clocks of other machines do not matter, and after
    an outage of the store every job is given the whole time anew.
    """

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self._seconds = queue.settings.heartbeat_seconds
        self._heard: dict[str, tuple[_Sign, float]] = {}
        self._cleaned = float("-inf")
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look."""
        self._thread = threading.Thread(target=self._run, name="kinfold-watchman", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def look(self) -> None:
        """Look once; raises `QueueUnavailableError`, after which nothing heard before counts."""
        clock = time.monotonic()
        try:
            jobs = self._queue.active()
            for job in jobs:
                if self._is_silent(job, clock):
                    self._heard.pop(job.id, None)
                    self._act(job)
        except (QueueUnavailableError, StorageError):
            self._heard.clear()
            raise
        active = {job.id for job in jobs}
        self._heard = {key: value for key, value in self._heard.items() if key in active}
        if clock - self._cleaned > _CLEANING_SECONDS:
            self._cleaned = clock
            self._clean(jobs)

    def _is_silent(self, job: Job, clock: float) -> bool:
        beat = self._queue.store.read_beat(job.id) if job.status == "running" else None
        sign = _Sign(job.status, job.claim, job.delivery, None if beat is None else beat.at)
        heard = self._heard.get(job.id)
        if heard is None or heard[0] != sign:
            self._heard[job.id] = (sign, clock)
            return False
        return clock - heard[1] >= _PATIENCE * self._seconds

    def _act(self, job: Job) -> None:
        if job.status == "running":
            worker_log.warning("job %s: nothing is heard of worker %s any more", job.id, job.worker)
            self._queue.crashed(job, "the worker was not heard of any more")
        elif not self._queue.delivery.is_waiting(job):
            worker_log.warning("job %s got lost on its way to a worker; sent again", job.id)
            self._queue.deliver_again(job)

    def _clean(self, jobs: list[Job]) -> None:
        settings = self._queue.settings
        self._queue.store.remove_expired()
        used = {job.spec.upload for job in jobs if job.spec.upload is not None}
        remove_old_uploads(settings.data, settings.job_ttl_hours, used)

    def _run(self) -> None:
        can_reach = True
        while not self._stop.wait(self._seconds / 2):
            try:
                self.look()
            except (QueueUnavailableError, StorageError) as error:
                if can_reach:
                    worker_log.warning("jobs cannot be looked at: %s", error)
                can_reach = False
            except Exception:
                # Whatever it is, the next look must come.
                worker_log.exception("looking at the jobs failed")
            else:
                can_reach = True
