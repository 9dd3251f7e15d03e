"""What is sent and what comes back, apart from how: the words between client and transport.

A method of the client is a generator. It yields what is to be done, is handed what came of it, and
returns the method's result; who runs it, waiting or awaiting, is none of its business.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class FileBody:
    """A body that is read from a file while it is sent."""

    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class Call:
    """One request.

    Attributes
    ----------
    repeatable:
        Whether it may be sent again when nobody knows if it was received: doing it twice is the
        same as doing it once.
    gone:
        Kind of the problem that a repeated call is answered with when the first one was done
        after all, its answer having been lost.
    seconds:
        Longest silence that is waited for while the answer comes; None: the client's own.
    endless:
        Whether the answer goes on for as long as it likes, so that the client's deadline is for
        its beginning only.
    """

    method: str
    path: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | FileBody | None = None
    repeatable: bool = True
    gone: str | None = None
    seconds: float | None = None
    endless: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; the content of one that was consumed is empty."""

    status: int
    headers: Mapping[str, str]
    content: bytes


Consume: TypeAlias = Callable[[bytes], bool]
"""Takes the next piece of an answer; False: no more of it is wanted."""


@dataclass(frozen=True, slots=True)
class Send:
    """Do: send a call, once, and give its `Answer`.

    The content of a good answer goes to `consume` piece by piece, where there is one.

    Attributes
    ----------
    end:
        By ``time.monotonic``: an answer that is not complete by then is given up. None: never.
    aside:
        Whether `consume` writes to a disk, which must not hold up others.
    """

    call: Call
    end: float | None = None
    consume: Consume | None = None
    aside: bool = False


@dataclass(frozen=True, slots=True)
class Sleep:
    """Do: wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Work:
    """Do: run a function that takes its time on the disk, and give its result."""

    job: Callable[[], Any]


Deed: TypeAlias = Send | Sleep | Work
Steps: TypeAlias = Generator[Deed, Any, Result]
"""A method of the client as it is written: see the top of this file."""


class LostError(Exception):
    """No answer, or half of one.

    Attributes
    ----------
    received:
        Whether the service may have received the request.
    """

    def __init__(self, reason: str, *, received: bool) -> None:
        super().__init__(reason)
        self.received = received
