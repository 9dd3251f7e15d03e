"""Filters: which items a search may give, as a small tree over the columns of the payload.

As JSON, and as Python's dictionaries and lists, a filter is one of

    {"column": C, "eq": v}                      the column's value is v
    {"column": C, "in": [v, …]}                 it is one of these
    {"column": C, "gte": v, "lt": w}            it lies in a range: gt or gte, lt or lte, or both
    {"column": C, "exists": true}               it has a value at all (false: it has none)
    {"and": [filter, …]}   {"or": [filter, …]}   {"not": filter}

Every test is true or false, never unknown: a test of a value that is null, or NaN, is false, and
``not`` of it is true. Of a column of lists a test is true when it is true of one of the list's
values.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np

from kinfold.errors import InputError

MOST_DEPTH = 16
MOST_NODES = 256
MOST_VALUES = 10_000

Value: TypeAlias = bool | int | float | str
"""What a column is compared with; times are ISO 8601 text, decimals numbers or text."""

_JOINS = ("and", "or", "not")
_BOUNDS = ("gt", "gte", "lt", "lte")
_TESTS = ("eq", "in", "exists", *_BOUNDS)
_LARGEST, _SMALLEST = 2**64 - 1, -(2**63)
_MOST_SHOWN = 60


@dataclass(frozen=True, slots=True)
class OneOf:
    """The column's value is one of these; ``eq`` is ``in`` a list of one."""

    column: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """The column's value lies between two bounds; None: no such bound."""

    column: str
    gt: Value | None = None
    gte: Value | None = None
    lt: Value | None = None
    lte: Value | None = None


@dataclass(frozen=True, slots=True)
class Exists:
    """The column has a value; or, when not `wanted`, has none."""

    column: str
    wanted: bool


@dataclass(frozen=True, slots=True)
class Not:
    """What the part is not true of."""

    part: Node


@dataclass(frozen=True, slots=True)
class And:
    """What all parts are true of."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """What at least one part is true of."""

    parts: tuple[Node, ...]


Test: TypeAlias = OneOf | Range | Exists
Node: TypeAlias = OneOf | Range | Exists | Not | And | Or


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter that was read; two of them are equal when they say the same in the same words.

    Attributes
    ----------
    text:
        Its JSON. Comparing by it keeps 1, 1.0 and true apart, which Python calls equal.
    """

    text: str
    root: Node = field(compare=False, repr=False)

    @property
    def columns(self) -> list[str]:
        """The columns that it looks at, each once."""
        return list(dict.fromkeys(test.column for test in tests_of(self.root)))


def tests_of(node: Node) -> Iterator[Test]:
    """The tests of a tree, from left to right."""
    match node:
        case And(parts) | Or(parts):
            for part in parts:
                yield from tests_of(part)
        case Not(part):
            yield from tests_of(part)
        case _:
            yield node


def read_filter(value: object) -> Filter:
    """Read a filter from its JSON form; raises `InputError` saying where it is wrong."""
    if isinstance(value, Filter):
        return value
    root = _Reader().node(value, "filter", 1)
    return Filter(json.dumps(_as_json(root), separators=(",", ":")), root)


