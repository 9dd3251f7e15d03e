"""Filters: what they are true of, on columns of every type, and what they refuse."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kinfold
from kinfold.search import read_filter
from kinfold.search.filters import MOST_DEPTH, MOST_NODES, MOST_VALUES

from .selecting import holds, payload_of

ROWS = 120
PAYLOAD = payload_of(ROWS)
# float32 values as Python's float32 would compare them.
PLAIN = PAYLOAD.to_pylist()
for row in PLAIN:
    row["midnight"] = None if row["midnight"] is None else row["midnight"]
    if row["half"] is not None:
        row["half"] = float(row["half"])


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    vectors = np.random.default_rng(0).normal(size=(ROWS, 6))
    return kinfold.build(vectors, tmp_path_factory.mktemp("filtered"), payload=PAYLOAD)


def allowed(index, expression):
    mask = index._selector.columns.mask(read_filter(expression))
    assert mask.count == mask.allowed.sum() == mask.positions.size
    unpacked = np.unpackbits(mask.bits, bitorder="little")[:ROWS].astype(bool)
    np.testing.assert_array_equal(unpacked, mask.allowed)
    return mask.allowed.tolist()


texts = st.sampled_from(["red", "green", "blue", "ünïcode", "", "r", "zzz"])
days = st.dates(dt.date(2024, 2, 25), dt.date(2024, 3, 4)).map(str)
moments = st.datetimes(dt.datetime(2024, 2, 29, 11), dt.datetime(2024, 2, 29, 14)).map(
    lambda moment: moment.isoformat()
)
zones = st.sampled_from(["", "Z", "+01:00", "-0230"])
zoned = st.builds(str.__add__, moments, zones)
wholes = st.integers(-5, 9) | st.sampled_from([2**64 - 1, -(2**63), 1.5, 2.0, 1e300, -1e300])
fractions = st.sampled_from([1.25, "1.25", "1.250", 9.5, "-3", 0, "0.1", 1, "1e50", "-1e-50"])
VALUES = {
    "camera": wholes,
    "count": wholes,
    "size": st.sampled_from([0.1, 1e300, -3, 0, 2**63]),
    "half": st.sampled_from([0.5, -2, 0, 1e9]),
    "sharp": st.booleans(),
    "tag": texts,
    "view": texts,
    "kind": texts,
    "day": days,
    "midnight": days,
    "taken": zoned | days,
    "naive": moments | days,
    "cost": fractions,
    "wide": fractions,
    "small": fractions,
    "tags": texts,
    "views": texts,
    "pair": wholes,
    "dates": days,
    "nothing": wholes | texts,
}


def test_of(column):
    values = VALUES[column]
    low = st.sampled_from(["gt", "gte"])
    high = st.sampled_from(["lt", "lte"])
    named = {"column": st.just(column)}
    return st.one_of(
        st.fixed_dictionaries(named | {"eq": values}),
        st.fixed_dictionaries(named | {"in": st.lists(values, min_size=1, max_size=4)}),
        st.fixed_dictionaries(named | {"exists": st.booleans()}),
        st.builds(lambda a, v: {"column": column, a: v}, low | high, values),
        st.builds(lambda a, v, b, w: {"column": column, a: v, b: w}, low, values, high, values),
    )


test_of.__test__ = False
tests = st.sampled_from(sorted(VALUES)).flatmap(test_of)
expressions = st.recursive(
    tests,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"and": parts}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"or": parts}),
        inner.map(lambda part: {"not": part}),
    ),
    max_leaves=6,
)


@settings(max_examples=600, deadline=None)
@given(expressions)
def test_filters_row_by_row(index, expression):
    assert allowed(index, expression) == [holds(expression, row) for row in PLAIN]


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ({"eq": 0.1}, {np.float32(0.1)}),
        ({"eq": 0}, {np.float32(0)}),
        ({"gt": 0.1}, {np.float32(2.5), np.float32("inf")}),
        ({"gte": 0.1, "lt": 1e39}, {np.float32(0.1), np.float32(2.5)}),
        ({"in": [2.5, 7]}, {np.float32(2.5)}),
    ],
)
def test_values_are_rounded_to_a_column_of_float32(index, test, expected):
    kept = np.array(PAYLOAD["price"].to_pylist(), dtype=np.float32)[
        allowed(index, {"column": "price"} | test)
    ]
    assert set(kept.tolist()) == {float(value) for value in expected}


def test_a_test_of_null_is_false_and_its_contrary_true(index):
    nulls = np.array([row["tag"] is None for row in PLAIN])
    assert nulls.any()
    for expression in ({"eq": "red"}, {"in": ["red", "blue"]}, {"gte": ""}):
        inside = np.array(allowed(index, {"column": "tag"} | expression))
        outside = np.array(allowed(index, {"not": {"column": "tag"} | expression}))
        assert not inside[nulls].any()
        assert outside[nulls].all()
    assert allowed(index, {"column": "tag", "exists": False}) == nulls.tolist()


def test_nan_is_no_value(index):
    prices = np.array(PAYLOAD["price"].to_numpy(), dtype=np.float64)
    assert allowed(index, {"column": "price", "exists": True}) == (~np.isnan(prices)).tolist()


def test_values_of_python(index):
    for column, value, text in (
        ("day", dt.date(2024, 2, 28), "2024-02-28"),
        ("naive", dt.datetime(2024, 2, 29, 12, 1), "2024-02-29T12:01:00"),
        ("cost", Decimal("1.25"), "1.25"),
        ("camera", np.int8(3), 3),
        ("size", np.float64(0.1), 0.1),
    ):
        given, read = ({"column": column, "eq": v} for v in (value, text))
        assert read_filter(given) == read_filter(read)
        assert any(allowed(index, given))


def test_one_true_and_one_point_zero_are_different_filters(index):
    one, truth = ({"column": "sharp", "eq": value} for value in (1, True))
    assert read_filter(one) != read_filter(truth)
    assert any(allowed(index, truth))
    with pytest.raises(kinfold.InputError, match="'sharp' holds bool; expected true or false"):
        allowed(index, one)
    same = [read_filter({"column": "camera", "eq": 3}) for _ in range(2)]
    assert len(set(same)) == 1
    assert same[0].columns == ["camera"]


def test_what_an_all_null_and_a_dictionary_column_say(tmp_path):
    days = [dt.date(2024, 1, 1), None, dt.date(2024, 1, 2)] * 4
    words = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2] * 4), pa.array(["a", None, "a"]))
    payload = pa.table({"day": pa.array(days).dictionary_encode(), "word": words})
    index = kinfold.build(np.eye(12), tmp_path, payload=payload)
    hits = index.search(np.eye(12)[0], 12, filter={"column": "day", "gt": "2024-01-01"})
    assert sorted(hits.ids[0].tolist()) == [2, 5, 8, 11]
    hits = index.search(np.eye(12)[0], 12, filter={"column": "word", "exists": False})
    assert sorted(hits.ids[0].tolist()) == [1, 4, 7, 10]
    # Equal entries of a dictionary are one group.
    hits = index.search(np.eye(12)[0], 12, group_by="word")
    assert hits.counts.tolist() == [1 + 4]


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ({"column": "colour", "eq": 1}, "no column 'colour'; it has: camera, count"),
        ({"column": "camera", "eq": "3"}, "'camera' holds int16; expected a number, found '3'"),
        ({"column": "camera", "in": [1, True]}, "expected a number, found True"),
        ({"column": "tag", "in": ["a", 5]}, "'tag' holds string; expected text, found 5"),
        ({"column": "tag", "gte": 5}, "expected text, found 5"),
        ({"column": "kind", "eq": 5}, "expected text, found 5"),
        ({"column": "tags", "eq": 5}, "expected text, found 5"),
        ({"column": "day", "eq": "yesterday"}, "a date as text .*found 'yesterday'"),
        ({"column": "day", "eq": "2024-02-30"}, "a date that there is, found '2024-02-30'"),
        ({"column": "day", "eq": "2024-02-03T00:00"}, "a date as text"),
        ({"column": "naive", "eq": "2024-02-03T00:00Z"}, "without zone"),
        ({"column": "taken", "eq": "2024-02-03T24:00Z"}, "a time that there is"),
        ({"column": "taken", "eq": 17}, "a time as text"),
        ({"column": "cost", "eq": "a lot"}, "a number or its text"),
        ({"column": "cost", "eq": "1e999999999"}, "a number or its text"),
        ({"column": "cost", "eq": "nan"}, "a number or its text"),
        ({"column": "cost", "eq": False}, "a number or its text"),
    ],
)
def test_refusals_by_the_columns(index, expression, message):
    with pytest.raises(kinfold.InputError, match=message):
        index.search(np.ones(6), 3, filter=expression)


def nested(depth):
    node = {"column": "camera", "eq": 1}
    for _ in range(depth - 1):
        node = {"not": node}
    return node


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("camera = 3", "filter: expected an object such as .*found 'camera = 3'"),
        ({}, "filter: expected an object"),
        ([], "filter: expected an object"),
        ({"and": []}, "filter.and: expected a list of at least one"),
        ({"and": {"column": "camera", "eq": 1}}, "filter.and: expected a list"),
        ({"and": [nested(1), 5]}, r"filter.and\[1\]: expected an object"),
        ({"or": [nested(1)], "and": [nested(1)]}, "alone"),
        ({"not": nested(1), "column": "camera"}, "expected 'not' alone"),
        ({"column": "camera"}, "expected a test .*found none"),
        ({"eq": 3}, "expected 'column' to name a column, found None"),
        ({"column": 3, "eq": 3}, "expected 'column' to name a column, found 3"),
        ({"column": "camera", "eq": 3, "ne": 4}, "found 'ne'"),
        ({"column": "camera", 5: 3}, "found 5"),
        ({"column": "camera", "eq": 3, "in": [4]}, "expected one test, found eq, in"),
        ({"column": "camera", "eq": 3, "gt": 4}, "expected one test"),
        ({"column": "camera", "gt": 3, "gte": 4}, "one bound a side, found gt, gte"),
        ({"column": "camera", "exists": 1}, "filter.exists: expected true or false, found 1"),
        ({"column": "camera", "eq": None}, "'exists': false"),
        ({"column": "camera", "eq": float("nan")}, "a finite number"),
        ({"column": "camera", "eq": 2**64}, "found a number of more than 64 bits"),
        ({"column": "camera", "eq": [1]}, "found a list of 1"),
        ({"column": "camera", "in": []}, "a list of at least one"),
        ({"column": "camera", "in": "ab"}, "a list of at least one"),
        ({"column": "tag", "eq": "\ud800"}, "halves of characters"),
        ({"column": "camera", "in": [1] * (MOST_VALUES + 1)}, "at most 10000 values"),
        ({"or": [{"column": "camera", "in": [1] * 5001}] * 2}, "at most 10000 values"),
        ({"or": [nested(1)] * MOST_NODES}, "at most 256 parts"),
        (nested(MOST_DEPTH + 1), "at most 16 levels"),
    ],
    ids=lambda given: str(given)[:40],
)
def test_refusals_by_the_form(expression, message):
    with pytest.raises(kinfold.InputError, match=message):
        read_filter(expression)


def test_as_much_as_may_be():
    read_filter(nested(MOST_DEPTH))
    read_filter({"or": [nested(1)] * (MOST_NODES - 1)})
    read_filter({"column": "camera", "in": [1] * MOST_VALUES})


def test_columns_that_can_only_be_tested_for_existing(tmp_path):
    payload = pa.table(
        {
            "bytes": pa.array([b"a", None] * 5),
            "struct": pa.array([{"a": 1}, None] * 5),
            "time": pa.array([dt.time(1), None] * 5),
        }
    )
    index = kinfold.build(np.eye(10), tmp_path, payload=payload)
    for name in payload.column_names:
        found = index.search(np.eye(10)[1], 9, filter={"column": name, "exists": True})
        assert sorted(found.ids[0].tolist()) == [0, 2, 4, 6, 8]
        with pytest.raises(kinfold.InputError, match="can be tested by 'exists' only"):
            index.search(np.eye(10)[1], 9, filter={"column": name, "eq": "a"})


def test_without_payload(tmp_path):
    index = kinfold.build(np.eye(5), tmp_path)
    with pytest.raises(kinfold.InputError, match="this index has no payload"):
        index.search(np.eye(5)[0], 1, filter={"column": "a", "eq": 1})
    with pytest.raises(kinfold.InputError, match="this index has no payload"):
        index.search(np.eye(5)[0], 1, group_by="a")


def test_a_filter_is_evaluated_once(index, monkeypatch):
    columns = index._selector.columns
    wanted = read_filter({"column": "camera", "in": [0, 1, 2]})
    first = columns.mask(wanted)
    monkeypatch.setattr(columns, "_evaluate", None)
    assert columns.mask(read_filter({"column": "camera", "in": [0, 1, 2]})) is first


def test_only_so_many_masks_are_kept(index):
    columns = index._selector.columns
    for number in range(200):
        columns.mask(read_filter({"column": "camera", "eq": number}))
    assert len(columns._masks._values) == 64
