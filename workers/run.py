"""Running one claimed job: a child process builds, this side keeps watch over it.

What the queue learns comes from here: progress, the heartbeat, and how it ended. The child can be
killed at any moment, and holds neither this process' memory nor its interpreter's lock.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from kinfold.errors import StorageError
from workers.changes import announce
from workers.child import BUSY, STOPPED
from workers.errors import QueueUnavailableError
from workers.jobs import BuildResult, Job, JobError, JobProgress
from workers.logs import FIELDS, worker_log
from workers.queue import JobQueue
from workers.settings import WorkerSettings

_TICK_SECONDS = 0.05
_TELL_SECONDS = 0.2
_LOOK_SECONDS = 0.25
_GRACE_SECONDS = 0.5
_CLEANING_SECONDS = 5.0
_BUSY_SECONDS = 30.0
_BUSY_PAUSE = 1.0
_RETRY_SECONDS = 1.0
_ROOT = Path(__file__).resolve().parents[1]
_NOT_RUN = "the build process ended"


class JobRunner:
    """Runs claimed jobs, one after the other.

    Parameters
    ----------
    stop:
        When it is set, the running job is handed back, with the stages that are done.
    on_look:
        Called a few times a second while a job runs.
    """

    def __init__(
        self, queue: JobQueue, stop: threading.Event, on_look: Callable[[], None] = lambda: None
    ) -> None:
        self._queue = queue
        self._stop = stop
        self._on_look = on_look

    def run(self, job: Job) -> None:
        """Run a claimed job to its end, or until somebody wants it to stop."""
        _log(job, f"job {job.id} builds {job.collection}, attempt {job.attempt}")
        watch = _Watch(self._queue, job, self._stop, self._on_look)
        patience = time.monotonic() + _BUSY_SECONDS
        while True:
            child = _Child(self._queue.settings, job)
            watch.over(child)
            is_busy = child.error is not None and child.error.type == BUSY
            if not is_busy or watch.reason or time.monotonic() > patience:
                break
            # Somebody builds by hand, or a worker that was given up has not ended yet.
            watch.over(None, _BUSY_PAUSE)
        self._end(job, child, watch.reason)

    def _end(self, job: Job, child: _Child, reason: str | None) -> None:
        """Tell the queue how it ended; for as long as that takes, since it did end."""
        if child.result is not None:
            # Even if it was to stop: it was published before it could.
            announce(self._queue.settings, job.collection, child.result.version)
        while True:
            try:
                self._queue.beat(job, child.progress)
                told = self._tell_end(job, child, reason)
            except (QueueUnavailableError, StorageError) as error:
                worker_log.warning("the end of job %s cannot be noted yet: %s", job.id, error)
                if self._stop.wait(_RETRY_SECONDS):
                    return
            else:
                state = told.status if told is not None else "somebody else's"
                _log(job, f"job {job.id} is {state}", status=state)
                return

    def _tell_end(self, job: Job, child: _Child, reason: str | None) -> Job | None:
        queue = self._queue
        if child.result is not None:
            return queue.done(job, child.result)
        if reason == "cancelled":
            return queue.cancelled(job)
        if reason == "stopping":
            return queue.hand_back(job)
        if reason == "lost":
            return None
        if child.error is not None:
            kind = "BusyError" if child.error.type == BUSY else child.error.type
            return queue.failed(job, child.error.model_copy(update={"type": kind}))
        return queue.crashed(job, child.how_it_ended())


class _Watch:
    """Looks after one run of a job: beats, progress, cancelling, stopping.

    Attributes
    ----------
    reason:
        Why the child was stopped from here: cancelled, stopping, or lost (the job is not ours any
        more).
    """

    def __init__(
        self, queue: JobQueue, job: Job, stop: threading.Event, on_look: Callable[[], None]
    ) -> None:
        self.reason: str | None = None
        self._queue = queue
        self._job = job
        self._stop = stop
        self._on_look = on_look
        self._looked = self._beaten = 0.0
        self._told: JobProgress | None = None
        self._can_reach = True

    def over(self, child: _Child | None, seconds: float = float("inf")) -> None:
        """Watch until the child has ended, or for some seconds while there is none."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.reason is None:
            if child is not None and child.wait(_TICK_SECONDS):
                break
            if child is None:
                time.sleep(_TICK_SECONDS)
            self._look(child)
        if child is not None:
            child.end()

    def _look(self, child: _Child | None) -> None:
        if self._stop.is_set():
            self.reason = "stopping"
            return
        clock = time.monotonic()
        try:
            if clock - self._looked >= _LOOK_SECONDS:
                self._looked = clock
                self._on_look()
                self._heed(self._queue.store.read(self._job.id))
            self._beat(clock, child.progress if child is not None else self._told)
        except (QueueUnavailableError, StorageError) as error:
            if self._can_reach:
                worker_log.warning("job %s goes on without its queue: %s", self._job.id, error)
            self._can_reach = False
        else:
            self._can_reach = True

    def _heed(self, record: Job | None) -> None:
        if record is None or record.claim != self._job.claim:
            self.reason = "lost"
        elif record.cancel_requested:
            self.reason = "cancelled"

    def _beat(self, clock: float, progress: JobProgress | None) -> None:
        # Twice as often as promised: one beat may be late.
        due = self._queue.settings.heartbeat_seconds / 2
        if progress is not self._told:
            due = min(due, _TELL_SECONDS)
        if clock - self._beaten >= due:
            self._queue.beat(self._job, progress)
            self._beaten, self._told = clock, progress


