"""Headers that every answer carries, and what pages of other origins may do."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Message

from service.security.values import parts_of

SAFE: dict[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""What an answer says unless its address says otherwise."""

_RAW = [(name.lower().encode(), value.encode()) for name, value in SAFE.items()]
_READABLE = ("X-Request-ID", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset",
             "Retry-After")  # fmt: skip
_SENDABLE = ("Authorization", "X-API-Key", "Content-Type", "Accept", "X-Request-ID")


def add_safe(message: Message) -> None:
    """Add the headers to the start of an answer, but for those that it has."""
    headers = message.setdefault("headers", [])
    present = {name.lower() for name, _ in headers}
    message["headers"] = [*headers, *(pair for pair in _RAW if pair[0] not in present)]


def allow_origins(app: FastAPI, origins: str) -> None:
    """Let pages of these origins call the service.

    Never with credentials: keys travel in a header that the page's own script sets, and cookies
    are of no use here.
    """
    if listed := parts_of(origins):
        app.add_middleware(
            CORSMiddleware,
            allow_origins=listed,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=_SENDABLE,
            expose_headers=_READABLE,
            max_age=600,
        )
