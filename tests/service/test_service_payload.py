"""Every Arrow type that a payload may have becomes something that JSON has."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from service_client import problem, running

import kinfold
from service.payload import as_json

DAY = dt.date(2024, 1, 2)
LARGEST, SMALLEST = 2**63 - 1, -(2**63) + 1


def counts(values: list[int | None], kind: pa.DataType) -> pa.Array:
    return pa.array(values, pa.int64()).cast(kind)


COLUMNS: dict[str, tuple[pa.Array, list[Any]]] = {
    "bool": (pa.array([True, None]), [True, None]),
    "uint64": (pa.array([2**64 - 1, None], pa.uint64()), [2**64 - 1, None]),
    "float": (pa.array([float("inf"), float("nan")]), [None, None]),
    "float16": (pa.array(np.array([1.5, np.nan], np.float16)), [1.5, None]),
    "text": (pa.array(["é", None]), ["é", None]),
    "text view": (pa.array(["é", None], pa.string_view()), ["é", None]),
    "bytes": (pa.array([b"\xff\0", None]), ["/wA=", None]),
    "fixed bytes": (pa.array([b"ab", None], pa.binary(2)), ["YWI=", None]),
    "decimal": (pa.array([Decimal("-1.20"), None]), ["-1.20", None]),
    "wide decimal": (pa.array([Decimal("1.20"), None], pa.decimal256(60, 2)), ["1.20", None]),
    "date": (pa.array([DAY, None]), ["2024-01-02", None]),
    "date64": (pa.array([DAY, None], pa.date64()), ["2024-01-02", None]),
    "far date": (
        pa.array([2**31 - 1, -(2**31)], pa.int32()).cast(pa.date32()),
        ["5881580-07-11", "-5877641-06-23"],
    ),
    "seconds": (
        counts([LARGEST, None], pa.timestamp("s")),
        ["292277026596-12-04T15:30:07", None],
    ),
    "nanoseconds": (
        counts([1_704_164_645_123_456_789, SMALLEST], pa.timestamp("ns")),
        ["2024-01-02T03:04:05.123456789", "1677-09-21T00:12:43.145224193"],
    ),
    "zoned": (
        counts([1_704_164_645_500_000, None], pa.timestamp("us", tz="Europe/Paris")),
        ["2024-01-02T03:04:05.5Z", None],
    ),
    "time": (counts([1, None], pa.time64("ns")), ["00:00:00.000000001", None]),
    "duration": (counts([1500, None], pa.duration("ms")), [1.5, None]),
    "list": (pa.array([[1, None], None]), [[1, None], None]),
    "list of dates": (pa.array([[DAY], []]), [["2024-01-02"], []]),
    "fixed list": (
        pa.array([[1.0, float("nan")], None], pa.list_(pa.float64(), 2)),
        [[1.0, None], None],
    ),
    "large list": (pa.array([[b"a"], None], pa.large_list(pa.binary())), [["YQ=="], None]),
    "struct": (pa.array([{"a": 1, "b": b"x"}, None]), [{"a": 1, "b": "eA=="}, None]),
    "map": (
        pa.array([[(1, DAY)], None], pa.map_(pa.int8(), pa.date32())),
        [[[1, "2024-01-02"]], None],
    ),
    "dictionary": (pa.array(["a", None]).dictionary_encode(), ["a", None]),
    "dictionary of dates": (pa.array([DAY, None]).dictionary_encode(), ["2024-01-02", None]),
    "interval": (
        pa.array([pa.MonthDayNano([1, 2, 3]), None]),
        ["MonthDayNano(months=1, days=2, nanoseconds=3)", None],
    ),
    "union": (
        pa.UnionArray.from_sparse(
            pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array([b"a", b"b"])]
        ),
        [1, "Yg=="],
    ),
    "uuid": (
        pa.ExtensionArray.from_storage(
            pa.uuid(), pa.array([b"0123456789abcdef", None], pa.binary(16))
        ),
        ["30313233-3435-3637-3839-616263646566", None],
    ),
    "null": (pa.nulls(2), [None, None]),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_value(name: str) -> None:
    array, expected = COLUMNS[name]
    assert orjson.loads(orjson.dumps([as_json(value) for value in array])) == expected


def test_over_http(tmp_path: Path) -> None:
    """Through a build and a server: what is stored can be answered, and nothing is a 500."""
    vectors = np.random.default_rng(0).normal(size=(12, 4))
    expected = {}
    for name, (array, values) in COLUMNS.items():
        folder = tmp_path / name.replace(" ", "-")
        # Not every type can be gathered by Arrow, and then not be built.
        with suppress(kinfold.KinfoldError, pa.ArrowException):
            rows = pa.chunked_array([array] * 6)
            kinfold.build(vectors, folder, payload=pa.table({"x": rows}))
            expected[folder.name] = values
    answered = 0
    with running(tmp_path) as client:
        for name, values in expected.items():
            answer = client.search(name, id=0, k=11, with_payload=True)
            if answer.status_code == 503:
                problem(answer, 503, "collection-failed")
                continue
            answered += 1
            for hit in answer.json()["results"][0]["hits"]:
                assert hit["payload"]["x"] == values[hit["id"] % 2], name
    assert answered >= len(COLUMNS) - 3
