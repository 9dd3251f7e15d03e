"""Sending a call until it is answered, or until that has lost its sense."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from kinfold.client.calls import Answer, Call, Consume, LostError, Send, Sleep, Steps
from kinfold.client.errors import (
    OF_PROXIES,
    KinfoldServiceError,
    RetryableError,
    UnreachableError,
    from_answer,
)


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how long a call is tried.

    Attributes
    ----------
    retries:
        Further tries after the first.
    deadline:
        Seconds for a call with all its tries and pauses; None: no end.
    first_pause, longest_pause:
        Seconds before the first further try, on average half of it; doubled before each next
        one, up to the longest.
    """

    retries: int = 4
    deadline: float | None = 60.0
    first_pause: float = 0.1
    longest_pause: float = 5.0

    def pause(self, tries: int, wanted: float | None) -> float:
        """Seconds to wait after so many tries.

        Never less than the service wants, and never the same for all clients, who would else
        come back together.
        """
        most: float = min(self.longest_pause, self.first_pause * 2.0 ** (tries - 1))
        return (wanted or 0.0) + random.uniform(0, most)  # noqa: S311


def send(
    call: Call, patience: Patience, consume: Consume | None = None, *, aside: bool = False
) -> Steps[Answer]:
    """Send a call until it is answered well; `consume` as in `Send`.

    An answer that was begun to be consumed is not asked for again.

    Raises
    ------
    KinfoldServiceError
        What the last try came to.
    """
    start, tries, uncertain = time.monotonic(), 0, False
    begun = False

    def watched(piece: bytes) -> bool:
        nonlocal begun
        begun = True
        return consume is None or consume(piece)

    while True:
        tries += 1
        error: KinfoldServiceError
        end = None if patience.deadline is None else start + patience.deadline
        try:
            answer: Answer = yield Send(call, end, None if consume is None else watched, aside)
            if answer.status < 300:
                return answer
            error = from_answer(answer.status, answer.headers, answer.content)
            if uncertain and call.gone is not None and error.kind == call.gone:
                return answer
            strange = error.kind == "unexpected-answer"
            uncertain = uncertain or (strange and error.status in OF_PROXIES)
            # The service's own refusals were made before it did anything. What a proxy says of a
            # service that it lost, only a call that may be repeated survives.
            again = isinstance(error, RetryableError) and (
                call.repeatable or not strange or error.status == 429
            )
        except LostError as lost:
            error = UnreachableError(str(lost), maybe_done=lost.received)
            error.__cause__ = lost
            uncertain = uncertain or lost.received
            again = call.repeatable or not lost.received
        if begun or not again or tries > patience.retries:
            raise error
        pause = patience.pause(tries, error.retry_after)
        if end is not None and time.monotonic() + pause >= end:
            raise error
        yield Sleep(pause)
