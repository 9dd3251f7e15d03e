"""Searches over HTTP give what the library gives."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from service_client import NPY, RAW, Client

import kinfold
from kinfold import Hits, Index
from service.answers import SearchAnswer


def answer(response: Any) -> dict[str, Any]:
    """A good answer, held against the model that describes it."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    found: dict[str, Any] = response.json()
    SearchAnswer.model_validate(found, strict=True, extra="forbid")
    return found


def check_same(found: dict[str, Any], hits: Hits) -> None:
    assert len(found["results"]) == len(hits)
    for row, result in enumerate(found["results"]):
        assert [hit["id"] for hit in result["hits"]] == hits.ids[row].tolist()
        scores = np.array([hit["score"] for hit in result["hits"]], dtype=np.float32)
        assert np.array_equal(scores, hits.scores[row])
        similarities = np.array([hit["similarity"] for hit in result["hits"]], dtype=np.float32)
        assert np.array_equal(similarities, hits.similarities[row])
        assert result["reached"] == hits.reached[row]


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("collection", ["photos", "words", "parts"])
@pytest.mark.parametrize("model", [None, "default", "knn"])
def test_same_as_the_library(
    client: Client, data: Path, queries: np.ndarray, collection: str, model: str | None
) -> None:
    index = kinfold.open(data / collection)
    found = answer(client.search(collection, vectors=queries.tolist(), k=7, model=model))
    check_same(found, index.search(queries, 7, model))
    assert found["collection"] == collection
    assert found["version"] == index.version.name
    assert found["model"] == (model or "default")
    assert found["took_ms"] > 0


def test_batch_is_one_by_one(client: Client, queries: np.ndarray) -> None:
    batch = answer(client.search("photos", vectors=queries.tolist()))["results"]
    single = [answer(client.search("photos", vector=query.tolist())) for query in queries]
    assert batch == [one["results"][0] for one in single]


@pytest.mark.parametrize("options", [{"k_q": 1}, {"seeds": "plain"}, {"k_q": 20, "k": 300}])
def test_options_reach_the_library(
    client: Client, photos: Index, queries: np.ndarray, options: dict[str, Any]
) -> None:
    found = answer(client.search("photos", vectors=queries.tolist(), **options))
    check_same(found, photos.search(queries, **options))


def test_by_id(client: Client, data: Path) -> None:
    index = kinfold.open(data / "words")
    ids = ["wörd 7", "wörd 299", "wörd 7"]
    found = answer(client.search("words", ids=ids, k=5))
    check_same(found, index.search_by_id(ids, 5))
    alone = answer(client.search("words", id="wörd 299", k=5))
    assert alone["results"] == [found["results"][1]]
    assert "wörd 299" not in [hit["id"] for hit in alone["results"][0]["hits"]]


def test_null_is_a_field_left_out(client: Client) -> None:
    nulls = {"vector": None, "vectors": None, "ids": None, "model": None, "k_q": None}
    found = answer(client.search("photos", id=3, seeds=None, **nulls))
    assert found["results"] == answer(client.search("photos", id=3))["results"]


def test_integers_are_numbers_too(client: Client, photos: Index) -> None:
    query = [1, 0, -2, 3.5, *[0] * 12]
    found = answer(client.search("photos", vector=query))
    check_same(found, photos.search(np.array(query)))


@pytest.mark.parametrize("model", ["default", "knn"])
def test_raw_float32(client: Client, photos: Index, queries: np.ndarray, model: str) -> None:
    body = queries.astype("<f4").tobytes()
    response = client.search_bytes("photos", body, RAW, k=4, model=model, k_q=3, seeds="plain")
    check_same(answer(response), photos.search(queries, 4, model, k_q=3, seeds="plain"))


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy(client: Client, photos: Index, queries: np.ndarray, dtype: str, order: str) -> None:
    array = np.array(queries, dtype=dtype, order=order)
    found = answer(client.search_bytes("photos", npy(array), NPY, k=4))
    check_same(found, photos.search(array, 4))


def test_npy_of_one_vector(client: Client, photos: Index, queries: np.ndarray) -> None:
    found = answer(client.search_bytes("photos", npy(queries[3]), NPY))
    check_same(found, photos.search(queries[3]))


def test_payload(client: Client) -> None:
    found = answer(client.search("photos", id=4, k=299, with_payload=True))
    hits = {hit["id"]: hit["payload"] for hit in found["results"][0]["hits"]}
    assert hits[7] == {
        "name": "photo 7",
        "day": "2024-01-08",
        "price": "1.75",
        "thumbnail": "B/8=",
        "sharpness": None,
        "taken": "2024-01-02T03:04:05.123456796Z",
        "tags": ["a", None],
    }
    assert hits[6]["sharpness"] == 6 / 7
    assert hits[6]["tags"] is None


def test_payload_of_a_batch_stays_with_its_hits(client: Client, queries: np.ndarray) -> None:
    found = answer(client.search("photos", vectors=queries.tolist(), with_payload=True))
    hits = [hit for result in found["results"] for hit in result["hits"]]
    assert all(hit["payload"]["name"] == f"photo {hit['id']}" for hit in hits)


def test_no_payload_is_an_empty_one(client: Client, queries: np.ndarray) -> None:
    found = answer(client.search("words", vector=queries[0].tolist(), with_payload=True))
    assert all(hit["payload"] == {} for hit in found["results"][0]["hits"])


def test_explain(client: Client, photos: Index, queries: np.ndarray) -> None:
    found = answer(client.search("photos", vectors=queries[:5].tolist(), k=20, explain=True))
    for query, result in zip(queries, found["results"], strict=False):
        for hit in result["hits"]:
            told = photos.explain(query, hit["id"])
            shares = hit["explain"]
            kept = [n for n, part in zip(told.neighbors, told.contributions, strict=True) if part]
            assert [share["id"] for share in shares] == kept
            total = sum(share["contribution"] for share in shares)
            assert total == pytest.approx(hit["score"], rel=1e-5)
            if shares:
                assert sum(share["share"] for share in shares) == pytest.approx(1)


def test_explain_by_id(client: Client) -> None:
    found = answer(client.search("parts", id=10**12 + 5, k=3, explain=True))
    best = found["results"][0]["hits"][0]
    total = sum(share["contribution"] for share in best["explain"])
    assert total == pytest.approx(best["score"], rel=1e-5)


def test_describes_a_collection(client: Client, photos: Index) -> None:
    found = client.get("/v1/collections/photos").json()
    manifest = photos.manifest
    assert found["rows"] == 300
    assert found["dimension"] == 16
    assert found["metric"] == "cosine"
    assert found["version"] == photos.version.name
    assert found["models"] == ["default", "knn"]
    assert found["payload_columns"] == manifest.payload_columns
    assert found["neighbor_recall"] == 1
    assert found["created"] == manifest.created
    (model,) = found["details"]
    assert model["stored"] == manifest.models["default"].stored
    assert model["parameters"]["alpha"] == manifest.models["default"].config.alpha


def test_lists_collections(client: Client) -> None:
    found = client.get("/v1/collections").json()["collections"]
    assert [state["name"] for state in found] == ["parts", "photos", "several", "words"]
    assert {state["status"] for state in found} == {"ready"}
    assert {state["rows"] for state in found} == {300}
