"""The manifest: what a version holds, how it was made, and the hash of every file."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from kinfold.config import BuildConfig, Metric, ValueType, describe
from kinfold.errors import CorruptIndexError, FormatError, NewerFormatError

FORMAT_VERSION = 1
"""Goes up when a reader of the older format could not read the newer one."""

MANIFEST = "manifest.json"
MOST_MANIFEST_BYTES = 4 << 20
_VERSION_NAME = re.compile(r"[0-9T.]+Z-([0-9a-f]{12})")

MODEL_NAME = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
"""What a model may be called."""

ModelName = Annotated[str, StringConstraints(pattern=rf"^{MODEL_NAME}$")]
FileName = Annotated[str, StringConstraints(pattern=rf"^(models/{MODEL_NAME}/)?{MODEL_NAME}$")]
"""Relative and inside the version's folder, whoever wrote the manifest."""


StageKey = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class FileInfo(BaseModel):
    """Size and hash of one file, for `verify`."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class TriedSetting(BaseModel):
    """One setting that `auto` or `tune` looked at."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    parameters: dict[str, Any] = Field(description="Those that were to be chosen.")
    score: float = Field(
        description="mAP: of the labelled queries, or as the gallery's own groups have it."
    )
    lead: float = Field(
        description="By how much it was ahead of the setting to be improved: on average over the "
        "queries, or under the grouping that likes it least."
    )


class TuningInfo(BaseModel):
    """What was tried when parameters were chosen, and why these."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    by: Literal["gallery", "labels"]
    reason: str
    changed: dict[str, Any] = Field(description="Parameters that are not the defaults any more.")
    items: int = Field(ge=0, description="Of the gallery, in the sample that was looked at.")
    queries: int = Field(ge=0, description="Hidden items, or labelled queries.")
    seconds: float = Field(ge=0)
    tried: list[TriedSetting] = Field(
        default_factory=list, description="The setting to be improved is the first."
    )


class ModelInfo(BaseModel):
    """One matrix C: its blocks and what its computation reported."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    config: BuildConfig
    blocks: list[int] = Field(min_length=1, description="First slot of every block of rows.")
    stored: int = Field(ge=0, description="Values of C.")
    dtype: ValueType
    value_scale: float = Field(
        gt=0, description="Stored values, or shares of a row's largest, are those of C times this."
    )
    longest_row: int = Field(ge=0)
    edges: int = Field(ge=0)
    isolated: int = Field(ge=0, description="Items without an edge.")
    not_converged: int = Field(ge=0, description="Rows whose residual missed the tolerance.")
    mean_iterations: float = Field(ge=0)
    measured: dict[str, float] = Field(
        default_factory=dict, description="Seconds of each stage of the model."
    )
    tuning: TuningInfo | None = Field(None, description="Why these parameters, with `auto`.")

    @model_serializer(mode="wrap")
    def _without_nothing(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Models whose parameters were given are written as before there was `auto`."""
        values: dict[str, Any] = handler(self)
        if self.tuning is None:
            values.pop("tuning", None)
        return values

    @field_validator("config", mode="before")
    @classmethod
    def _known_parameters(cls, config: object) -> object:
        """Leave out parameters that a later release has added without changing the format."""
        if isinstance(config, dict):
            return {name: config[name] for name in BuildConfig.model_fields if name in config}
        return config


class Manifest(BaseModel):
    """What ``manifest.json`` holds."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    format_version: int
    kinfold_version: str
    created: str
    rows: int = Field(ge=2)
    dimension: int = Field(ge=1)
    metric: Metric
    metric_scale: float = Field(gt=0)
    ids: Literal["rows", "int64", "string"]
    payload_columns: list[str] = Field(default_factory=list)
    engine: Literal["exact", "hnsw", "ivf"]
    neighbor_recall: float = Field(ge=0, le=1, description="Of the gallery graph; 1 when exact.")
    default_model: str
    models: dict[ModelName, ModelInfo]
    measured: dict[str, float] = Field(default_factory=dict)
    stages: dict[str, StageKey] = Field(
        default_factory=dict,
        description="What each stage of the build depended on, as one hash: stages of a later "
        "build with an equal one need not be done again.",
    )
    files: dict[FileName, FileInfo]

    @model_validator(mode="after")
    def _has_its_default(self) -> Self:
        if self.default_model not in self.models:
            raise ValueError(
                f"default_model: expected one of {sorted(self.models)}, "
                f"found {self.default_model!r}"
            )
        return self

    def to_bytes(self) -> bytes:
        """The manifest as it is written."""
        return (self.model_dump_json(indent=1) + "\n").encode()


def digest(content: bytes) -> str:
    """Twelve characters that name a manifest's content; they end a version's name."""
    return hashlib.sha256(content).hexdigest()[:12]


def read_manifest(version: Path) -> Manifest:
    """Read and check a version's manifest.

    The format version is looked at before anything else, so that a newer index is told apart from
    a damaged one; then the content is held against the hash in the folder's name.
    """
    path = version / MANIFEST
    try:
        with path.open("rb") as file:
            content = file.read(MOST_MANIFEST_BYTES + 1)
    except FileNotFoundError:
        raise FormatError(
            f"{version}: expected an index or one version of it, found no {MANIFEST}"
        ) from None
    except OSError as error:
        raise FormatError(f"{path}: cannot be read: {error.strerror}") from None
    # Resolved, so that "." and links to a version are checked like the version itself.
    named = _VERSION_NAME.fullmatch(version.resolve().name)
    return parse_manifest(path, content, named[1] if named else None)


def parse_manifest(path: Path, content: bytes, expected: str | None = None) -> Manifest:
    """Check a manifest's content; `path` is for messages, `expected` its `digest` if known."""
    if len(content) > MOST_MANIFEST_BYTES:
        raise CorruptIndexError(f"{path}: expected at most {MOST_MANIFEST_BYTES} bytes, found more")
    values = _parse(path, content)
    found = values.get("format_version")
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise CorruptIndexError(f"{path}: expected a format_version of at least 1, found {found!r}")
    if found > FORMAT_VERSION:
        raise NewerFormatError(
            f"{path}: written by a newer kinfold (format {found}, this one reads up to "
            f"{FORMAT_VERSION}); upgrade kinfold to open it"
        )
    if expected is not None and digest(content) != expected:
        raise CorruptIndexError(
            f"{path}: corrupt: expected content hash {expected} as in the folder's name, "
            f"found {digest(content)}"
        )
    try:
        return Manifest.model_validate(values)
    except ValidationError as error:
        raise CorruptIndexError(f"{path}: corrupt: {describe(error)}") from None


def _parse(path: Path, content: bytes) -> dict[str, Any]:
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CorruptIndexError(f"{path}: corrupt: not valid JSON: {error}") from None
    if not isinstance(values, dict):
        raise CorruptIndexError(f"{path}: corrupt: expected a JSON object")
    return values
