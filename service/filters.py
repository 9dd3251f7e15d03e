"""What a filter looks like in a request, for the API's description; the library reads it."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypeAliasType

from kinfold.errors import InputError
from kinfold.search import Filter, read_filter
from kinfold.search.filters import MOST_NODES, MOST_VALUES
from service.problems import INVALID_REQUEST, ProblemError

MOST_CHARACTERS = 200

Scalar: TypeAlias = str | float | bool
Column = Annotated[str, Field(max_length=MOST_CHARACTERS, description="A column of the payload.")]


def _without_default(schema: dict[str, Any]) -> None:
    """A bound may be left out, but none stands for it."""
    del schema["default"]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FilterEqual(_Form):
    """The column's value is this one; of a column of lists, the list holds it."""

    column: Column
    eq: Scalar


class FilterIn(_Form):
    """The column's value is one of these; of a column of lists, the list holds one of them."""

    column: Column
    in_: list[Scalar] = Field(alias="in", min_length=1, max_length=MOST_VALUES)


class FilterRange(_Form):
    """The column's value lies in a range: gt or gte, lt or lte, or one of each."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"minProperties": 2})

    column: Column
    gt: Scalar = Field(0, json_schema_extra=_without_default)
    gte: Scalar = Field(0, json_schema_extra=_without_default)
    lt: Scalar = Field(0, json_schema_extra=_without_default)
    lte: Scalar = Field(0, json_schema_extra=_without_default)


class FilterExists(_Form):
    """The column has a value (null and NaN are none), or with false has none."""

    column: Column
    exists: bool


class FilterAnd(_Form):
    """All of these are true."""

    and_: list[FilterForm] = Field(alias="and", min_length=1, max_length=MOST_NODES)


class FilterOr(_Form):
    """At least one of these is true."""

    or_: list[FilterForm] = Field(alias="or", min_length=1, max_length=MOST_NODES)


class FilterNot(_Form):
    """What is inside is not true. A test of null is not, so that its contrary is."""

    not_: FilterForm = Field(alias="not")


FilterForm = TypeAliasType(
    "FilterForm",
    "FilterEqual | FilterIn | FilterRange | FilterExists | FilterAnd | FilterOr | FilterNot",
)
"""As `kinfold.search.filters` reads it."""


def filter_of(value: object) -> Filter | None:
    """The filter of a request; null is none."""
    if value is None:
        return None
    try:
        return read_filter(value)
    except InputError as error:
        raise ProblemError(INVALID_REQUEST, str(error)) from None
