"""The part of the API's description that tells of keys, scopes and limits."""

from __future__ import annotations

from typing import Any

from service.description import problems
from service.problems import BODY_TIMEOUT, FORBIDDEN, RATE_LIMITED, UNAUTHORIZED, Kind
from service.security.scopes import Need, need_of

SCHEMES: dict[str, Any] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, made by `kinfold keys create`: kf_<id>_<secret>.",
    },
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "The same key, for clients that cannot send Authorization.",
    },
}

_LIMIT_HEADERS = {
    "RateLimit-Limit": "Requests that the key may make in its window.",
    "RateLimit-Remaining": "How many of them are left.",
    "RateLimit-Reset": "Seconds until there is more.",
}


def describe_security(document: dict[str, Any]) -> None:
    """Add to each operation of a description which scope it needs, and what it answers without."""
    document["components"]["securitySchemes"] = SCHEMES
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            _describe(operation, need_of(method.upper(), path))


def _describe(operation: dict[str, Any], need: Need | None) -> None:
    if need == "open":
        operation["security"] = []
        return
    operation["security"] = [{name: []} for name in SCHEMES]
    operation["x-kinfold-scope"] = need
    kinds: list[Kind] = [UNAUTHORIZED, RATE_LIMITED]
    if need != "read":
        kinds.append(FORBIDDEN)
    if "requestBody" in operation:
        kinds.append(BODY_TIMEOUT)
    described = {str(status): answer for status, answer in problems(*kinds).items()}
    described["429"]["headers"] |= {
        name: {"description": text, "schema": {"type": "string"}, "example": "1"}
        for name, text in _LIMIT_HEADERS.items()
    }
    # What the address says itself is more exact.
    answers = {**described, **operation["responses"]}
    operation["responses"] = dict(sorted(answers.items()))
