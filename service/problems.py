"""Every error of the service as one shape: problem+json, RFC 9457."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson
from starlette.responses import Response
from starlette.types import Scope

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = "1"
_MOST_SHOWN = 120
_MOST_DETAIL = 1000
_NOUNS: dict[type, str] = {list: "a list", dict: "an object", bytes: "bytes"}


@dataclass(frozen=True, slots=True)
class Kind:
    """One sort of problem: its name is the fragment of the type's address in ``/docs``."""

    name: str
    status: int
    title: str
    meaning: str

    @property
    def type(self) -> str:
        """The problem's ``type``: where it is explained."""
        return f"/docs#{self.name}"


NOT_FOUND = Kind("not-found", 404, "No such address", "The path names nothing here.")
UNKNOWN_COLLECTION = Kind(
    "unknown-collection",
    404,
    "No such collection",
    "No collection of this name is in the data folder.",
)
UNKNOWN_MODEL = Kind(
    "unknown-model", 404, "No such model", "The collection has no model of this name."
)
UNKNOWN_ID = Kind("unknown-id", 404, "No such item", "No item of the collection has this id.")
NO_THUMBNAIL = Kind(
    "no-thumbnail", 404, "No picture of it", "The collection keeps no small picture of this item."
)
METHOD_NOT_ALLOWED = Kind(
    "method-not-allowed",
    405,
    "Method not allowed",
    "The address exists, but not for this method; the header Allow lists those it has.",
)
INVALID_JSON = Kind(
    "invalid-json", 400, "The body is not JSON", "The body cannot be decoded as UTF-8 JSON."
)
BODY_TOO_LARGE = Kind(
    "body-too-large",
    413,
    "The body is too large",
    "The body exceeds KINFOLD_MAX_BODY_BYTES: send fewer queries, or raw float32 ones. Uploads and "
    "snapshots: KINFOLD_MAX_UPLOAD_BYTES.",
)
UNSUPPORTED_MEDIA_TYPE = Kind(
    "unsupported-media-type",
    415,
    "Content type not supported",
    "The body is of a content type, character set or encoding that a search does not take.",
)
INVALID_REQUEST = Kind(
    "invalid-request",
    422,
    "The request cannot be used",
    "A field is missing, unknown, or of a wrong type or value.",
)
INVALID_VECTORS = Kind(
    "invalid-vectors",
    422,
    "The vectors cannot be used",
    "Not numbers, not finite, of unequal lengths, or bytes that are no whole number of vectors.",
)
WRONG_DIMENSION = Kind(
    "wrong-dimension",
    422,
    "Wrong dimension",
    "A query does not have as many values as the collection's vectors.",
)
TOO_MANY = Kind(
    "too-many",
    422,
    "More than allowed",
    "A limit of the service or the size of the collection is exceeded.",
)
INTERNAL_ERROR = Kind(
    "internal-error",
    500,
    "Internal error",
    "A fault of the service. Its log tells more under the same request id.",
)
OVERLOADED = Kind(
    "overloaded",
    503,
    "Too many searches at once",
    "All threads are busy and the queue is full. Try again after Retry-After seconds.",
)
WARMING_UP = Kind(
    "warming-up",
    503,
    "The collection is warming up",
    "It was opened just now and is not ready. Try again after Retry-After seconds.",
)
COLLECTION_FAILED = Kind(
    "collection-failed",
    503,
    "The collection cannot be used",
    "It is damaged, or was written by a newer Kinfold. The detail says what to do.",
)
NOT_READY = Kind(
    "not-ready",
    503,
    "The service is not ready",
    "Collections are still warming up, or not one of them could be opened.",
)

