"""The record of a job: what was asked for, how far it is, how it ended."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from kinfold.config import BuildConfig, describe
from kinfold.errors import InputError, UnknownNameError
from kinfold.pipeline.inputs import plan_models

Status = Literal["queued", "running", "done", "failed", "cancelled"]

ACTIVE: tuple[Status, ...] = ("queued", "running")
"""The states of a job that holds its collection."""

MOST_ATTEMPTS = 3
"""How often a job is begun, whose worker or process dies; a retry by hand counts anew."""

_ID = re.compile(r"[0-9a-f]{32}")
_ANY_ROWS = 1 << 31
_MOST_MODELS = 16

JobId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Name = Annotated[str, Field(min_length=1, max_length=256)]


def new_id() -> str:
    """A name that nobody can guess and that is safe as a file's."""
    return secrets.token_hex(16)


def is_id(text: str) -> bool:
    """Whether a text can be the id of a job or of an upload."""
    return _ID.fullmatch(text) is not None


def now() -> datetime:
    """The time, UTC, to the millisecond."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


class _Record(BaseModel):
    """A part of a record; what a later release has added is left out."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class ColumnNames(BaseModel):
    """Columns of the source, where they cannot be found by themselves."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vectors: Name | None = Field(
        None, description="The column of vectors. None: the only one that there is."
    )
    ids: Name | None = Field(None, description="The column of ids. None: `id`, else row numbers.")
    payload: Annotated[list[Name], Field(max_length=1024)] | None = Field(
        None, description="Columns kept with the items. None: all others."
    )


class BuildSpec(BaseModel):
    """What a build reads and makes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    source: Annotated[str, Field(min_length=1, max_length=1024)] | None = Field(
        None,
        description="A file of the folder KINFOLD_SOURCES, by its name in there. Neither source "
        "nor upload: the vectors, ids and payload of the live version are built anew.",
    )
    upload: JobId | None = Field(None, description="An upload, by its id.")
    columns: Annotated[ColumnNames, BeforeValidator(lambda v: {} if v is None else v)] = Field(
        default_factory=ColumnNames, description="Names of the columns of the source."
    )
    config: dict[str, Any] | None = Field(
        None,
        description="Parameters of a single model; see docs/parameters.md. Neither config nor "
        "models: the defaults, or of the live version all models as they are.",
    )
    models: Annotated[dict[Name, dict[str, Any]], Field(max_length=_MOST_MODELS)] | None = Field(
        None, description="Several models by name, the default first, each with its parameters."
    )

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if self.source is not None and self.upload is not None:
            raise ValueError("expected source or upload or neither, found both")
        if self.config is not None and self.models is not None:
            raise ValueError("expected config or models or neither, found both")
        if self.is_rebuild and self.columns != ColumnNames():
            raise ValueError("columns: the live version knows its own; name a source or an upload")
        return self

    @property
    def is_rebuild(self) -> bool:
        """Whether the live version itself is the source."""
        return self.source is None and self.upload is None

    def configs(self) -> tuple[BuildConfig | None, dict[str, BuildConfig] | None]:
        """`config` and `models` as a build takes them; raises `InputError`."""
        if self.models is not None:
            models = {}
            for name, values in self.models.items():
                try:
                    models[name] = BuildConfig.checked(values)
                except InputError as error:
                    raise InputError(f"model {name!r}: {error}") from None
            return None, models
        return (None if self.config is None else BuildConfig.checked(self.config)), None

    @classmethod
    def checked(cls, values: Mapping[str, Any]) -> BuildSpec:
        """A specification from outside; raises `InputError` for all that is wrong by itself.

        What depends on the gallery (its rows, its columns) shows when it is read.
        """
        try:
            spec = cls.model_validate(values)
        except ValidationError as error:
            raise InputError("build: " + describe(error)) from None
        try:
            config, models = spec.configs()
            plan_models(config, models, _ANY_ROWS)
        except UnknownNameError as error:
            raise InputError(f"build: {error}") from None
        except (RecursionError, OverflowError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"build: parameters that cannot be used: {error}") from None
        return spec


class JobProgress(_Record):
    """How far a running job is."""

    stage: str | None = Field(None, description="The stage of the build; one that is done is kept.")
    model: str | None = Field(None, description="The model that the stage is about, if it is.")
    phase: str = Field(description="What is being done: neighbors, diffusion, write, ….")
    done: int = Field(description="Units that are finished in this phase.")
    total: int = Field(description="Units of this phase in all.")
    unit: str = "rows"
    rate: float | None = Field(None, description="Units a second.")
    eta_seconds: float | None = Field(None, description="Until the end, as far as it can be told.")
    stages_done: int | None = None
    stages_total: int | None = None
    rss_bytes: int | None = Field(None, description="Memory of the building process.")


class BuildResult(_Record):
    """What a build left behind."""

    version: str = Field(description="The version that went live.")
    seconds: float
    bytes: int = Field(description="On disk.")
    rows: int
    dimension: int
    models: list[str] = Field(description="The default first.")


class JobError(_Record):
    """Why a job failed."""

    type: str
    message: str


class Beat(_Record):
    """What a worker says of a job it runs: that it is alive, and how far."""

    claim: str
    at: AwareDatetime
    progress: JobProgress | None = None


class Job(_Record):
    """One job, from the asking to the end of its time."""

    id: JobId
    kind: Literal["build"] = "build"
    collection: str
    spec: BuildSpec
    status: Status = "queued"
    attempt: int = Field(1, ge=1, description="Counts on when its process died, and by a retry.")
    crashes: int = Field(0, ge=0, description="Since it was asked for, or retried by hand.")
    delivery: int = Field(0, ge=0, description="How often it was handed to the queue.")
    claim: str | None = Field(None, description="Which run of it may change it; nobody else may.")
    worker: str | None = None
    cancel_requested: bool = False
    created: AwareDatetime
    started: AwareDatetime | None = None
    ended: AwareDatetime | None = None
    heartbeat: AwareDatetime | None = None
    progress: JobProgress | None = None
    result: BuildResult | None = None
    error: JobError | None = None
    asked_by: str | None = Field(None, description="The id of the API key that asked for it.")

    @property
    def is_active(self) -> bool:
        """Whether it is queued or running, and so holds its collection."""
        return self.status in ACTIVE

    def but(self, **changes: Any) -> Job:
        """The same job with other values, already of the right types."""
        return self.model_copy(update=changes)

    def with_beat(self, beat: Beat | None) -> Job:
        """The same job with what its worker said last."""
        if beat is None or self.status != "running" or beat.claim != self.claim:
            return self
        return self.but(heartbeat=beat.at, progress=beat.progress or self.progress)

    def to_bytes(self) -> bytes:
        """The record as it is kept."""
        return self.model_dump_json().encode()
