"""Everything that is counted as it happens.

Labels take few values, whatever clients send: addresses as they are declared, never as they were
asked for, and no ids. Names of collections are those that are served.

With several processes every one counts in files of its own in ``PROMETHEUS_MULTIPROC_DIR``, which
must be set before this module is imported; see `service.processes`.
"""

from __future__ import annotations

import time
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

from service.stages import STAGES, Stages

quiet: Any = disable_created_metrics
quiet()  # of when each series began; nobody asks, and it doubles the page

REGISTRY = CollectorRegistry()

_SECONDS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
_STAGE_SECONDS = (0.00005, 0.0001, 0.00025, *_SECONDS)
_METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"}
NO_ROUTE = "none"
"""Label of a request whose address does not exist."""

REQUESTS = Counter(
    "kinfold_http_requests",
    "Requests answered, by declared address; 499: the client left before the answer.",
    ["method", "route", "status"],
    registry=REGISTRY,
)
REQUEST_SECONDS = Histogram(
    "kinfold_http_request_seconds",
    "From the first byte of a request to the last of its answer.",
    ["route"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
_STAGE = Histogram(
    "kinfold_search_stage_seconds",
    "What searches spent in each stage: wait, decode, embed (of a picture), filter, knn, combine "
    "(S·C), encode. A pass shared by several searches counts for each.",
    ["stage"],
    buckets=_STAGE_SECONDS,
    registry=REGISTRY,
)
STAGE_SECONDS = {stage: _STAGE.labels(stage) for stage in STAGES}
PASS_SEARCHES = Histogram(
    "kinfold_search_pass_searches",
    "Searches answered together with a search, itself included.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128),
    registry=REGISTRY,
)
WAITING = Gauge(
    "kinfold_search_waiting",
    "Searches that wait for a thread, looked at twice a second.",
    multiprocess_mode="livesum",
    registry=REGISTRY,
)
_REFUSED = Counter(
    "kinfold_search_refused",
    "Searches answered 503 at once: the queue was full, or the wait would have been too long.",
    ["reason"],
    registry=REGISTRY,
)
REFUSED_FULL = _REFUSED.labels("full")
REFUSED_WAIT = _REFUSED.labels("wait")
DEADLINES = Counter(
    "kinfold_search_deadlines_missed",
    "Searches that waited longer than their deadline and were dropped.",
    registry=REGISTRY,
)
_CACHE = Counter(
    "kinfold_cache_lookups",
    "Answers looked for in the cache: hit, miss, or error (it could not be asked).",
    ["result"],
    registry=REGISTRY,
)
CACHE = {result: _CACHE.labels(result) for result in ("hit", "miss", "error")}
REDIS_AWAY = Gauge(
    "kinfold_redis_away",
    "1: a Redis that is configured does not answer, at least not to one process.",
    ["redis"],
    multiprocess_mode="livemax",
    registry=REGISTRY,
)
SWAPS = Counter(
    "kinfold_collection_swaps",
    "Versions that took the place of another while the service ran, once a process.",
    ["collection"],
    registry=REGISTRY,
)
LAST_SWAP = Gauge(
    "kinfold_collection_last_swap_timestamp_seconds",
    "When a version last took the place of another.",
    ["collection"],
    multiprocess_mode="max",
    registry=REGISTRY,
)

_requests: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}


def note_request(scope: Any, status: int, seconds: float) -> None:
    """Count a request that ended."""
    route = getattr(scope.get("route"), "path", NO_ROUTE)
    method = scope["method"] if scope["method"] in _METHODS else "other"
    key = (method, route, status)
    counted = _requests.get(key)
    if counted is None:
        counted = REQUESTS.labels(method, route, str(status)), REQUEST_SECONDS.labels(route)
        _requests[key] = counted
    counted[0].inc()
    counted[1].observe(seconds)


def note_search(stages: Stages) -> None:
    """Count a search by what it spent where."""
    for stage, _, seconds in stages.spans:
        STAGE_SECONDS[stage].observe(seconds)
    if stages.passed_with:
        PASS_SEARCHES.observe(stages.passed_with)


def note_swap(collection: str) -> None:
    """Count that another version of a collection is searched from now on."""
    SWAPS.labels(collection).inc()
    LAST_SWAP.labels(collection).set(time.time())