UNAUTHORIZED = Kind(
    "unauthorized",
    401,
    "No valid API key",
    "The request carries no API key, or one that is unknown, expired or revoked.",
)
FORBIDDEN = Kind(
    "forbidden", 403, "Not allowed", "The API key is valid, but of a lesser scope than this needs."
)
UNKNOWN_VERSION = Kind(
    "unknown-version", 404, "No such version", "The collection has no version of this name."
)
UNKNOWN_JOB = Kind(
    "unknown-job",
    404,
    "No such job",
    "The collection has no job of this id, or it ended too long ago.",
)
UNKNOWN_UPLOAD = Kind(
    "unknown-upload",
    404,
    "No such upload",
    "No upload has this id, or it was made too long ago.",
)
BODY_TIMEOUT = Kind(
    "body-timeout",
    408,
    "The body did not arrive",
    "Nothing of the body came for KINFOLD_BODY_SECONDS. Send it again.",
)
COLLECTION_EXISTS = Kind(
    "collection-exists", 409, "The collection exists", "There is a collection of this name."
)
BUILD_IN_PROGRESS = Kind(
    "build-in-progress",
    409,
    "A build is in progress",
    "The collection is being built or changed. Wait for it, or cancel it.",
)
COLLECTION_EMPTY = Kind(
    "collection-empty",
    409,
    "The collection is empty",
    "It has no version yet. Build one, or import a snapshot.",
)
VERSION_DAMAGED = Kind(
    "version-damaged",
    409,
    "The version cannot be used",
    "It is damaged, or was written by a newer Kinfold. Nothing was changed.",
)
VERSION_LIVE = Kind(
    "version-live",
    409,
    "The version is live",
    "The live version cannot be removed. Activate another one first.",
)
JOB_OVER = Kind(
    "job-state",
    409,
    "Not in this state of the job",
    "A job that is over cannot be cancelled, and one that is not cannot be tried again.",
)
INVALID_PICTURE = Kind(
    "invalid-picture",
    422,
    "The picture cannot be used",
    "It is damaged, too large, or of no known kind: jpg, png, webp, gif, bmp or tiff.",
)
NO_ENCODER = Kind(
    "no-encoder",
    422,
    "No search by pictures",
    "The collection was not built from pictures, so that it has nothing to make vectors of one.",
)
INVALID_SOURCE = Kind(
    "invalid-source",
    422,
    "The source cannot be used",
    "No file of this name may be read, or it is not a gallery.",
)
INVALID_SNAPSHOT = Kind(
    "invalid-snapshot",
    422,
    "The snapshot cannot be used",
    "The archive is damaged, incomplete, or holds what no snapshot holds.",
)
UNKNOWN_COLUMN = Kind(
    "unknown-column", 422, "No such column", "The payload has no column of this name."
)
RATE_LIMITED = Kind(
    "rate-limited",
    429,
    "Too many requests",
    "The API key has used up its rate. Try again after Retry-After seconds.",
)
STORAGE_FULL = Kind(
    "storage",
    507,
    "It cannot be stored",
    "The disk is full, or cannot be written to. Nothing was changed.",
)
DEADLINE_EXCEEDED = Kind(
    "deadline-exceeded",
    503,
    "Not answered in time",
    "The search waited longer than its deadline. Try again after Retry-After seconds.",
)
QUEUE_UNAVAILABLE = Kind(
    "queue-unavailable",
    503,
    "The job queue cannot be reached",
    "Redis does not answer. Searches go on; try again after Retry-After seconds.",
)

KINDS = (
    INVALID_JSON, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, UNKNOWN_COLLECTION, UNKNOWN_MODEL, UNKNOWN_ID,
    NO_THUMBNAIL, UNKNOWN_VERSION, UNKNOWN_JOB, UNKNOWN_UPLOAD, METHOD_NOT_ALLOWED, BODY_TIMEOUT,
    COLLECTION_EXISTS, COLLECTION_EMPTY, BUILD_IN_PROGRESS, VERSION_LIVE, VERSION_DAMAGED,
    JOB_OVER, BODY_TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE, INVALID_REQUEST, INVALID_VECTORS, WRONG_DIMENSION, TOO_MANY,
    INVALID_PICTURE, NO_ENCODER, INVALID_SOURCE, INVALID_SNAPSHOT, UNKNOWN_COLUMN, RATE_LIMITED,
    INTERNAL_ERROR, OVERLOADED,
    DEADLINE_EXCEEDED, WARMING_UP, COLLECTION_FAILED, NOT_READY, QUEUE_UNAVAILABLE, STORAGE_FULL,
)  # fmt: skip
"""Every kind of problem that the service answers with."""

RETRIED = (
    OVERLOADED, WARMING_UP, NOT_READY, DEADLINE_EXCEEDED, QUEUE_UNAVAILABLE, RATE_LIMITED,
)  # fmt: skip
"""Kinds that pass by themselves; they carry Retry-After."""


class ProblemError(Exception):
    """An error on its way to the client.

    Parameters
    ----------
    kind:
        One of `KINDS`.
    detail:
        What happened here and what to do about it, for a person.
    expected, found:
        The same for a program, where it can be said; `found` is shortened.
    members:
        Further members of the problem object.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        expected: object = None,
        found: object = None,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = _shortened(detail, _MOST_DETAIL)
        self.headers = dict(headers or {})
        if kind in RETRIED:
            self.headers.setdefault("Retry-After", RETRY_SECONDS)
        self.members = members
        if expected is not None:
            self.members["expected"] = expected
        if found is not None:
            self.members["found"] = shown(found)


def shown(value: object) -> object:
    """A value as an answer may carry it: short, and something that JSON has."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 1 << 63:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, (list, dict, bytes)):
        # Never repr() of what a client sent: it may be the whole body.
        return "an empty list" if value == [] else f"{_NOUNS[type(value)]} of {len(value)}"
    text = value if isinstance(value, str) else repr(value)
    return _shortened(text, _MOST_SHOWN)


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def to_response(problem: ProblemError, scope: Scope) -> Response:
    """The answer that a problem makes of a request."""
    body = {
        "type": problem.kind.type,
        "title": problem.kind.title,
        "status": problem.kind.status,
        "detail": problem.detail,
        "instance": quote(scope["path"]),
        "request_id": scope.get("state", {}).get("request_id"),
        **problem.members,
    }
    return Response(
        orjson.dumps(body),
        status_code=problem.kind.status,
        headers=problem.headers,
        media_type=MEDIA_TYPE,
    )
