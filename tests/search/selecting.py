"""Searches with selections done slowly: every item ranked, then picked one by one."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

import numpy as np
import pyarrow as pa


def payload_of(rows, seed=0):
    """Columns of most types, with nulls, and few values so that filters leave some."""
    rng = np.random.default_rng(seed)

    def some(values):
        return [None if rng.random() < 0.15 else values[rng.integers(len(values))]
                for _ in range(rows)]  # fmt: skip

    day = dt.date(2024, 2, 27)
    days = [day + dt.timedelta(days=i) for i in range(5)]
    moments = [dt.datetime(2024, 2, 29, 12, i) for i in range(5)]
    prices = [0.0, -0.0, 0.1, 2.5, float("nan"), float("inf")]
    tags = ["red", "green", "blue", "ünïcode", ""]
    lists = [[], ["red"], ["red", "blue"], [None, "green"]]
    return pa.table(
        {
            "camera": pa.array(some([0, 1, 2, 3, -4]), pa.int16()),
            "count": pa.array(some([0, 7, 2**64 - 1]), pa.uint64()),
            "price": pa.array(some(prices), pa.float32()),
            "size": pa.array(some([0.1, 1e300, -3.0]), pa.float64()),
            "half": pa.array(some([np.float16(0.5), np.float16(-2)]), pa.float16()),
            "sharp": pa.array(some([True, False])),
            "tag": pa.array(some(tags)),
            "view": pa.array(some(tags), pa.string_view()),
            "kind": pa.array(some(tags)).dictionary_encode(),
            "day": pa.array(some(days)),
            "midnight": pa.array(some(days), pa.date64()),
            "taken": pa.array(some(moments), pa.timestamp("us", tz="Europe/Paris")),
            "naive": pa.array(some(moments), pa.timestamp("s")),
            "cost": pa.array(some([Decimal("1.25"), Decimal("-3.00"), Decimal("0.10")])),
            "wide": pa.array(some([Decimal("1.25"), Decimal("9.5")]), pa.decimal256(50, 3)),
            "small": pa.array(some([Decimal("1.25"), Decimal("9.5")]), pa.decimal64(10, 3)),
            "tags": pa.array(some(lists), pa.list_(pa.string())),
            "views": pa.array(some(lists), pa.list_view(pa.string())),
            "pair": pa.array(some([[1, 2], [2, 3], [None, 9]]), pa.list_(pa.int32(), 2)),
            "dates": pa.array(some([[days[0]], [days[1], days[2]]]), pa.large_list(pa.date32())),
            "nothing": pa.nulls(rows),
        }
    )  # fmt: skip


def holds(node, row):
    """Whether a filter in its JSON form is true of a row of Python's values."""
    if "and" in node:
        return all(holds(part, row) for part in node["and"])
    if "or" in node:
        return any(holds(part, row) for part in node["or"])
    if "not" in node:
        return not holds(node["not"], row)
    value = row[node["column"]]
    if "exists" in node:
        known = value is not None and not (isinstance(value, float) and math.isnan(value))
        return known == node["exists"]
    values = value if isinstance(value, list) else [value]
    return any(_true(node, item) for item in values if item is not None)


def _true(node, item):
    if "eq" in node:
        return item == _like(node["eq"], item)
    if "in" in node:
        return any(item == _like(value, item) for value in node["in"])
    return (
        ("gt" not in node or item > _like(node["gt"], item))
        and ("gte" not in node or item >= _like(node["gte"], item))
        and ("lt" not in node or item < _like(node["lt"], item))
        and ("lte" not in node or item <= _like(node["lte"], item))
    )


def _like(value, item):
    """A filter's value as one of the column's kind."""
    if isinstance(item, dt.datetime):
        moment = dt.datetime.fromisoformat(value)
        if item.tzinfo is not None and moment.tzinfo is None:
            return moment.replace(tzinfo=dt.UTC)
        return moment
    if isinstance(item, dt.date):
        return dt.date.fromisoformat(value)
    if isinstance(item, Decimal):
        return Decimal(str(value))
    return value


def picked(ranking, similarities, allowed, *, need, offset=0, least=None, groups=None, size=1,
           own=()):  # fmt: skip
    """Positions of the hits out of a whole ranking, best first."""
    hits, taken = [], {}
    for position in ranking:
        group = None if groups is None else groups[position]
        if not allowed[position] or position in own:
            continue
        if least is not None and similarities[position] < np.float32(least):
            continue
        if group is not None:
            if taken.get(group, 0) >= size:
                continue
            taken[group] = taken.get(group, 0) + 1
        hits.append(int(position))
    return hits[offset : offset + need]
