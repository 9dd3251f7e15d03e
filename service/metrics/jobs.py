"""How many build jobs there are in each state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

from workers.errors import QueueUnavailableError
from workers.jobs import Status
from workers.queue import JobQueue


def count_jobs(queue: JobQueue, collections: Sequence[str]) -> Mapping[str, int]:
    """Jobs that are kept of these collections, and any that wait or run; may block.

    Nothing at all where the queue cannot be asked: zeros would be a lie.
    """
    try:
        jobs = {job.id: job for job in queue.active()}
        for collection in collections:
            jobs |= {job.id: job for job in queue.of_collection(collection)}
    except QueueUnavailableError:
        return {}
    counts = dict.fromkeys(get_args(Status), 0)
    for job in jobs.values():
        counts[job.status] += 1
    return counts
