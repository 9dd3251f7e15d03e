"""Checks of `kinfold doctor`: Redis, asked directly."""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from cli.doctor_finding import Finding, failed, ok, warning
from service.security.setup import is_loopback
from service.settings import Settings

_SECONDS = 2.0
_PINGS = 10
_MOST_SKEW_SECONDS = 5.0
_NEARLY_FULL = 0.9


def redis(settings: Settings) -> Iterator[Finding]:
    """Reachable, quick enough, and set so that it loses no jobs."""
    from redis import Redis, RedisError

    if settings.redis_url is None:
        yield ok("redis", "none: jobs, cache and limits stay in this machine's processes")
        if settings.processes > 1:
            yield warning(
                "redis",
                f"{settings.processes} processes without Redis: each counts and caches by itself",
                "set KINFOLD_REDIS_URL, if limits should hold for all of them together",
            )
        return
    url = settings.redis_url.get_secret_value()
    place = "it"
    try:
        place = _place(url)
        with Redis.from_url(
            url, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS
        ) as client:
            yield from _examine(client, settings, place)
        yield from _exposed(url, place)
    except ValueError as error:
        yield failed("redis", f"KINFOLD_REDIS_URL: {error}", "write it as redis://host:port/db")
    except RedisError as error:
        yield failed(
            "redis",
            f"{place}: {type(error).__name__}: {_without_secret(str(error), url)}",
            "start it, or correct KINFOLD_REDIS_URL; searches go on without, queued builds do not",
        )


def _examine(client: Any, settings: Settings, place: str) -> Iterator[Finding]:
    times = []
    for _ in range(_PINGS):
        start = time.perf_counter()
        client.ping()
        times.append(1000 * (time.perf_counter() - start))
    info: dict[str, Any] = client.info()
    middle = statistics.median(times)
    found = f"{place}: Redis {info.get('redis_version', '?')}, {middle:.1f} ms"
    if max(times) > settings.redis_timeout_ms:
        yield warning(
            "redis",
            f"{found}, at most {max(times):.0f} ms",
            f"above KINFOLD_REDIS_TIMEOUT_MS={settings.redis_timeout_ms} requests go on without "
            "it: move it nearer, or raise the setting",
        )
    else:
        yield ok("redis", found)
    name = f"kinfold:doctor:{secrets.token_hex(8)}"
    client.set(name, b"1", px=10_000)
    client.delete(name)
    yield from _durable(info)
    yield from _memory(info)
    seconds, microseconds = client.time()
    skew = abs(time.time() - seconds - microseconds / 1e6)
    if skew > _MOST_SKEW_SECONDS:
        yield warning(
            "clock", f"{skew:.0f} seconds from that of Redis", "set both by NTP (chrony, timesyncd)"
        )


def _durable(info: dict[str, Any]) -> Iterator[Finding]:
    if not info.get("aof_enabled"):
        yield warning(
            "redis persistence",
            "appendonly is off: queued builds since the last snapshot are lost with it",
            "start it with: redis-server --appendonly yes",
        )
    else:
        yield ok("redis persistence", "appendonly")
    for field in ("aof_last_write_status", "rdb_last_bgsave_status"):
        if info.get(field, "ok") != "ok":
            yield failed(
                "redis persistence", f"{field}: {info[field]}", "see Redis's log; is its disk full?"
            )


def _memory(info: dict[str, Any]) -> Iterator[Finding]:
    policy = info.get("maxmemory_policy", "noeviction")
    most = int(info.get("maxmemory", 0))
    if policy != "noeviction":
        yield warning(
            "redis memory",
            f"maxmemory-policy is {policy}: under pressure it forgets jobs and limits",
            "set maxmemory-policy noeviction; cached answers expire by themselves",
        )
    elif most and int(info.get("used_memory", 0)) > _NEARLY_FULL * most:
        yield warning(
            "redis memory", "more than 90 % of maxmemory is used", "raise maxmemory of Redis"
        )
    else:
        yield ok("redis memory", f"{policy}, {info.get('used_memory_human', '?')} used")


def _exposed(url: str, place: str) -> Iterator[Finding]:
    parts = urlsplit(url)
    if parts.hostname and not is_loopback(parts.hostname) and not parts.password:
        yield warning(
            "redis",
            f"{place} is asked without a password",
            "let only the service's network reach it, or set requirepass",
        )


def _place(url: str) -> str:
    """The address without user and password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _without_secret(text: str, url: str) -> str:
    password = urlsplit(url).password
    return text.replace(password, "…") if password else text