class _Child:
    """The process that builds, as seen from here.

    Attributes
    ----------
    progress, result, error:
        What it said last.
    """

    def __init__(self, settings: WorkerSettings, job: Job) -> None:
        self.progress: JobProgress | None = None
        self.result: BuildResult | None = None
        self.error: JobError | None = None
        shared = set(WorkerSettings.model_fields) - {"redis_url"}
        task = {
            "settings": settings.model_dump(mode="json", include=shared),
            "collection": job.collection,
            "spec": job.spec.model_dump(mode="json"),
        }
        path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            # Not from the working folder, which may be anybody's.
            [sys.executable, "-P", "-m", "workers.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            # An interrupt at the terminal is this process' business first.
            start_new_session=True,
        )
        answers = self._process.stdout
        orders = self._process.stdin
        if answers is None or orders is None:
            raise RuntimeError("a process without its pipes")
        self._orders = orders
        self._reader = threading.Thread(target=self._read, args=(answers,), daemon=True)
        self._reader.start()
        with suppress(BrokenPipeError):
            orders.write(json.dumps(task).encode() + b"\n")
            orders.flush()

    def wait(self, seconds: float) -> bool:
        """Whether it has ended, looking for some seconds."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def end(self) -> None:
        """See it out: politely, and then not."""
        if self._process.poll() is None:
            # With a result it only removes old versions, which it may finish.
            if self.result is None:
                self._process.terminate()
            if not self.wait(_GRACE_SECONDS if self.result is None else _CLEANING_SECONDS):
                self._process.kill()
        self._process.wait()
        self._reader.join()
        with suppress(BrokenPipeError):
            self._orders.close()

    def how_it_ended(self) -> str:
        """Its exit, for people."""
        code = self._process.returncode
        if code == STOPPED:
            return f"{_NOT_RUN}: somebody told it to stop"
        if code >= 0:
            return f"{_NOT_RUN} with code {code}, and said nothing"
        name = signal.Signals(-code).name
        hint = ", as happens when memory runs out" if -code == signal.SIGKILL else ""
        return f"{_NOT_RUN} by {name}{hint}"

    def _read(self, answers: IO[bytes]) -> None:
        with answers:
            for line in answers:
                with suppress(ValueError, ValidationError):
                    self._take(json.loads(line))

    def _take(self, line: dict[str, object]) -> None:
        if "progress" in line:
            self.progress = JobProgress.model_validate(line["progress"])
        elif "result" in line:
            self.result = BuildResult.model_validate(line["result"])
        elif "error" in line:
            self.error = JobError.model_validate(line["error"])


def _log(job: Job, message: str, **fields: object) -> None:
    told = {"job": job.id, "collection": job.collection, "attempt": job.attempt, **fields}
    worker_log.info(message, extra={FIELDS: told})
