"""Settings of the service, from the environment and from a ``.env`` file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from kinfold.errors import InputError
from kinfold.threads import available_cores

PREFIX = "KINFOLD_"

LogLevel = Literal["debug", "info", "warning", "error"]


def _lowered(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class Settings(BaseSettings):
    """Everything about the service that its operator decides.

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
    host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address to listen on. 0.0.0.0 opens the service to the network: it has no "
        "authentication of its own.",
    )
    port: int = Field(
        8000, ge=0, le=65535, description="Port to listen on; 0: any free one, which the log names."
    )
    threads: int = Field(
        default_factory=available_cores,
        ge=1,
        le=1024,
        description="Searches that run at once, each on one core.",
    )
    queue: int = Field(
        64,
        ge=0,
        le=1_000_000,
        description="Searches that may wait while all threads are busy; one more is answered 503.",
    )
    max_body_bytes: int = Field(
        32 << 20, ge=1, description="Largest request body; a larger one is answered 413."
    )
    max_batch: int = Field(1024, ge=1, description="Most queries in one request.")
    max_k: int = Field(10_000, ge=1, description="Largest k and k_q.")
    max_hits: int = Field(
        200_000,
        ge=1,
        description="Most hits in one answer: queries × k, and queries × k_q; times the number "
        "of models, if several are fused.",
    )
    log_level: Annotated[LogLevel, BeforeValidator(_lowered)] = Field(
        "info", description="debug, info, warning or error; a line a request is info."
    )


def load_settings(**given: Any) -> Settings:
    """Read the settings; what is `given` wins over the environment.

    Raises
    ------
    InputError
        With every bad value, by the name of its environment variable.
    """
    try:
        return Settings(**given)
    except ValidationError as error:
        wrong = (
            f"{PREFIX}{'.'.join(map(str, item['loc'])).upper()}: {item['msg']}, "
            f"found {item['input']!r}"
            for item in error.errors()
        )
        raise InputError("settings: " + "; ".join(wrong)) from None
