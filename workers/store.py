"""What a store of jobs must do; one on files and one on Redis do it alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from workers.jobs import Beat, Job

Change: TypeAlias = Callable[[Job], Job | None]
"""Takes a record and gives the one to keep in its place; None: leave it."""


class JobStore(Protocol):
    """Keeps records, changes them one at a time, and gives a collection to one job at a time.

    Every method raises `QueueUnavailableError` when the store cannot be reached in time.
    """

    def add(self, job: Job) -> None:
        """Keep a new job durably and give it its collection.

        Raises
        ------
        BuildInProgressError
            Another job of the collection is queued or running.
        """
        ...

    def read(self, job_id: str) -> Job | None:
        """A record; None if there is none or it cannot be understood."""
        ...

    def change(self, job_id: str, change: Change) -> Job | None:
        """Change a record; nobody else can in between. Returns it as it is now, if there is one.

        A job that comes to an end frees its collection; one that becomes active again takes it,
        or raises `BuildInProgressError`. What `change` raises leaves all as it was.
        """
        ...

    def of_collection(self, collection: str) -> list[Job]:
        """All records of a collection, the newest first."""
        ...

    def active(self) -> list[Job]:
        """All jobs that are queued or running, the oldest first."""
        ...

    def write_beat(self, job_id: str, beat: Beat) -> None:
        """Keep what a worker says; need not be durable."""
        ...

    def read_beat(self, job_id: str) -> Beat | None:
        """What a worker said last."""
        ...

    def remove_expired(self) -> int:
        """Remove records whose time is over; returns how many."""
        ...


class Delivery(Protocol):
    """Brings queued jobs to workers."""

    def send(self, job: Job) -> None:
        """Hand a queued job to some worker. Twice does no harm: only one can claim it."""
        ...

    def is_waiting(self, job: Job) -> bool:
        """Whether a queued job is still on its way to a worker."""
        ...


class Pull:
    """No delivery at all: workers look for queued jobs themselves."""

    def send(self, job: Job) -> None:
        """See `Delivery.send`."""

    def is_waiting(self, job: Job) -> bool:
        """See `Delivery.is_waiting`."""
        return True
