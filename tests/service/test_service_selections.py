"""Filters, pages, groups, examples and MessagePack over HTTP give what the library gives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import ormsgpack
import pyarrow as pa
import pytest
from service_client import NPY, RAW, Client, problem, running
from starlette.datastructures import Headers
from test_service_search import npy

import kinfold
from kinfold import Hits, Index
from service.answers import SearchAnswer
from service.bodies import answer_kind
from service.requests import SearchBody
from service.search.question import Search

MSGPACK = "application/msgpack"
DAY = {"column": "day", "lt": "2024-02-01"}


def results(response: Any) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    packed = response.headers["content-type"] == MSGPACK
    found = ormsgpack.unpackb(response.content) if packed else response.json()
    SearchAnswer.model_validate(found, strict=True, extra="forbid")
    rows: list[dict[str, Any]] = found["results"]
    return rows


def check_same(found: list[dict[str, Any]], hits: Hits) -> None:
    assert len(found) == len(hits)
    for row, result in enumerate(found):
        count = int(hits.counts[row])
        assert result["count"] == len(result["hits"]) == count
        assert result["matched"] == hits.matched[row]
        assert result["reached"] == hits.reached[row]
        assert [hit["id"] for hit in result["hits"]] == hits.ids[row, :count].tolist()
        for name, values in (("score", hits.scores), ("similarity", hits.similarities)):
            given = np.array([hit[name] for hit in result["hits"]], dtype=np.float32)
            assert np.array_equal(given, values[row, :count])


SELECTIONS: list[dict[str, Any]] = [
    {"filter": DAY},
    {"filter": DAY, "k": 50, "model": "knn"},
    {"filter": {"not": {"column": "tags", "eq": "a"}}, "model": ["default", "knn"]},
    {"offset": 7, "k": 9},
    {"offset": 290, "k": 20},
    {"min_similarity": 0.5, "k": 40},
    {"min_similarity": 2, "k": 40},
    {"group_by": "tags_of", "k": 4},
    {"group_by": "tags_of", "group_size": 3, "offset": 1, "filter": DAY, "min_similarity": -1},
]


@pytest.fixture(scope="module")
def shop(
    tmp_path_factory: pytest.TempPathFactory, vectors: np.ndarray
) -> Iterator[tuple[Client, Index]]:
    """A collection with a column to group by."""
    folder = tmp_path_factory.mktemp("shop")
    rows = len(vectors)
    payload = pa.table(
        {
            "day": pa.array(np.datetime64("2024-01-01") + np.arange(rows)),
            "tags": [["a", "b"][: i % 3] for i in range(rows)],
            "tags_of": [None if i % 11 == 0 else f"group {i % 7}" for i in range(rows)],
        }
    )
    index = kinfold.build(vectors, folder / "shop", payload=payload)
    with running(folder) as client:
        yield client, index


@pytest.mark.parametrize("options", SELECTIONS, ids=str)
def test_same_as_the_library(
    shop: tuple[Client, Index], queries: np.ndarray, options: dict[str, Any]
) -> None:
    client, index = shop
    expected = index.search(queries, **options)
    check_same(results(client.search("shop", vectors=queries.tolist(), **options)), expected)
    ids = [3, 77, 299]
    check_same(
        results(client.search("shop", ids=ids, **options)), index.search_by_id(ids, **options)
    )
    like = index.search_examples(ids, [5], **options)
    check_same(results(client.search("shop", positive=ids, negative=[5], **options)), like)
    as_text = {
        name: json.dumps(value) if name == "filter" else value for name, value in options.items()
    }
    if isinstance(options.get("model"), list):
        as_text["model"] = ",".join(options["model"])
    raw = queries.astype("<f4").tobytes()
    check_same(results(client.search_bytes("shop", raw, RAW, **as_text)), expected)
    check_same(results(client.search_bytes("shop", npy(queries), NPY, **as_text)), expected)
    body = ormsgpack.packb({"vectors": raw, **options})
    check_same(results(client.search_bytes("shop", body, MSGPACK)), expected)


def test_groups_and_payload_of_ragged_answers(shop: tuple[Client, Index]) -> None:
    client, index = shop
    options = {"filter": DAY, "group_by": "tags_of", "min_similarity": 0.1, "k": 30}
    found = results(client.search("shop", ids=[1, 2, 250], with_payload=True, **options))
    assert len({row["count"] for row in found}) > 1
    for row in found:
        for hit in row["hits"]:
            own = index.payload(np.array([hit["id"]]))[0]
            assert hit["group"] == own["tags_of"] == hit["payload"]["tags_of"]
            assert hit["payload"]["day"] == str(own["day"])
    bare = results(client.search("shop", ids=[1, 2, 250], **options))
    groups = [[hit["group"] for hit in row["hits"]] for row in bare]
    assert groups == [[hit["group"] for hit in row["hits"]] for row in found]


def test_explained_hits_of_a_filter(shop: tuple[Client, Index]) -> None:
    client, index = shop
    (row,) = results(client.search("shop", id=3, k=4, filter=DAY, explain=True))
    hits = index.search_by_id([3], 4, filter=DAY)
    check_same([row], hits)
    for hit in row["hits"]:
        total = sum(part["contribution"] for part in hit["explain"])
        assert total == pytest.approx(hit["score"], rel=1e-4)


@pytest.mark.parametrize(
    "query",
    [
        {"vector": [0.5] * 16},
        {"vector": np.full(16, 0.5, "<f4").tobytes()},
        {"vectors": np.full((1, 16), 0.5, "<f4").tobytes()},
        {"vectors": [np.full(16, 0.5, "<f4").tobytes()]},
        {"vectors": [[0.5] * 16]},
    ],
    ids=lambda query: f"{next(iter(query))} {type(next(iter(query.values()))).__name__}",
)
def test_messagepack_takes_numbers_and_bytes(
    client: Client, photos: Index, query: dict[str, Any]
) -> None:
    body = ormsgpack.packb({**query, "k": 3, "with_payload": True})
    answer = client.search_bytes("photos", body, MSGPACK)
    assert answer.headers["content-type"] == "application/json"
    check_same(results(answer), photos.search(np.full(16, 0.5), 3))


def test_messagepack_answers_are_of_the_same_form(client: Client) -> None:
    body = {"ids": [1, 2], "k": 3, "with_payload": True, "explain": True}
    plain = client.search("photos", **body)
    packed = client.send(
        "POST", "/v1/collections/photos/search", json=body, headers={"Accept": MSGPACK}
    )
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept"
    assert packed.headers["content-type"] == MSGPACK
    found, same = ormsgpack.unpackb(packed.content), plain.json()
    assert found.keys() == same.keys()
    for row, other in zip(found["results"], same["results"], strict=True):
        assert row["count"] == other["count"]
        for hit, twin in zip(row["hits"], other["hits"], strict=True):
            assert hit["payload"] == twin["payload"]
            assert hit.keys() == twin.keys()
            assert np.float32(hit["score"]) == np.float32(twin["score"])


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "json"),
        ("*/*", "json"),
        ("application/json", "json"),
        ("application/msgpack", "msgpack"),
        ("APPLICATION/MSGPACK;q=0.5", "msgpack"),
        ("application/msgpack, */*", "msgpack"),
        ("application/msgpack;q=0.4, application/json;q=0.9", "json"),
        ("application/msgpack;q=0.9, application/json;q=0.4", "msgpack"),
        ("application/msgpack, application/json", "json"),
        ("application/msgpack;q=0", "json"),
        ("text/html, ;;;q==, application/msgpack;q=x", "msgpack"),
    ],
)
def test_what_the_client_would_rather_have(accept: str, kind: str) -> None:
    assert answer_kind(Headers({"accept": accept} if accept else {})) == kind


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "invalid-json"),
        (b"\xc1", "invalid-json"),
        (b"\xdd\xff\xff\xff\xff", "invalid-json"),
        (b"\x91" * 5000, "invalid-json"),
        (b"\x81\x01\x02", "invalid-json"),
        (b"\x81\xa2id\xd4\x01\x02", "invalid-json"),
        (b"\x90", "invalid-request"),
        (ormsgpack.packb({"id": b"\xff" * 1000}), "invalid-request"),
        (ormsgpack.packb({"id": 1, "model": b"knn"}), "invalid-request"),
        (ormsgpack.packb({"id": 1, "filter": b"knn"}), "invalid-request"),
        (ormsgpack.packb({"vector": b""}), "invalid-vectors"),
        (ormsgpack.packb({"vector": b"123"}), "invalid-vectors"),
        (ormsgpack.packb({"vector": b"1234"}), "wrong-dimension"),
        (ormsgpack.packb({"vectors": b"1234"}), "invalid-vectors"),
        (ormsgpack.packb({"vectors": [b"1234", b"12345678"]}), "invalid-vectors"),
        (ormsgpack.packb({"vectors": [b"1234", [1.0]]}), "invalid-vectors"),
        (ormsgpack.packb({"vectors": [[1.0], b"1234"]}), "invalid-vectors"),
        (ormsgpack.packb({"vector": b"\xff" * 64}), "invalid-vectors"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_messagepack_that_is_refused(client: Client, body: bytes, kind: str) -> None:
    status = 400 if kind == "invalid-json" else 422
    found = problem(client.search_bytes("photos", body, MSGPACK), status, kind)
    assert len(found["detail"]) < 500


@pytest.mark.parametrize(
    ("body", "kind", "detail"),
    [
        ({"filter": {"column": "colour", "eq": 1}}, "unknown-column", "no column 'colour'; it"),
        ({"group_by": "colour"}, "unknown-column", "no column 'colour'"),
        ({"filter": {"column": "day", "eq": 1}}, "invalid-request", "a date as text"),
        ({"filter": {"column": "day"}}, "invalid-request", "expected a test"),
        ({"filter": []}, "invalid-request", "filter: expected an object"),
        ({"filter": {"column": "thumbnail", "eq": "x"}}, "invalid-request", "'exists' only"),
        ({"group_by": "tags"}, "invalid-request", "single values"),
        ({"group_by": 5}, "invalid-request", "group_by: expected a string"),
        ({"group_size": 2}, "invalid-request", "expected group_by with it"),
        ({"group_size": 0, "group_by": "name"}, "invalid-request", "at least 1"),
        ({"offset": -1}, "invalid-request", "offset: expected at least 0"),
        ({"offset": 9_995}, "too-many", "offset + k is 10005"),
        ({"min_similarity": "1"}, "invalid-request", "min_similarity: expected a finite number"),
        ({"negative": [3]}, "invalid-request", "expected positive with it"),
    ],
    ids=str,
)
def test_refusals(client: Client, body: dict[str, Any], kind: str, detail: str) -> None:
    assert detail in problem(client.search("photos", id=1, **body), 422, kind)["detail"]


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"positive": []}, 422, "invalid-request"),
        ({"positive": [1, 1]}, 422, "invalid-request"),
        ({"positive": [1], "negative": [1]}, 422, "invalid-request"),
        ({"positive": [1, 10**6]}, 404, "unknown-id"),
        ({"positive": [1], "negative": ["x"]}, 404, "unknown-id"),
        ({"positive": [1], "id": 2}, 422, "invalid-request"),
        ({"positive": [1], "explain": True}, 422, "invalid-request"),
        ({"positive": list(range(1001))}, 422, "invalid-request"),
        ({"positive": list(range(300)), "k": 5000}, 422, "too-many"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_examples_that_are_refused(
    client: Client, body: dict[str, Any], status: int, kind: str
) -> None:
    problem(client.search("photos", **body), status, kind)


@pytest.mark.parametrize("text", ["", "{", "3", "[]", '{"column": "day"}', "NaN"])
def test_filters_of_a_query_string_that_are_refused(client: Client, text: str) -> None:
    raw = np.ones((1, 16), dtype="<f4").tobytes()
    problem(client.search_bytes("photos", raw, RAW, filter=text), 422, "invalid-request")


def test_more_than_there_is_is_no_mistake(client: Client, data: Path) -> None:
    (row,) = results(client.search("photos", id=5, k=5000, offset=1))
    assert (row["count"], row["matched"]) == (298, 299)
    (row,) = results(client.search("photos", positive=[5, 6], k=5000))
    assert (row["count"], row["matched"]) == (298, 298)
    found = problem(client.search("photos", id=5, k=5000), 422, "too-many")
    assert "besides the item itself 299" in found["detail"]


def test_searches_that_are_done_alike_say_so(client: Client, photos: Index) -> None:
    def how(**body: Any) -> Any:
        return Search(None, [1], SearchBody.model_validate({"id": 1, **body})).how(photos)

    same = {"filter": DAY, "model": "knn", "offset": 3}
    assert how(**same) == how(**same, explain=False, with_payload=True)
    assert hash(how(**same)) == hash(how(**same))
    assert how() == how(model="default")
    for other in ({"k": 9}, {"offset": 4}, {"filter": {"not": DAY}}, {"group_by": "name"}):
        assert how(**(same | other)) != how(**same)
