"""Waiting for a build: by server-sent events, and by asking where those do not come through."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TypeAlias

from pydantic import ValidationError

from kinfold.client.addresses import collection_at
from kinfold.client.answers import Job
from kinfold.client.calls import Call, LostError, Send, Sleep, Steps
from kinfold.client.errors import WaitedTooLongError
from kinfold.client.method import Caller, answer_of

OnProgress: TypeAlias = Callable[[Job], object]

_POLL_SECONDS = 1.0
_SILENCE_SECONDS = 60.0
_MOST_LINE = 1 << 20
_EVENTS = "text/event-stream"


def until_over(
    client: Caller,
    collection: str,
    job_id: str,
    on_progress: OnProgress | None,
    end: float | None,
) -> Steps[Job]:
    """The job as it ended; `end` by ``time.monotonic``."""
    address = collection_at(collection, "builds", job_id)
    told: Job | None = None

    def tell(job: Job) -> None:
        nonlocal told
        if on_progress is not None and job != told:
            on_progress(job)
        told = job

    streams = True
    while True:
        job = yield from answer_of(client, Call("GET", address), Job)
        tell(job)
        if job.is_over:
            return job
        left = None if end is None else end - time.monotonic()
        if left is not None and left <= 0:
            raise WaitedTooLongError(
                f"the build {job_id} of {collection!r} is {job.status}, not over yet; it goes on"
            )
        if streams:
            streams = yield from _follow(address, tell, left)
        if not streams:
            yield Sleep(_POLL_SECONDS if left is None else min(_POLL_SECONDS, left))


def _follow(address: str, tell: OnProgress, left: float | None) -> Steps[bool]:
    """Listen to a job's events until they end; whether they came at all."""
    news = _News(tell, None if left is None else time.monotonic() + left)
    silence = _SILENCE_SECONDS if left is None else min(_SILENCE_SECONDS, left)
    call = Call(
        "GET", address + "/events", headers={"Accept": _EVENTS}, seconds=silence, endless=True
    )
    try:
        answer = yield Send(call, None, news.consume)
    except LostError:
        # The service may be on its way down and up again; the next question is asked with
        # patience.
        return news.heard
    return answer.status < 300 and news.heard


class _News:
    """Reads server-sent events: each with a job, or a part of one, as JSON."""

    def __init__(self, tell: OnProgress, end: float | None) -> None:
        self._tell = tell
        self._end = end
        self._rest = b""
        self._data: list[bytes] = []
        self.heard = False

    def consume(self, piece: bytes) -> bool:
        """Take the next bytes; whether more are wanted."""
        *lines, self._rest = (self._rest + piece).replace(b"\r\n", b"\n").split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line.removeprefix(b"data:").strip())
            elif not line and self._data:
                event, self._data = b"\n".join(self._data), []
                if self._is_last(event):
                    return False
        late = self._end is not None and time.monotonic() > self._end
        return not late and len(self._rest) < _MOST_LINE and len(self._data) < _MOST_LINE

    def _is_last(self, event: bytes) -> bool:
        try:
            job = Job.model_validate(json.loads(event))
        except (ValueError, ValidationError):
            return False
        self.heard = True
        if not job.is_over:
            # What it ended with is asked for once more, and told by who asks.
            self._tell(job)
        return job.is_over
