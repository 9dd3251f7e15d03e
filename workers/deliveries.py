"""Bringing queued jobs to workers by RQ: a delivery is a job's id, and nothing else.

RQ's own record of a delivery is a slip of paper: it is thrown away once it is delivered, and a
lost one is written anew from the job's own record. All that RQ keeps is JSON, never a pickle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

from workers.connection import redis_errors
from workers.jobs import Job

QUEUE = "kinfold-builds"
DELIVER = "workers.deliveries.deliver"
"""The only function that a worker runs for RQ, whatever Redis says."""

_SLIP_SECONDS = 60
_NEVER = -1

_runner: ContextVar[Callable[[str], None]] = ContextVar("kinfold_runner")


class RqDelivery:
    """See `workers.store.Delivery`."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._queue = rq_queue(client)

    def send(self, job: Job) -> None:
        """See `Delivery.send`."""
        with redis_errors():
            self._queue.enqueue_call(
                DELIVER,
                args=[job.id],
                job_id=_slip(job),
                description=f"build {job.collection}",
                timeout=_NEVER,
                result_ttl=0,
                failure_ttl=_SLIP_SECONDS,
            )

    def is_waiting(self, job: Job) -> bool:
        """See `Delivery.is_waiting`."""
        with redis_errors():
            return self._client.lpos(self._queue.key, _slip(job)) is not None


def rq_queue(client: Redis) -> Queue:
    """The queue of deliveries."""
    return Queue(QUEUE, connection=client, serializer=JSONSerializer)


@contextmanager
def delivered_to(runner: Callable[[str], None]) -> Iterator[None]:
    """Let `deliver` hand ids to this runner."""
    token = _runner.set(runner)
    try:
        yield
    finally:
        _runner.reset(token)


def deliver(job_id: str) -> None:
    """What RQ calls."""
    _runner.get()(str(job_id))


def _slip(job: Job) -> str:
    return f"{job.id}-{job.delivery}"
