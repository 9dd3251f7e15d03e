"""A job's events as a stream that ends with the job (server-sent events)."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable

import anyio

from service.jobs import Jobs
from workers.errors import QueueUnavailableError, UnknownJobError
from workers.jobs import Job

MEDIA_TYPE = "text/event-stream"

_POLL_SECONDS = 0.25
_COMMENT_SECONDS = 15.0
_RETRY_MS = 2000


async def events(
    jobs: Jobs,
    first: Job,
    as_json: Callable[[Job], bytes],
    is_gone: Callable[[], Awaitable[bool]],
) -> AsyncIterator[bytes]:
    """The job as it is, as it changes, and as it ends; a comment when there is nothing to say.

    While the queue cannot be reached nothing comes but comments. When the service is to end the
    stream breaks off, and a client that connects again hears the rest from another one.

    Parameters
    ----------
    as_json:
        What clients are told of a job.
    is_gone:
        Whether the client has left.
    """
    job: Job | None = first
    said, shown, number = time.monotonic(), b"", 0
    yield b"retry: %d\n\n" % _RETRY_MS
    while job is not None:
        content = as_json(job)
        if content != shown:
            number += 1
            name = b"progress" if job.is_active else b"end"
            yield b"id: %d\nevent: %s\ndata: %s\n\n" % (number, name, content)
            said, shown = time.monotonic(), content
        elif time.monotonic() - said > _COMMENT_SECONDS:
            yield b": waiting\n\n"
            said = time.monotonic()
        if not job.is_active or jobs.is_closing or await is_gone():
            return
        await anyio.sleep(_POLL_SECONDS)
        job = await _look(jobs, job)


async def _look(jobs: Jobs, job: Job) -> Job | None:
    try:
        return await jobs.call(lambda: jobs.queue.get(job.id))
    except QueueUnavailableError:
        return job
    except UnknownJobError:
        return None
