"""BuildConfig: every parameter of a build, validated, documented, and kept with the index."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from kinfold.errors import InputError

Metric = Literal["cosine", "l2", "inner_product"]
Graph = Literal["mutual", "union", "completed"]
Truncation = Literal["graph", "nearest"]
Neighbors = Literal["auto", "exact", "hnsw", "ivf"]
Join = Literal["auto", "exact", "cells"]
ValueType = Literal["float8", "float16", "float32"]
Seeds = Literal["plain", "reciprocal", "soft"]


class SimilaritySpec(BaseModel):
    """A similarity model by its name in the registry, with its parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    parameters: dict[str, Any] = Field(default_factory=dict)


def _spec(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


NamedSpec = Annotated[SimilaritySpec, BeforeValidator(_spec)]
"""A model with parameters, or its name alone."""


class BuildConfig(BaseModel):
    """The parameters of a build.

    Unknown names and impossible values are refused. Instances are immutable and round-trip
    through TOML (`to_toml`, `from_toml`) and through the manifest of the index.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    metric: Metric = Field(
        "cosine",
        description="How two vectors are compared. cosine: inner product of the normalised "
        "vectors. inner_product: of the vectors as they are. l2: 1 / (1 + distance² / scale²), "
        "scale being the root mean square distance to the k_d-th neighbour in the gallery. "
        "The affinity of an edge is max(similarity, 0) ** gamma in all three.",
    )
    neighbors: Neighbors = Field(
        "auto",
        description="How the neighbours of a query are found. auto: exact while that takes some "
        "milliseconds, ivf beyond.",
    )
    join: Join = Field(
        "auto",
        description="How the gallery's own neighbours are found. exact: every item is compared "
        "with all others. cells: with those that share one of its nearest cells, and with "
        "neighbours of neighbours while that finds more; the index says which share of the true "
        "ones was found. auto: exact while that takes some seconds (for inner_product, which "
        "cells suit badly, a minute or two), cells beyond.",
    )
    k_m: int | None = Field(
        None,
        ge=1,
        description="Neighbours handed to the similarity models (k_m >= k_d). "
        "None: as many as they need, and at least twice k_d, so that the graph's neighbours are "
        "a choice among them; k_d for plain similarities.",
    )
    similarity: list[NamedSpec] = Field(
        default_factory=lambda: [SimilaritySpec(name="mean")],
        min_length=1,
        description="Similarity models, applied one after the other to the neighbour lists.",
    )
    k_d: int = Field(
        15, ge=1, description="Neighbours an item may be joined to in the diffusion graph."
    )
    graph: Graph = Field(
        "completed",
        description="mutual: an edge where each is among the other's k_d nearest. union: where "
        "either is. completed: mutual, and items with fewer than min_degree mutual edges get "
        "their best one-sided ones up to that number.",
    )
    min_degree: int = Field(
        3, ge=0, description="Edges that a completed graph gives every item, if it can."
    )
    gamma: float | None = Field(
        None,
        gt=0,
        le=100,
        description="Exponent of the affinity. None: 3 for plain similarities, 1 for those a "
        "model has re-calculated.",
    )
    rank_scale: float = Field(
        3.0,
        ge=0,
        le=1000,
        description="How slowly an edge's weight falls with the worse of the two ranks that its "
        "items have among each other's neighbours: exp(-(rank - 1) / rank_scale). 0: ranks do "
        "not count, as published.",
    )
    alpha: float = Field(
        0.98,
        ge=0,
        le=0.9999,
        description="How far diffusion goes; 0 stays at the neighbours. Beyond .9999 float32 "
        "cannot tell the solutions apart.",
    )
    truncation: Truncation = Field(
        "graph",
        description="Which items a row of C is computed on. graph: those a walk from the item "
        "along the graph reaches. nearest: its max_row nearest neighbours, as published.",
    )
    max_row: int = Field(
        300, ge=1, le=100_000, description="T, the most items a row of C is computed on."
    )
    mass: float = Field(
        0.995,
        gt=0,
        le=1,
        description="A stored row keeps its largest entries until they hold this share of its sum.",
    )
    unit_diagonal: bool = Field(
        True,
        description="Whether a search takes C_ij / √(C_ii C_jj) for C_ij: items that keep much of "
        "their own diffusion, at the end of a manifold or alone, then count like all others.",
    )
    tolerance: float = Field(
        1e-3, gt=0, lt=1, description="Relative residual at which a row's solution is done."
    )
    max_iterations: int = Field(
        200, ge=1, description="Most conjugate gradient iterations a row may take."
    )
    dtype: ValueType = Field(
        "float8",
        description="How the values of C are stored. float8: eight bits, a share of the row's "
        "largest value, off by 3 % at most.",
    )
    k_q: int = Field(
        10, ge=1, description="Neighbours of a query that seed the diffusion, unless it names k_q."
    )
    seeds: Seeds = Field(
        "soft",
        description="Which of the k_q neighbours count, unless the query says. plain: all. "
        "reciprocal: those that would have the query among their own k_d nearest, and always "
        "the best one. soft: all, weighed by the ranks that query and neighbour have among each "
        "other's, as the edges of the graph are; k_q then matters little.",
    )

    auto: bool = Field(
        False,
        description="Choose similarity, rank_scale, k_d and alpha from the gallery, those of them "
        "that are not given.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.k_m is not None and self.k_m < self.k_d:
            raise ValueError(
                f"k_m = {self.k_m} is smaller than k_d = {self.k_d}; the graph takes its k_d "
                "neighbours from the k_m that were found"
            )
        if self.graph == "completed" and self.min_degree > self.k_d:
            raise ValueError(
                f"min_degree = {self.min_degree} is larger than k_d = {self.k_d}; an item can "
                "have no more one-sided edges than neighbours"
            )
        return self

    @property
    def exponent(self) -> float:
        """Gamma as it is used: 3 for plain similarities, 1 for re-calculated ones (R-DiP)."""
        if self.gamma is not None:
            return self.gamma
        return 3.0 if all(model.name == "cosine" for model in self.similarity) else 1.0

    @property
    def seed_exponent(self) -> float:
        """Gamma for seeds, whose similarities no model has re-calculated."""
        return 3.0 if self.gamma is None else self.gamma

    def to_toml(self) -> str:
        """The configuration as TOML; parameters that are None are left out."""
        lines = []
        for name, value in self.model_dump(mode="json", exclude_none=True).items():
            lines.append(f"{name} = {_toml(value)}")
        return "\n".join(lines) + "\n"

    @classmethod
    def from_toml(cls, text: str) -> BuildConfig:
        """Read a configuration from TOML text; raises `InputError` naming what is wrong."""
        try:
            return cls.checked(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"configuration: not valid TOML: {error}") from None

    @classmethod
    def from_file(cls, path: str | Path) -> BuildConfig:
        """Read a configuration from a TOML file."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"configuration {path}: cannot be read: {error}") from None
        try:
            return cls.from_toml(text)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    @classmethod
    def checked(cls, values: dict[str, Any]) -> BuildConfig:
        """Build from a mapping; raises `InputError` with one line for each bad parameter."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            unknown = any(item["type"] == "extra_forbidden" for item in error.errors())
            known = f"; parameters are: {', '.join(cls.model_fields)}" if unknown else ""
            raise InputError("configuration: " + describe(error) + known) from None


def describe(error: ValidationError) -> str:
    """A pydantic error as one readable line: parameter, what was wrong, what was found."""
    parts = []
    for item in error.errors():
        where = ".".join(str(place) for place in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        found = "" if item["type"] in {"missing", "value_error"} else f", found {item['input']!r}"
        parts.append(f"{where}: {message}{found}" if where else message)
    return "; ".join(parts)


def _toml(value: object) -> str:
    """A value of this configuration as TOML: strings, numbers, lists and inline tables."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's strings are TOML's, but for this one character.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, dict):
        return (
            "{ " + ", ".join(f"{_toml(key)} = {_toml(item)}" for key, item in value.items()) + " }"
        )
    return repr(value)
