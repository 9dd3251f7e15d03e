"""Settings that service and workers share, from the environment and from a ``.env`` file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from indexer import as_bytes
from kinfold.errors import InputError

PREFIX = "KINFOLD_"

LogLevel = Literal["debug", "info", "warning", "error"]


def lowered(value: object) -> object:
    """Text in lower case; words of a setting may be written either way."""
    return value.lower() if isinstance(value, str) else value


def _redis_address(value: SecretStr) -> SecretStr:
    """Refuse early what is no address of a Redis, without repeating it."""
    try:
        parts = urlsplit(value.get_secret_value())
        known = parts.scheme in {"redis", "rediss", "unix"} and (parts.port or 1) > 0
    except ValueError:
        known = False
    if not known:
        raise ValueError("expected redis://host:port/db, rediss://… or unix://path")
    return value


def _bytes(value: object) -> object:
    """Bytes as people write them."""
    return as_bytes(value) if isinstance(value, str) else value


Size = Annotated[int, BeforeValidator(_bytes), Field(ge=1)]

RedisAddress = Annotated[SecretStr, AfterValidator(_redis_address)]


class WorkerSettings(BaseSettings):
    """What the operator decides about data and jobs.

    A field is set by the environment variable of its name with the prefix ``KINFOLD_``, or by
    that line in a ``.env`` file in the working folder; the environment wins. An empty value
    counts as not set.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    data: Path = Field(
        Path("data"), description="Folder of the collections; every sub-folder that holds one."
    )
    redis_url: RedisAddress | None = Field(
        None,
        description="redis://host:port/db, or rediss:// with TLS. None: jobs, cache and limits "
        "stay on this machine.",
    )
    sources: Path | None = Field(
        None, description="Folder of files that builds may read by name. None: uploads only."
    )
    max_upload_bytes: int = Field(
        8 << 30, ge=1, description="Largest upload or snapshot; a larger one is answered 413."
    )
    keep_versions: int = Field(
        3, ge=1, description="Newest versions of a collection that are kept after a build."
    )
    keep_hours: float = Field(0.0, ge=0, description="Versions younger than this are kept besides.")
    job_ttl_hours: float = Field(
        168.0, gt=0, description="How long finished jobs and uploads are kept."
    )
    heartbeat_seconds: float = Field(
        5.0,
        gt=0,
        le=600,
        description="How often a running job says that it is alive; silent for three times as "
        "long, it is given to another worker.",
    )
    build_memory: Size | None = Field(
        None,
        description="The most memory that a build may take, such as 8G. None: all that is "
        "available.",
    )
    build_threads: int | None = Field(
        None, ge=1, le=1024, description="Threads of a build. None: all cores."
    )
    log_level: Annotated[LogLevel, BeforeValidator(lowered)] = Field(
        "info", description="debug, info, warning or error; a line a request is info."
    )


Chosen = TypeVar("Chosen", bound=WorkerSettings)


def read_settings(kind: type[Chosen], **given: Any) -> Chosen:
    """Read settings of a kind; what is `given` wins over the environment.

    Raises
    ------
    InputError
        With every bad value, by the name of its environment variable.
    """
    try:
        return kind(**given)
    except ValidationError as error:
        wrong = (
            f"{PREFIX}{'.'.join(map(str, item['loc'])).upper()}: "
            + item["msg"].removeprefix("Value error, ")
            # A password must not stand in a log, nor the rest of a broken address.
            + ("" if item["loc"][0] in ("redis_url", "cache_url") else f", found {item['input']!r}")
            for item in error.errors()
            # A default that depends on another setting, which is the one to blame.
            if item["type"] != "default_factory_not_called"
        )
        raise InputError("settings: " + "; ".join(wrong)) from None
