"""Every error of every address has one shape, and says what was expected and what was found."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from service_client import JSON, NPY, RAW, Client, problem, running

from kinfold.search.seeds import SEEDS
from service.description import problem_example
from service.problems import KINDS
from service.routes import all_routes
from service.search import steps

VECTOR = [0.5] * 16
VECTOR_BYTES = np.full(16, 0.5, dtype="<f4").tobytes()
SEARCH = "/v1/collections/photos/search"


def either(names: Sequence[str]) -> str:
    """Names as a refusal lists them."""
    *others, last = map(repr, names)
    return f"{', '.join(others)} or {last}"


ADDRESSES = {
    path: ", ".join(sorted(m for r in all_routes() if r.path == path for m in r.methods))
    for path in (route.path for route in all_routes())
}


@pytest.mark.parametrize(("path", "method"), ADDRESSES.items())
def test_wrong_method(client: Client, path: str, method: str) -> None:
    found = problem(client.send("PATCH", path), 405, "method-not-allowed")
    assert found["expected"] == method
    assert found["found"] == "PATCH"
    assert client.send("PATCH", path).headers["allow"] == found["expected"]


@pytest.mark.parametrize("path", ["/v1", "/healthz/", "/v1/collections/photos/nothing", "/ä b"])
def test_unknown_path(client: Client, path: str) -> None:
    problem(client.get(path), 404, "not-found")


@pytest.mark.parametrize("name", ["nothing", "%2e%2e", "a b", "Photos", "x" * 300])
def test_unknown_collection(client: Client, name: str) -> None:
    path = f"/v1/collections/{name}"
    problem(client.get(path), 404, "unknown-collection")
    problem(client.send("POST", f"{path}/search", json={"id": 1}), 404, "unknown-collection")


def test_unknown_model(client: Client) -> None:
    found = problem(client.search("photos", vector=VECTOR, model="best"), 404, "unknown-model")
    assert found["expected"] == ["default", "knn"]
    assert found["found"] == "best"


@pytest.mark.parametrize("wanted", [300, -1, 10**30, "7", "x" * 500])
def test_unknown_id(client: Client, wanted: int | str) -> None:
    body = f'{{"ids": [3, {wanted if isinstance(wanted, int) else repr(wanted)}]}}'
    answer = client.search_bytes("photos", body.replace("'", '"'), JSON)
    if wanted == 10**30:
        # Beyond 64 bits it is a fraction to JSON parsers.
        problem(answer, 422, "invalid-request")
    else:
        problem(answer, 404, "unknown-id")


@pytest.mark.parametrize(
    "body",
    [
        "", " ", "{", '{"vector": [NaN]}', '{"vector": [Infinity]}', '{"vector": [1e999]}', "\xff",
        '{"id": 1} x', "[" * 100_000, '{"id": "\\ud800"}', "{'id': 1}",
    ],
)  # fmt: skip
def test_not_json(client: Client, body: str) -> None:
    problem(client.search_bytes("photos", body.encode("latin-1"), JSON), 400, "invalid-json")


@pytest.mark.parametrize(
    ("body", "expected", "found"),
    [
        ([], "an object", "an empty list"),
        ("x", "an object", "x"),
        ({}, "exactly one of vector, vectors, id, ids and positive", "none"),
        ({"id": 1, "ids": [1]}, "exactly one of vector, vectors, id, ids and positive", "id, ids"),
        ({"id": True}, "an integer or a string", True),
        ({"id": 1.0}, "an integer or a string", 1.0),
        ({"ids": []}, "at least 1 of them", "an empty list"),
        ({"ids": [1, None]}, "an integer or a string", None),
        ({"ids": {"a": 1}}, "a list", "an object of 1"),
        ({"id": 1, "k": 0}, "at least 1", 0),
        ({"id": 1, "k": -1}, "at least 1", -1),
        ({"id": 1, "k": True}, "a whole number", True),
        ({"id": 1, "k": 5.0}, "a whole number", 5.0),
        ({"id": 1, "k": "5"}, "a whole number", "5"),
        ({"id": 1, "k": None}, "a whole number", None),
        ({"id": 1, "k_q": 0}, "at least 1", 0),
        ({"id": 1, "model": 7}, "a name or a list of names", 7),
        ({"id": 1, "model": "m" * 201}, "at most 200 characters", "m" * 119 + "…"),
        ({"id": 1, "seeds": "all"}, either(SEEDS), "all"),
        ({"id": 1, "explain": 1}, "true or false", 1),
        ({"id": 1, "with_payload": "true"}, "true or false", "true"),
        ({"id": 1, "explain": True, "model": "knn"}, None, None),
    ],
)
def test_invalid_request(client: Client, body: Any, expected: object, found: object) -> None:
    answer = problem(client.send("POST", SEARCH, json=body), 422, "invalid-request")
    assert answer.get("expected") == expected
    assert answer.get("found") == found


def test_unknown_fields(client: Client) -> None:
    found = problem(client.search("photos", id=1, filters={}, limit=3), 422, "invalid-request")
    assert "'filters', 'limit'" in found["detail"]
    assert "vectors" in found["expected"]
    assert found["found"] == "filters"


@pytest.mark.parametrize(
    "parameters",
    [{"k": "x"}, {"k": "1_0"}, {"k": " 5"}, {"k": "9" * 40}, {"k": ["1", "2"]}, {"vector": "1"},
     {"explain": "yes"}, {"seeds": ""}],
)  # fmt: skip
def test_invalid_parameters(client: Client, parameters: dict[str, Any]) -> None:
    answer = client.search_bytes("photos", VECTOR_BYTES, RAW, **parameters)
    problem(answer, 422, "invalid-request")


def test_parameters_do_not_go_with_json(client: Client) -> None:
    answer = client.send("POST", SEARCH, json={"id": 1}, params={"k": 3})
    problem(answer, 422, "invalid-request")


@pytest.mark.parametrize("wrong", [True, "1", None, [1], {"a": 1}])
def test_not_a_number(client: Client, wrong: object) -> None:
    found = problem(client.search("photos", vector=[*VECTOR[:-1], wrong]), 422, "invalid-vectors")
    assert "vector[15]" in found["detail"]
    assert found["expected"] == "a number"
    batch = client.search("photos", vectors=[VECTOR, [*VECTOR[:-1], wrong]])
    assert "vectors[1][15]" in problem(batch, 422, "invalid-vectors")["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {"vector": []}, {"vector": "abc"}, {"vector": [[0.5] * 16]}, {"vectors": []},
        {"vectors": [[]]}, {"vectors": VECTOR}, {"vectors": [VECTOR, VECTOR[:-1]]},
        {"vector": [1e39, *VECTOR[1:]]}, {"vector": 3},
    ],
)  # fmt: skip
def test_invalid_vectors(client: Client, body: dict[str, Any]) -> None:
    problem(client.search("photos", **body), 422, "invalid-vectors")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8"])
def test_not_finite(client: Client, value: float, dtype: str) -> None:
    array = np.ones((3, 16), dtype=dtype)
    array[2, 5] = value
    file = io.BytesIO()
    np.save(file, array)
    found = problem(client.search_bytes("photos", file.getvalue(), NPY), 422, "invalid-vectors")
    assert "query 2, value 5" in found["detail"]
    assert found["expected"] == "finite float32 values"
    assert found["found"] == str(value)
    if dtype == "<f4":
        answer = client.search_bytes("photos", array.tobytes(), RAW)
        assert problem(answer, 422, "invalid-vectors")["found"] == str(value)


@pytest.mark.parametrize("size", [1, 15, 17, 32])
def test_wrong_dimension(client: Client, size: int) -> None:
    found = problem(client.search("photos", vector=[0.5] * size), 422, "wrong-dimension")
    assert (found["expected"], found["found"]) == (16, size)


def test_zero_vector(client: Client) -> None:
    found = problem(client.search("photos", vector=[0] * 16), 422, "invalid-request")
    assert "all zeros" in found["detail"]


def test_similarity_beyond_float32(client: Client) -> None:
    answer = client.search("parts", vectors=[VECTOR, [3e38] * 16])
    assert "row 1 has length" in problem(answer, 422, "invalid-request")["detail"]


@pytest.mark.parametrize(
    ("body", "expected", "found"),
    [
        ({"vector": VECTOR, "k": 301}, 300, 301),
        ({"id": 1, "k": 300}, 299, 300),
        ({"vector": VECTOR, "k_q": 301}, 300, 301),
        ({"vector": VECTOR, "k": 10_001}, 10_000, 10_001),
        ({"vector": VECTOR, "k_q": 10_001}, 10_000, 10_001),
        ({"ids": list(range(300)) * 4}, 1024, 1200),
        ({"vectors": [VECTOR] * 1025}, 1024, 1025),
        ({"vectors": [VECTOR] * 1000, "k": 201}, 200_000, 201_000),
        ({"vectors": [VECTOR] * 1000, "k_q": 201}, 200_000, 201_000),
        ({"vectors": [VECTOR] * 11, "explain": True}, 100, 110),
        ({"id": 1, "k": 101, "explain": True}, 100, 101),
    ],
)
def test_limits(client: Client, body: dict[str, Any], expected: int, found: int) -> None:
    answer = problem(client.search("photos", **body), 422, "too-many")
    assert (answer["expected"], answer["found"]) == (expected, found)


@pytest.mark.parametrize(
    "content_type",
    [None, "", "text/plain", "application/x-www-form-urlencoded", "application/jsonx",
     "application/json; charset=latin-1", "multipart/mixed; boundary=x"],
)  # fmt: skip
def test_content_type(client: Client, content_type: str | None) -> None:
    answer = client.search_bytes("photos", b'{"id": 1}', content_type)
    found = problem(answer, 415, "unsupported-media-type")
    assert found["expected"]


@pytest.mark.parametrize("content_type", ["Application/JSON", 'application/json; charset="UTF-8"'])
def test_content_type_is_read_leniently(client: Client, content_type: str) -> None:
    assert client.search_bytes("photos", b'{"id": 1}', content_type).status_code == 200


def test_errors_stay_short(client: Client) -> None:
    """What a client sends is never sent back whole."""
    long = "y" * 3_000_000
    for answer in (
        client.search("words", id=long),
        client.search("photos", vector=VECTOR, model=long),
        client.search("photos", **{long: 1}),
        client.search("photos", vector=[long]),
        client.search_bytes("photos", b"", long[:5000]),
        client.search_bytes("photos", VECTOR_BYTES, RAW, **{long[:5000]: ["1", "2"]}),
    ):
        assert 400 <= answer.status_code < 500
        assert len(answer.content) < 2500


def test_compressed_body(client: Client) -> None:
    headers = {"Content-Type": JSON, "Content-Encoding": "gzip"}
    answer = client.send("POST", SEARCH, content=b"x", headers=headers)
    assert problem(answer, 415, "unsupported-media-type")["found"] == "gzip"


def test_large_body(data: Path) -> None:
    async def chunked(pieces: int) -> AsyncIterator[bytes]:
        for _ in range(pieces):
            yield b" " * 256

    with running(data, max_body_bytes=1024) as client:
        exact = b'{"id": 1}'.ljust(1024)
        assert client.search_bytes("photos", exact, JSON).status_code == 200
        found = problem(client.search_bytes("photos", exact + b" ", JSON), 413, "body-too-large")
        assert (found["expected"], found["found"]) == (1024, "1025")
        # Without a Content-Length the size shows only while the body arrives.
        problem(client.search_bytes("photos", chunked(4), JSON), 400, "invalid-json")
        problem(client.search_bytes("photos", chunked(5), JSON), 413, "body-too-large")
        headers = {"Content-Type": JSON, "Content-Length": "9" * 30}
        problem(client.send("POST", SEARCH, content=b"", headers=headers), 413, "body-too-large")


def test_internal_error(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(steps, "check", fail)
    answer = client.search("photos", id=1)
    found = problem(answer, 500, "internal-error")
    assert "secret" not in answer.text
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.fields["request_id"] == found["request_id"]  # type: ignore[attr-defined]


def test_request_id_is_kept(client: Client) -> None:
    answer = client.get("/nothing", headers={"X-Request-ID": "proxy-1.7_a"})
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "proxy-1.7_a"
    for bad in ("a b", "x" * 65, 'a"b', ""):
        answer = client.get("/healthz", headers={"X-Request-ID": bad})
        assert answer.headers["x-request-id"] not in (bad, "")


def test_kinds_are_told_apart() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    for kind in KINDS:
        assert problem_example(kind)["status"] == kind.status


def test_access_log(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "kinfold.access"):
        client.get("/nothing", headers={"X-Request-ID": "abc"})
    (record,) = caplog.records
    fields = record.fields  # type: ignore[attr-defined]
    assert fields["ms"] > 0
    assert {"method": "GET", "path": "/nothing", "status": 404, "request_id": "abc"}.items() <= (
        fields.items()
    )


def test_parameters_that_the_framework_refuses_are_problems_too(client: Client) -> None:
    answer = client.get("/v1/collections/photos/snapshot", params={"version": "x" * 129})
    found = problem(answer, 422, "invalid-request")
    assert found["detail"].startswith("version: ")
    assert len(found["found"]) <= 120
