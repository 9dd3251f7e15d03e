"""The jobs' own rules: who may change what, and when; the same on every store."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from indexer import collection_path
from workers.errors import (
    BuildInProgressError,
    JobStateError,
    QueueUnavailableError,
    UnknownJobError,
)
from workers.jobs import (
    MOST_ATTEMPTS,
    Beat,
    BuildResult,
    BuildSpec,
    Job,
    JobError,
    JobProgress,
    new_id,
    now,
)
from workers.logs import worker_log
from workers.settings import WorkerSettings
from workers.sources import check_source
from workers.store import Change, Delivery, JobStore

POLL_SECONDS = 0.2

LOST = "WorkerLost"
"""The type of the error of a job whose worker or process died too often."""


class JobQueue:
    """Asks for builds, follows them, and, on the other side, runs them.

    All methods block for as long as the store does, and are safe to call from any thread.
    """

    def __init__(self, settings: WorkerSettings, store: JobStore, delivery: Delivery) -> None:
        self.settings = settings
        self.store = store
        self.delivery = delivery

    # For those who ask

    def enqueue(self, collection: str, spec: BuildSpec, asked_by: str | None = None) -> Job:
        """Ask for a build; it is kept durably when this returns.

        Raises
        ------
        BuildInProgressError
            A build of the collection is queued or running.
        SourceError, UnknownUploadError
            There is nothing to build from.
        QueueUnavailableError
            The job may or may not have been kept.
        """
        folder = collection_path(self.settings.data, collection)
        check_source(self.settings, folder, spec)
        job = Job(id=new_id(), collection=collection, spec=spec, created=now(), asked_by=asked_by)
        self.store.add(job)
        self._send(job)
        return job

    def get(self, job_id: str) -> Job:
        """A job as it is now; raises `UnknownJobError`."""
        job = self.store.read(job_id)
        if job is None:
            raise UnknownJobError(
                f"no job has the id {job_id[:64]!r}; jobs are kept for "
                f"{self.settings.job_ttl_hours:g} hours after their end"
            )
        return job.with_beat(self.store.read_beat(job_id)) if job.status == "running" else job

    def of_collection(self, collection: str) -> list[Job]:
        """All jobs of a collection that are kept, the newest first."""
        jobs = self.store.of_collection(collection)
        return [
            job.with_beat(self.store.read_beat(job.id)) if job.status == "running" else job
            for job in jobs
        ]

    def active(self) -> list[Job]:
        """All jobs that are queued or running, the oldest first."""
        return self.store.active()

    def cancel(self, job_id: str) -> Job:
        """Cancel a job: at once while it is queued, within about a second while it runs.

        Stages that are done are kept. Raises `JobStateError` when the job is over.
        """

        def change(job: Job) -> Job:
            if not job.is_active:
                raise JobStateError(f"the job {job.id} is {job.status}: nothing is left to cancel")
            if job.status == "queued":
                return job.but(status="cancelled", cancel_requested=True, ended=now())
            return job.but(cancel_requested=True)

        return self._changed(job_id, change)

    def retry(self, job_id: str) -> Job:
        """Queue a failed or cancelled job again; it goes on from the stages that are done."""
        wanted = self.get(job_id)
        check_source(
            self.settings, collection_path(self.settings.data, wanted.collection), wanted.spec
        )

        def change(job: Job) -> Job:
            if job.is_active:
                raise BuildInProgressError(job.collection, job.id)
            if job.status == "done":
                raise JobStateError(f"the job {job.id} is done; ask for another build instead")
            return _queued(
                job, attempt=job.attempt + 1, crashes=0, error=None, started=None, ended=None,
                progress=None, heartbeat=None, cancel_requested=False,
            )  # fmt: skip

        job = self._changed(job_id, change)
        self._send(job)
        return job

    def watch(self, job_id: str, stop: threading.Event | None = None) -> Iterator[Job]:
        """The job now, and whenever more than its heartbeat changed, until it is over or gone.

        While the store cannot be reached nothing comes.
        """
        stop = stop or threading.Event()
        last = self.get(job_id)
        yield last
        while last.is_active and not stop.wait(POLL_SECONDS):
            try:
                job = self.get(job_id)
            except QueueUnavailableError:
                continue
            except UnknownJobError:
                return
            if job.but(heartbeat=None) != last.but(heartbeat=None):
                yield job
            last = job

    # For those who run

    def claim(self, job_id: str, worker: str) -> Job | None:
        """Take a queued job; None when somebody else has it, or it is over."""
        token = secrets.token_hex(16)

        def change(job: Job) -> Job | None:
            if job.status != "queued":
                return None
            moment = now()
            return job.but(
                status="running", claim=token, worker=worker, heartbeat=moment,
                started=job.started or moment,
            )  # fmt: skip

        job = self.store.change(job_id, change)
        return job if job is not None and job.claim == token else None

    def claim_next(self, worker: str) -> Job | None:
        """Take the oldest job that is queued."""
        for job in self.store.active():
            if job.status == "queued":
                claimed = self.claim(job.id, worker)
                if claimed is not None:
                    return claimed
        return None

    def beat(self, job: Job, progress: JobProgress | None) -> None:
        """Say that a claimed job is alive, and how far it is."""
        if job.claim is not None:
            self.store.write_beat(job.id, Beat(claim=job.claim, at=now(), progress=progress))

    def done(self, job: Job, result: BuildResult) -> Job | None:
        """End a claimed job well; None when the claim is no longer valid."""
        return self._ended(job, status="done", result=result, error=None)

    def failed(self, job: Job, error: JobError) -> Job | None:
        """End a claimed job with an error that trying again does not mend."""
        return self._ended(job, status="failed", error=error)

    def cancelled(self, job: Job) -> Job | None:
        """End a claimed job whose cancelling was asked for."""
        return self._ended(job, status="cancelled")

    def hand_back(self, job: Job) -> Job | None:
        """Queue a claimed job again, as a worker does that is told to stop."""
        return self._requeued(job, lambda current: _queued(current))

    def crashed(self, job: Job, reason: str) -> Job | None:
        """Queue a claimed job whose process or worker died again, or fail it for good."""

        def change(current: Job) -> Job:
            if current.cancel_requested:
                return _over(current, status="cancelled")
            crashes = current.crashes + 1
            if crashes >= MOST_ATTEMPTS:
                error = JobError(type=LOST, message=f"{reason}; given up after {crashes} attempts")
                return _over(current, status="failed", error=error, crashes=crashes)
            return _queued(current, attempt=current.attempt + 1, crashes=crashes)

        return self._requeued(job, change)

    def deliver_again(self, job: Job) -> None:
        """Send a queued job that got lost on its way to the workers."""

        def change(current: Job) -> Job | None:
            same = current.status == "queued" and current.delivery == job.delivery
            return _queued(current) if same else None

        changed = self.store.change(job.id, change)
        if changed is not None and changed.status == "queued":
            self.delivery.send(changed)

    def _changed(self, job_id: str, change: Change) -> Job:
        job = self.store.change(job_id, change)
        return self.get(job_id) if job is None else job

    def _ended(self, job: Job, **values: Any) -> Job | None:
        beat = self.store.read_beat(job.id)
        return self._claimed(job, lambda current: _over(current.with_beat(beat), **values))

    def _requeued(self, job: Job, change: Change) -> Job | None:
        beat = self.store.read_beat(job.id)

        def with_beat(current: Job) -> Job | None:
            return change(current.with_beat(beat))

        changed = self._claimed(job, with_beat)
        if changed is not None and changed.status == "queued":
            self._send(changed)
        return changed

    def _claimed(self, job: Job, change: Change) -> Job | None:
        """Change a job if the claim is still valid: a worker given up for dead changes nothing."""
        is_ours = False

        def guarded(current: Job) -> Job | None:
            nonlocal is_ours
            is_ours = current.status == "running" and current.claim == job.claim
            return change(current) if is_ours else None

        changed = self.store.change(job.id, guarded)
        return changed if is_ours else None

    def _send(self, job: Job) -> None:
        """The record is kept already: what is not sent now, a watchman sends later."""
        try:
            self.delivery.send(job)
        except QueueUnavailableError as error:
            worker_log.warning("job %s is kept but not sent yet: %s", job.id, error)


def _queued(job: Job, **values: Any) -> Job:
    return job.but(status="queued", claim=None, worker=None, delivery=job.delivery + 1, **values)


def _over(job: Job, **values: Any) -> Job:
    return job.but(claim=None, ended=now(), **values)


def open_queue(settings: WorkerSettings) -> JobQueue:
    """The queue that the settings name: on Redis, or on the files of the data folder."""
    keep = timedelta(hours=settings.job_ttl_hours)
    if settings.redis_url is None:
        from workers.file_store import FileJobStore
        from workers.store import Pull

        return JobQueue(settings, FileJobStore(settings.data, keep), Pull())
    from workers.connection import connect
    from workers.deliveries import RqDelivery
    from workers.redis_store import RedisJobStore

    client = connect(settings.redis_url.get_secret_value())
    return JobQueue(settings, RedisJobStore(client, keep), RqDelivery(client))
