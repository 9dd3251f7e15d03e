"""Settings of security that are text: rates, origins and networks, read and refused."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

from limits import RateLimitItem, parse_many

_RATE = re.compile(r"\s*[1-9]\d{0,8}\s*/\s*(\d{1,5}\s*)?(second|minute|hour|day)s?\s*")
_ORIGIN = re.compile(r"https?://(\[[0-9a-f:]+\]|[a-z0-9.-]+)(:\d{1,5})?")


def parts_of(text: str) -> list[str]:
    """What commas separate."""
    return [part.strip() for part in text.split(",") if part.strip()]


def checked_rate(text: str) -> str:
    """A rate limit that can be used; raises ValueError."""
    parse_rate(text)
    return text


@lru_cache(maxsize=1024)
def parse_rate(text: str) -> tuple[RateLimitItem, ...]:
    """Limits as "600/minute" or "20/second;10000/day", the shortest first; raises ValueError."""
    if not text.strip():
        return ()
    if not all(_RATE.fullmatch(part) for part in text.split(";")):
        raise ValueError(
            'expected requests by second, minute, hour or day, as "600/minute" or '
            '"20/second;10000/day"'
        )
    return tuple(sorted(parse_many(text), key=lambda item: item.get_expiry()))


def checked_origins(text: str) -> str:
    """Origins that can be used; raises ValueError."""
    for origin in parts_of(text):
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise ValueError(
                'expected origins as "https://example.org", exactly as browsers send them (lower '
                'case, no path), by comma, or "*"'
            )
    return text


def checked_networks(text: str) -> str:
    """Addresses and networks that can be used; raises ValueError."""
    for part in parts_of(text):
        try:
            ipaddress.ip_network(part)
        except ValueError:
            raise ValueError(
                'expected addresses or networks as "10.0.0.5" or "10.0.0.0/8", by comma'
            ) from None
    return text
