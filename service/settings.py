"""Settings of the service, from the environment and from a ``.env`` file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from kinfold.threads import available_cores
from service.security.values import checked_networks, checked_origins, checked_rate
from workers.settings import RedisAddress, WorkerSettings, lowered, read_settings

Switch = Literal["on", "off"]
Cache = Literal["auto", "off", "memory", "redis"]
Verify = Literal["quick", "full"]


def _cores_of_a_process(given: dict[str, Any]) -> int:
    return max(1, available_cores() // int(given.get("processes", 1)))


class Settings(WorkerSettings):
    """Everything about the service that its operator decides, beside what workers share."""

    host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address to listen on; 0.0.0.0 opens the service to the network.",
    )
    port: int = Field(
        8000, ge=0, le=65535, description="Port to listen on; 0: any free one, which the log names."
    )
    processes: int = Field(1, ge=1, le=256, description="Processes that share the port.")
    threads: int = Field(
        default_factory=_cores_of_a_process,
        ge=1,
        le=1024,
        description="Searches that run at once in a process, each on one core; by default the "
        "cores are divided among the processes.",
    )
    queue: int = Field(
        64,
        ge=0,
        le=1_000_000,
        description="Searches that may wait while all threads are busy; one more is answered 503.",
    )
    batch: int = Field(
        32,
        ge=1,
        le=1024,
        description="Waiting searches that are answered together, in one pass over the gallery.",
    )
    deadline_ms: int = Field(
        10_000,
        ge=1,
        description="Longest that a search may wait for a thread; then it is answered 503. The "
        "header X-Timeout-Ms may ask for less.",
    )
    queue_ms: int = Field(
        500,
        ge=1,
        description="Wait to be expected, by the pace of the last searches, up to which one more "
        "is let into the queue; beyond, it is answered 503 at once.",
    )
    body_seconds: float = Field(
        30.0, gt=0, description="Longest pause while a body arrives; then it is answered 408."
    )
    shutdown_seconds: int = Field(
        30, ge=0, description="How long requests that run may go on after SIGTERM."
    )
    max_body_bytes: int = Field(
        32 << 20, ge=1, description="Largest request body; a larger one is answered 413."
    )
    max_batch: int = Field(1024, ge=1, description="Most queries in one request.")
    max_k: int = Field(10_000, ge=1, description="Largest k, offset + k, and k_q.")
    max_hits: int = Field(
        200_000,
        ge=1,
        description="Most hits in one answer: queries × k, and queries × k_q; times the number "
        "of models, if several are fused.",
    )
    auth: Annotated[Switch, BeforeValidator(lowered)] = Field(
        "on", description="off: everybody may do everything. Loud at the start."
    )
    keys: Path | None = Field(
        None, description="File of the hashed API keys. None: .keys.json in the data folder."
    )
    rate_limit: Annotated[str, AfterValidator(checked_rate)] = Field(
        "",
        description='Requests of one key, as "600/minute" or "20/second;10000/day". Empty: no '
        "limit; a key may have its own.",
    )
    cors_origins: Annotated[str, AfterValidator(checked_origins)] = Field(
        "", description="Origins of web pages that may call the service, by comma. Empty: none."
    )
    trusted_proxies: Annotated[str, AfterValidator(checked_networks)] = Field(
        "",
        description="Addresses or networks of proxies whose X-Forwarded-For tells the client, by "
        "comma. Empty: the header is not believed.",
    )
    audit_log: Path | None = Field(
        None, description="File to which writes are noted, a JSON line each. None: the log."
    )
    cache: Annotated[Cache, BeforeValidator(lowered)] = Field(
        "auto",
        description="Where answers are kept: memory, redis, off; auto: redis where there is one, "
        "else memory.",
    )
    cache_url: RedisAddress | None = Field(
        None,
        description="Redis of kept answers, which may throw keys away, as that of jobs may not. "
        "None: KINFOLD_REDIS_URL.",
    )
    cache_bytes: int = Field(64 << 20, ge=0, description="Most memory of cached answers.")
    cache_seconds: int = Field(3600, ge=1, description="How long an answer is kept in Redis.")
    redis_timeout_ms: int = Field(
        50, ge=1, description="Longest that a request waits for Redis before it goes on without."
    )
    watch_seconds: float = Field(
        1.0, gt=0, description="How often the data folder is looked at for new versions."
    )
    verify: Annotated[Verify, BeforeValidator(lowered)] = Field(
        "quick",
        description="What is checked before a version goes live: quick, sizes and headers; full, "
        "the hash of every file.",
    )
    jobs: Annotated[Switch, BeforeValidator(lowered)] = Field(
        "on",
        description="Without Redis: on, the service runs builds itself, in a process beside it.",
    )
    metrics: Annotated[Switch, BeforeValidator(lowered)] = Field(
        "on", description="Prometheus metrics at /metrics."
    )
    otel: Annotated[Switch, BeforeValidator(lowered)] = Field(
        "off", description="OpenTelemetry traces, by its own OTEL_… variables; needs kinfold[otel]."
    )


def load_settings(**given: Any) -> Settings:
    """Read the settings; what is `given` wins over the environment.

    Raises
    ------
    InputError
        With every bad value, by the name of its environment variable.
    """
    return read_settings(Settings, **given)