class _Reader:
    """Reads one filter and counts what it holds."""

    def __init__(self) -> None:
        self._nodes = 0
        self._values = 0

    def node(self, value: object, where: str, depth: int) -> Node:
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise InputError(f"filter: expected at most {MOST_NODES} parts, found more")
        if depth > MOST_DEPTH:
            raise InputError(f"filter: expected at most {MOST_DEPTH} levels, found more")
        if not isinstance(value, Mapping) or not value:
            raise InputError(
                f"{where}: expected an object such as {{'column': …, 'eq': …}}, "
                f"found {shown(value)}"
            )
        joins = [name for name in _JOINS if name in value]
        if joins:
            (name, *_) = joins
            if len(value) > 1:
                raise InputError(
                    f"{where}: expected {name!r} alone, found it among {len(value)} fields"
                )
            if name == "not":
                return Not(self.node(value[name], f"{where}.not", depth + 1))
            parts = tuple(
                self.node(part, f"{where}.{name}[{number}]", depth + 1)
                for number, part in enumerate(_list(value[name], f"{where}.{name}"))
            )
            return And(parts) if name == "and" else Or(parts)
        return self._test(value, where)

    def _test(self, value: Mapping[Any, object], where: str) -> Test:
        strangers = [key for key in value if key != "column" and key not in _TESTS]
        if strangers:
            raise InputError(
                f"{where}: expected column with {', '.join(_TESTS)}, or {', '.join(_JOINS)}; "
                f"found {shown(strangers[0])}"
            )
        column = value.get("column")
        if not isinstance(column, str):
            raise InputError(f"{where}: expected 'column' to name a column, found {shown(column)}")
        given = [name for name in _TESTS if name in value]
        if not given:
            raise InputError(f"{where}: expected a test ({', '.join(_TESTS)}), found none")
        if set(given) <= set(_BOUNDS):
            if {"gt", "gte"} <= set(given) or {"lt", "lte"} <= set(given):
                raise InputError(f"{where}: expected one bound a side, found {', '.join(given)}")
            bounds = {name: self._value(value[name], f"{where}.{name}") for name in given}
            return Range(column, **bounds)
        if len(given) > 1:
            raise InputError(
                f"{where}: expected one test, found {', '.join(given)}; join several by 'and'"
            )
        (name,) = given
        if name == "exists":
            wanted = value[name]
            if not isinstance(wanted, bool):
                raise InputError(f"{where}.exists: expected true or false, found {shown(wanted)}")
            return Exists(column, wanted)
        if name == "eq":
            return OneOf(column, (self._value(value[name], f"{where}.eq"),))
        items = _list(value[name], f"{where}.in")
        if self._values + len(items) > MOST_VALUES:
            raise InputError(f"filter: expected at most {MOST_VALUES} values, found more")
        return OneOf(
            column,
            tuple(self._value(item, f"{where}.in[{number}]") for number, item in enumerate(items)),
        )

    def _value(self, value: object, where: str) -> Value:
        """One value as JSON has it; a date, a time or a decimal of Python's becomes text."""
        self._values += 1
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, dt.date):  # datetimes are dates, too
            return value.isoformat()
        if isinstance(value, Decimal):
            return str(value)
        if isinstance(value, bool):
            return value
        if isinstance(value, str):
            if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
                raise InputError(f"{where}: expected text, found halves of characters")
            return value
        if isinstance(value, int) and _SMALLEST <= value <= _LARGEST:
            return int(value)
        if isinstance(value, float) and math.isfinite(value):
            return float(value)
        raise InputError(
            f"{where}: expected a string, a finite number of 64 bits, true or false; "
            f"found {shown(value)}"
            + ("; ask for no value by 'exists': false" if value is None else "")
        )


def _list(value: object, where: str) -> list[object]:
    if not isinstance(value, list | tuple) or not value:
        raise InputError(f"{where}: expected a list of at least one, found {shown(value)}")
    return list(value)


def _as_json(node: Node) -> dict[str, Any]:
    """A tree in its JSON form."""
    match node:
        case And(parts):
            return {"and": [_as_json(part) for part in parts]}
        case Or(parts):
            return {"or": [_as_json(part) for part in parts]}
        case Not(part):
            return {"not": _as_json(part)}
        case OneOf(column, values):
            return {"column": column, "in": list(values)}
        case Exists(column, wanted):
            return {"column": column, "exists": wanted}
        case Range(column):
            bounds = {name: getattr(node, name) for name in _BOUNDS}
            return {"column": column} | {k: v for k, v in bounds.items() if v is not None}


def shown(value: object) -> str:
    """A value for a message: never all of what a client may have sent."""
    if isinstance(value, list | tuple | dict):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    if isinstance(value, int) and not _SMALLEST <= value <= _LARGEST:
        return "a number of more than 64 bits"
    if isinstance(value, bool | int | float | str | None):
        return repr(value[:_MOST_SHOWN]) if isinstance(value, str) else repr(value)
    return type(value).__name__
