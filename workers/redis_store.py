"""Jobs in Redis: JSON records, changed in transactions.

    kinfold:job:<id>            a record; gets its time limit when the job is over
    kinfold:beat:<id>           what its worker says
    kinfold:active              collection → id of the job that holds it
    kinfold:jobs:<collection>   ids by the time they were asked for

What is durable is a matter of Redis' own settings (appendonly); see docs/jobs.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError
from redis import Redis, WatchError
from redis.client import Pipeline

from workers.connection import redis_errors
from workers.errors import BuildInProgressError
from workers.jobs import Beat, Job, is_id
from workers.logs import worker_log
from workers.store import Change

PREFIX = "kinfold:"
ACTIVE = f"{PREFIX}active"
_JOB = f"{PREFIX}job:"
_BEAT = f"{PREFIX}beat:"
_LIST = f"{PREFIX}jobs:"
_BEAT_SECONDS = 24 * 3600

Record = TypeVar("Record", bound=BaseModel)


class RedisJobStore:
    """See `workers.store.JobStore`.

    Parameters
    ----------
    client:
        From `workers.connection.connect`.
    keep:
        How long jobs that are over are kept.
    """

    def __init__(self, client: Redis, keep: timedelta) -> None:
        self._client = client
        self._keep = math.ceil(keep.total_seconds())

    def add(self, job: Job) -> None:
        """See `JobStore.add`."""
        with redis_errors(), self._client.pipeline() as pipe:
            while True:
                with suppress(WatchError):
                    pipe.watch(ACTIVE)  # type: ignore[no-untyped-call]
                    self._check_slot(pipe, job)
                    pipe.multi()
                    pipe.set(_JOB + job.id, job.to_bytes())
                    pipe.hset(ACTIVE, job.collection, job.id)
                    pipe.zadd(_LIST + job.collection, {job.id: job.created.timestamp()})
                    pipe.execute()
                    return

    def read(self, job_id: str) -> Job | None:
        """See `JobStore.read`."""
        if not is_id(job_id):
            return None
        with redis_errors():
            return _job(job_id, self._client.get(_JOB + job_id))

    def change(self, job_id: str, change: Change) -> Job | None:
        """See `JobStore.change`."""
        if not is_id(job_id):
            return None
        with redis_errors(), self._client.pipeline() as pipe:
            while True:
                with suppress(WatchError):
                    pipe.watch(_JOB + job_id, ACTIVE)  # type: ignore[no-untyped-call]
                    job = _job(job_id, pipe.get(_JOB + job_id))
                    changed = None if job is None else change(job)
                    if job is None or changed is None:
                        return job
                    self._stage(pipe, changed)
                    pipe.execute()
                    return changed

    def of_collection(self, collection: str) -> list[Job]:
        """See `JobStore.of_collection`."""
        key = _LIST + collection
        with redis_errors():
            ids = _texts(cast("list[bytes]", self._client.zrevrange(key, 0, -1)))
            jobs = self._read_all(ids)
            gone = [job_id for job_id in ids if job_id not in jobs]
            if gone:
                self._client.zrem(key, *gone)
        return sorted(jobs.values(), key=lambda job: (job.created, job.id), reverse=True)

    def active(self) -> list[Job]:
        """See `JobStore.active`."""
        with redis_errors():
            held = cast("dict[bytes, bytes]", self._client.hgetall(ACTIVE))
            jobs = self._read_all(_texts(held.values()))
        found = [job for job in jobs.values() if job.is_active]
        return sorted(found, key=lambda job: (job.created, job.id))

    def write_beat(self, job_id: str, beat: Beat) -> None:
        """See `JobStore.write_beat`."""
        with redis_errors():
            self._client.set(_BEAT + job_id, beat.model_dump_json(), ex=_BEAT_SECONDS)

    def read_beat(self, job_id: str) -> Beat | None:
        """See `JobStore.read_beat`."""
        if not is_id(job_id):
            return None
        with redis_errors():
            return _parsed(Beat, self._client.get(_BEAT + job_id))

    def remove_expired(self) -> int:
        """See `JobStore.remove_expired`; Redis does it by itself."""
        return 0

    def _stage(self, pipe: Pipeline, job: Job) -> None:
        """Put the change of a record, and what it means for its collection, into a transaction."""
        holder = pipe.hget(ACTIVE, job.collection)
        if job.is_active:
            self._check_slot(pipe, job)
            pipe.multi()
            pipe.set(_JOB + job.id, job.to_bytes())
            pipe.hset(ACTIVE, job.collection, job.id)
            return
        pipe.multi()
        pipe.set(_JOB + job.id, job.to_bytes(), ex=self._keep)
        pipe.delete(_BEAT + job.id)
        if holder == job.id.encode():
            pipe.hdel(ACTIVE, job.collection)

    def _check_slot(self, pipe: Pipeline, job: Job) -> None:
        """Refuse a collection that another job holds; one that is over or gone holds nothing."""
        holder = cast("bytes | None", pipe.hget(ACTIVE, job.collection))
        if holder is None or holder == job.id.encode():
            return
        text = holder.decode("ascii", "replace")
        other = _job(text, pipe.get(_JOB + text)) if is_id(text) else None
        if other is not None and other.is_active and other.collection == job.collection:
            raise BuildInProgressError(job.collection, other.id)

    def _read_all(self, ids: list[str]) -> dict[str, Job]:
        known = [job_id for job_id in ids if is_id(job_id)]
        if not known:
            return {}
        values = cast("list[Any]", self._client.mget([_JOB + job_id for job_id in known]))
        jobs = (_job(job_id, value) for job_id, value in zip(known, values, strict=True))
        return {job.id: job for job in jobs if job is not None}


def _texts(values: Iterable[bytes]) -> list[str]:
    return [value.decode("ascii", "replace") for value in values]


def _job(job_id: str, value: Any) -> Job | None:
    job = _parsed(Job, value)
    return job if job is not None and job.id == job_id else None


def _parsed(kind: type[Record], value: Any) -> Record | None:
    if value is None:
        return None
    try:
        return kind.model_validate_json(value)
    except ValidationError as error:
        worker_log.warning("Redis holds a %s that is none: %s", kind.__name__, error.error_count())
        return None
