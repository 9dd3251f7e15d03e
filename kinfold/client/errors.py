"""What the service refused, as exceptions: one class for each way of dealing with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from kinfold.errors import InputError, KinfoldError, UnknownNameError

MOST_SHOWN = 500
OF_PROXIES = (502, 503, 504)
"""What a proxy answers for a service that it cannot reach."""


class KinfoldServiceError(KinfoldError):
    """The service answered with an error, or did not answer at all.

    Attributes
    ----------
    kind:
        The sort of problem, as docs/api.md lists them: ``unknown-collection``, ``overloaded``, ….
        ``unexpected-answer`` where a proxy or another server answered; ``no-answer`` where
        nobody did.
    status:
        The HTTP status; None where there was no answer.
    detail:
        What happened, and what to do about it.
    expected, found:
        The same for a program, where the service can say it.
    request_id:
        The service's log has more under it.
    retry_after:
        Seconds after which the service wants to be asked again; None where it did not say.
    members:
        Further members of the problem object.
    """

    def __init__(
        self,
        detail: str,
        *,
        kind: str,
        status: int | None = None,
        expected: object = None,
        found: object = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.status = status
        self.detail = detail
        self.expected = expected
        self.found = found
        self.request_id = request_id
        self.retry_after = retry_after
        self.members = dict(members or {})

    def __str__(self) -> str:
        where = "" if self.status is None else f" {self.status}"
        tagged = f" (request {self.request_id})" if self.request_id else ""
        return f"{self.kind}{where}: {self.detail}{tagged}"


class AuthError(KinfoldServiceError):
    """No valid API key (401), or one of a lesser scope than this needs (403)."""


class NotFoundError(KinfoldServiceError, UnknownNameError):
    """A collection, version, model, item, job or upload that does not exist (404)."""


class ConflictError(KinfoldServiceError):
    """It cannot be done in this state: it exists, is live, is being built (409)."""


class RefusedError(KinfoldServiceError, InputError):
    """The request cannot be used as it is (400, 413, 415, 422); the same again will not help."""


class RetryableError(KinfoldServiceError):
    """It may work later: overloaded, warming up, rate-limited (408, 429, 503 with Retry-After).

    The client has tried again already, as often and as long as it was told to.
    """


class UnreachableError(RetryableError):
    """Nobody answered, or the connection broke. `kind` is ``no-answer``.

    Attributes
    ----------
    maybe_done:
        Whether the service may have received the request, and done it.
    """

    def __init__(self, detail: str, *, maybe_done: bool) -> None:
        super().__init__(detail, kind="no-answer")
        self.maybe_done = maybe_done


class WaitedTooLongError(KinfoldError, TimeoutError):
    """A build was not over in the time that it was waited for. It goes on."""


class BuildEndedError(KinfoldError):
    """A build that was waited for failed or was cancelled.

    Attributes
    ----------
    job:
        The job as it ended, a `kinfold.client.Job`.
    """

    def __init__(self, message: str, job: Any) -> None:
        super().__init__(message)
        self.job = job


_BY_STATUS: dict[int, type[KinfoldServiceError]] = {
    400: RefusedError,
    401: AuthError,
    403: AuthError,
    404: NotFoundError,
    408: RetryableError,
    409: ConflictError,
    413: RefusedError,
    415: RefusedError,
    422: RefusedError,
    429: RetryableError,
}
_OF_PROBLEMS = {"type", "title", "status", "detail", "instance", "request_id", "expected", "found"}


def from_answer(status: int, headers: Mapping[str, str], content: bytes) -> KinfoldServiceError:
    """The error that an answer with a status of 300 or more is."""
    problem = _problem(headers, content)
    if problem is None:
        return foreign(status, headers, content)
    wait = retry_after(headers.get("retry-after"))
    cls = _BY_STATUS.get(status, KinfoldServiceError)
    if status == 503 and wait is not None:
        cls = RetryableError
    return cls(
        str(problem.get("detail") or problem.get("title") or ""),
        kind=str(problem.get("type", "")).rpartition("#")[2] or "unknown",
        status=status,
        expected=problem.get("expected"),
        found=problem.get("found"),
        request_id=problem.get("request_id") or headers.get("x-request-id"),
        retry_after=wait,
        members={name: value for name, value in problem.items() if name not in _OF_PROBLEMS},
    )


def foreign(status: int, headers: Mapping[str, str], content: bytes) -> KinfoldServiceError:
    """The error that an answer is which Kinfold never gave."""
    start = content[:MOST_SHOWN].decode("utf-8", "replace").strip()
    seen = f"a redirect to {headers['location']}" if "location" in headers else start or "nothing"
    cls = RetryableError if status in OF_PROXIES else _BY_STATUS.get(status, KinfoldServiceError)
    return cls(
        f"the answer is not one of Kinfold's, but: {seen}; is there a proxy in between, or another "
        "service at this address?",
        kind="unexpected-answer",
        status=status,
        request_id=headers.get("x-request-id"),
        retry_after=retry_after(headers.get("retry-after")),
    )


def _problem(headers: Mapping[str, str], content: bytes) -> dict[str, Any] | None:
    if not headers.get("content-type", "").startswith("application/problem+json"):
        return None
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def retry_after(text: str | None) -> float | None:
    """Seconds that a header Retry-After asks to wait: a number, or a date."""
    if text is None:
        return None
    if text.strip().isdecimal() and len(text) < 12:
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    # A date without a zone is UTC, says RFC 9110.
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
