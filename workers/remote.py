"""A worker that takes jobs from Redis: RQ's loop around our own runner."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from types import FrameType
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker
from rq.exceptions import StopRequested
from rq.job import Job as Slip
from rq.serializers import JSONSerializer
from rq.worker import WorkerStatus

from kinfold.errors import StorageError
from workers.connection import connect
from workers.deliveries import DELIVER, delivered_to, rq_queue
from workers.errors import QueueUnavailableError
from workers.local import worker_name
from workers.logs import worker_log
from workers.queue import JobQueue
from workers.run import JobRunner
from workers.watchman import Watchman

_ALIVE_SECONDS = 30
_TIMEOUT = 25.0
_ALIVE_PAUSE = 10.0
_LEAST_PAUSE = 0.5
_MOST_PAUSE = 5.0


class RemoteWorker:
    """Runs the jobs of a queue on Redis, one at a time; comes back by itself when Redis does."""

    def __init__(self, queue: JobQueue) -> None:
        url = queue.settings.redis_url
        if url is None:
            raise ValueError("a worker on Redis needs its address")
        self._queue = queue
        self._client = connect(url.get_secret_value(), _TIMEOUT)
        self._stop = threading.Event()
        self._runner = JobRunner(queue, self._stop, self._keep_alive)
        self._watchman = Watchman(queue)
        self._loop: _Loop | None = None
        self._said = 0.0
        self._ran = 0

    def stop(self) -> None:
        """Ask for the end."""
        self._stop.set()

    def work(self, *, burst: bool = False, most: int | None = None) -> int:
        """As `LocalWorker.work`; in the main thread, whose signals it takes."""
        _log_as_we_do()
        self._warn_without_persistence()
        self._watchman.start()
        pause = _LEAST_PAUSE
        try:
            while not self._stop.is_set():
                try:
                    self._work_once(burst, None if most is None else most - self._ran)
                    pause = _LEAST_PAUSE
                    if burst or (most is not None and self._ran >= most):
                        break
                except RedisError as error:
                    worker_log.warning("Redis: %s; trying again in %.1f s", error, pause)
                self._stop.wait(pause)
                pause = min(2 * pause, _MOST_PAUSE)
        except StopRequested:
            pass
        finally:
            self._watchman.close()
        return self._ran

    def _work_once(self, burst: bool, most: int | None) -> None:
        """RQ's loop, until it ends: because it is to, or because Redis was away."""
        self._loop = _Loop([rq_queue(self._client)], self._client, self._stop)
        with delivered_to(self._run):
            self._loop.work(burst=burst, max_jobs=most, logging_level=None)

    def _run(self, job_id: str) -> None:
        """Run a job whose id was delivered; what fails here is found by the watchman."""
        try:
            job = self._queue.claim(job_id, worker_name())
            if job is None:
                worker_log.info("job %s is over, or somebody else's", job_id)
                return
            self._ran += 1
            self._runner.run(job)
        except (QueueUnavailableError, StorageError) as error:
            worker_log.warning("job %s cannot be taken: %s", job_id, error)

    def _keep_alive(self) -> None:
        """Let RQ know, too, that this worker lives."""
        clock = time.monotonic()
        if self._loop is not None and clock - self._said > _ALIVE_PAUSE:
            self._said = clock
            with suppress(RedisError):
                self._loop.keep_alive()

    def _warn_without_persistence(self) -> None:
        with suppress(RedisError):
            found = self._client.config_get("appendonly")
            if isinstance(found, dict) and found.get("appendonly") == "no":
                worker_log.warning(
                    "Redis keeps no log of its changes (appendonly no): jobs do not survive its "
                    "restart; see docs/jobs.md"
                )


class _Loop(SimpleWorker):
    """RQ's worker, which here only fetches ids; a job runs in a child of `JobRunner`."""

    max_connection_wait_time = _MOST_PAUSE

    def __init__(self, queues: list[Queue], client: Redis, stop: threading.Event) -> None:
        super().__init__(
            queues, connection=client, serializer=JSONSerializer, worker_ttl=_ALIVE_SECONDS
        )
        self._stop = stop
        self._running: tuple[Slip, Any] | None = None

    def execute_job(self, job: Slip, queue: Queue) -> None:
        """Run a delivery. Whoever can write to Redis must not choose what is run here."""
        if not _is_ours(job):
            worker_log.error("Redis holds a job that is none of ours, removed: %s", job.id)
            job.delete()
            return
        execution = self.prepare_execution(job)
        self._running = job, execution
        try:
            self.perform_job(job, queue, execution)
        finally:
            self._running = None
            self.set_state(WorkerStatus.IDLE)

    def keep_alive(self) -> None:
        """Prolong what RQ knows of this worker and of its delivery."""
        if self._running is not None:
            self.maintain_heartbeats(*self._running)

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Take SIGTERM and SIGINT: the runner hands its job back, and the loop ends."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._stop_requested = True
        if self._state != WorkerStatus.BUSY:
            raise StopRequested

    def subscribe(self) -> None:
        """Take no commands over Redis; signals do."""

    def unsubscribe(self) -> None:
        """There is nothing to take back."""

    def procline(self, message: str) -> None:
        """Leave the name of the process as it is."""

    def teardown(self) -> None:
        """Sign off, if Redis is there to hear it."""
        with suppress(RedisError):
            super().teardown()  # type: ignore[no-untyped-call]


def _is_ours(job: Slip) -> bool:
    """Whether a delivery calls our function and nothing else."""
    others = (
        job._success_callback_name, job._failure_callback_name, job._stopped_callback_name,
        job.webhooks,
    )  # fmt: skip
    try:
        return job.func_name == DELIVER and job.instance is None and not any(others)
    except Exception:
        # What is no JSON is not ours either, whatever it is.
        return False


def _log_as_we_do() -> None:
    """RQ's log lines go where ours go; what it says of every delivery is noise."""
    for name in ("rq.worker", "rq.job", "rq.queue", "rq.registry"):
        logging.getLogger(name).setLevel(logging.WARNING)
