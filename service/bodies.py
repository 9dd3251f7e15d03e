"""Reading a request's body: of which kind it is, and no more of it than allowed."""

from __future__ import annotations

import re
from typing import Literal

from starlette.datastructures import Headers
from starlette.requests import Request

from service.problems import BODY_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, ProblemError

BodyKind = Literal["json", "msgpack", "raw", "npy", "form"]
AnswerKind = Literal["json", "msgpack"]

MEDIA_TYPES: dict[str, BodyKind] = {
    "application/json": "json",
    "application/msgpack": "msgpack",
    "application/octet-stream": "raw",
    "application/x-npy": "npy",
    "multipart/form-data": "form",
}
"""Content types that a search takes."""

ANSWER_TYPES: dict[AnswerKind, str] = {
    "json": "application/json",
    "msgpack": "application/msgpack",
}
"""Content types that a search is answered with."""

_WILDCARDS = ("application/*", "*/*")
_QUALITY = re.compile(r"(0(\.\d{0,3})?|1(\.0{0,3})?)", re.ASCII)
_MOST_DIGITS = 18


def body_kind(headers: Headers) -> BodyKind:
    """What the headers say that the body is.

    Raises
    ------
    ProblemError
        Another content type, text that is not UTF-8, or a compressed body.
    """
    media_type, _, parameters = headers.get("content-type", "").lower().partition(";")
    kind = MEDIA_TYPES.get(media_type.strip())
    if kind is None:
        raise _unsupported(
            f"expected Content-Type {', '.join(MEDIA_TYPES)}; found {media_type or 'none'}",
            list(MEDIA_TYPES),
            media_type or "none",
        )
    charset = _charset(parameters)
    if kind == "json" and charset not in ("utf-8", "utf8"):
        raise _unsupported(f"expected JSON as UTF-8, found {charset}", "utf-8", charset)
    encoding = headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise _unsupported(
            f"expected a body without Content-Encoding, found {encoding}", "identity", encoding
        )
    return kind


def answer_kind(headers: Headers) -> AnswerKind:
    """How the client wants a search answered: JSON, unless it would rather have MessagePack."""
    wanted: dict[str, float] = {}
    for choice in headers.get("accept", "").lower().split(","):
        media_type, *parameters = (part.strip() for part in choice.split(";"))
        quality = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q" and _QUALITY.fullmatch(value.strip()):
                quality = float(value)
        wanted[media_type] = max(quality, wanted.get(media_type, 0))
    packed = wanted.get(ANSWER_TYPES["msgpack"], 0)
    plain = wanted.get(ANSWER_TYPES["json"])
    if plain is None:  # a wildcard is no wish when another type is named
        plain = max((wanted.get(name, 0) for name in _WILDCARDS), default=0) * 0.999
    return "msgpack" if packed > plain else "json"


def _charset(parameters: str) -> str:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "charset":
            return value.strip().strip('"')
    return "utf-8"


def _unsupported(detail: str, expected: object, found: str) -> ProblemError:
    return ProblemError(UNSUPPORTED_MEDIA_TYPE, detail, expected=expected, found=found)


async def read_body(request: Request, most: int) -> bytearray:
    """Read the whole body, and stop with a `ProblemError` at the first byte beyond `most`.

    A declared length is not waited for when it is too large already, and not trusted when it is
    not.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > _MOST_DIGITS or int(declared) > most):
        raise _too_large(most, declared)
    body = bytearray()
    async for piece in request.stream():
        if len(body) + len(piece) > most:
            raise _too_large(most, f"more than {most}")
        body += piece
    return body


def _too_large(most: int, found: str) -> ProblemError:
    return ProblemError(
        BODY_TOO_LARGE,
        f"expected a body of at most {most} bytes, found {found}; send the queries in parts",
        expected=most,
        found=found,
    )


async def until_gone(request: Request) -> None:
    """Return when the client has closed the connection; the body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
