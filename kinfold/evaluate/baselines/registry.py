"""The registry of query-time re-ranking methods and the one signature that all of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from kinfold.arrays import Float32s
from kinfold.config import describe
from kinfold.errors import InputError, UnknownNameError

DENSE_ROWS = 30_000
"""Items that a method with an n × n matrix accepts: one such matrix of float32 takes 3.4 GiB."""


class Prepared(ABC):
    """A baseline with its offline work done for one gallery."""

    @abstractmethod
    def scores(self, queries: Float32s) -> Float32s:
        """Score every gallery item for every query.

        Parameters
        ----------
        queries:
            (m, d) float32, rows of length one. Not changed. A transductive method scores them
            together, every other one each by itself.

        Returns
        -------
        (m, n) float32, finite, larger meaning a better rank.

        Raises
        ------
        InputError
            If a dense method was asked for more than `DENSE_ROWS` items, queries included.
        """


class Baseline(BaseModel, ABC):
    """A published re-ranking method; its fields are its parameters, with the paper's defaults."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True
    )

    name: ClassVar[str]
    """What options and tables of parameters call it."""
    title: ClassVar[str]
    """What papers call it."""
    source: ClassVar[str]
    """Authors, venue and year."""
    transductive: ClassVar[bool]
    """Whether the graph holds all queries at once, so that one query's answer uses the others."""

    @abstractmethod
    def prepare(self, gallery: Float32s) -> Prepared:
        """Do what can be done before a query is known; its time is not query time.

        Parameters
        ----------
        gallery:
            (n, d) float32, rows of length one. Not changed; may be kept.

        Raises
        ------
        InputError
            If the method is dense and the gallery has more than `DENSE_ROWS` items.
        """


Method = TypeVar("Method", bound=type[Baseline])
_BASELINES: dict[str, type[Baseline]] = {}


def register(baseline: Method) -> Method:
    """Class decorator: make a baseline known by its name."""
    if baseline.name in _BASELINES:
        raise ValueError(f"two baselines are called {baseline.name!r}")
    _BASELINES[baseline.name] = baseline
    return baseline


def baseline_names() -> list[str]:
    """The names that `resolve` knows, sorted."""
    return sorted(_BASELINES)


def resolve(name: str, parameters: Mapping[str, Any] | None = None) -> Baseline:
    """The baseline of this name, with the paper's parameters but for those given.

    Raises
    ------
    UnknownNameError
        If there is no such baseline.
    InputError
        If a parameter is unknown or its value impossible.
    """
    baseline = _BASELINES.get(name)
    if baseline is None:
        raise UnknownNameError(f"unknown method {name!r}; known are: {', '.join(baseline_names())}")
    try:
        return baseline.model_validate(dict(parameters or {}))
    except ValidationError as error:
        unknown = any(item["type"] == "extra_forbidden" for item in error.errors())
        names = ", ".join(baseline.model_fields) or "none"
        known = f"; its parameters are: {names}" if unknown else ""
        raise InputError(f"method {name!r}: {describe(error)}{known}") from None


def refuse_large(rows: int, title: str) -> None:
    """Refuse a dense method for more than `DENSE_ROWS` items, gallery and queries together."""
    if rows > DENSE_ROWS:
        raise InputError(
            f"{title} holds matrices of items × items: expected at most {DENSE_ROWS:,} items, "
            f"queries included, found {rows:,}; leave it out, or compare on a sample"
        )
