"""Searches through both clients say what the library says, whatever way they go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kinfold
from benchmarks.dependability.processes import Service
from kinfold.client import AsyncClient, Client, NotFoundError, RefusedError
from kinfold.client.methods import search as searches
from kinfold.errors import InputError, UnknownNameError

Ask = Callable[..., Any]


@contextmanager
def asked(kind: str, service: Service) -> Iterator[Ask]:
    """``ask("search", "photos", …)`` by a client of a kind."""
    if kind == "waiting":
        with Client(service.url) as client:
            yield lambda name, *args, **given: getattr(client, name)(*args, **given)
        return
    with asyncio.Runner() as runner:
        client = AsyncClient(service.url)
        yield lambda name, *args, **given: runner.run(getattr(client, name)(*args, **given))
        runner.run(client.aclose())


@pytest.fixture(params=["waiting", "awaiting"])
def ask(request: pytest.FixtureRequest, service: Service) -> Iterator[Ask]:
    with asked(request.param, service) as ask:
        yield ask


@pytest.fixture(scope="session")
def photos(data: Path) -> kinfold.Index:
    return kinfold.open(data / "photos")


def test_one_vector_and_a_batch(ask: Ask, photos: kinfold.Index, vectors: np.ndarray) -> None:
    hits = photos.search(vectors[:3], 7)
    answer = ask("search", "photos", vectors[:3], k=7)
    assert len(answer) == 3
    assert answer.collection == "photos"
    for query in range(3):
        np.testing.assert_array_equal(answer[query].ids, hits.ids[query])
        np.testing.assert_allclose(answer[query].scores, hits.scores[query], rtol=1e-6)
        np.testing.assert_allclose(answer[query].similarities, hits.similarities[query], rtol=1e-6)
    single = ask("search", "photos", vectors[0].tolist(), k=7)
    np.testing.assert_array_equal(single.ids, hits.ids[0])
    assert single.hits[0].id == single.ids[0]
    with pytest.raises(InputError, match="found 3"):
        _ = answer.ids


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"k": 3, "model": "knn"},
        {"model": ["default", "knn"], "fusion": "score", "with_payload": True},
        {"k_q": 4, "seeds": "plain", "explain": True, "k": 2},
        {"offset": 2, "min_similarity": -0.25, "k": np.int64(4)},
        {"filter": {"column": "price", "lt": 20.5}, "group_by": "camera", "group_size": 2},
        {"filter": {"column": "name", "in": np.array(["photo 1", "photo 2"])}},
    ],
)
def test_raw_and_json_bodies_ask_the_same(
    ask: Ask, vectors: np.ndarray, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = ask("search", "photos", vectors[5], **options)
    assert searches.search_call("c", vectors[5], {}, options).body == vectors[5].tobytes()
    monkeypatch.setattr(searches, "MOST_QUERY_STRING", -1)
    json = ask("search", "photos", vectors[5], **options)
    assert json.results == raw.results
    assert json.model == raw.model


def test_by_id_and_by_ids(ask: Ask, vectors: np.ndarray) -> None:
    answer = ask("search", "words", id="wörd 7", k=4, with_payload=True)
    assert "wörd 7" not in answer.ids
    assert answer.hits[0].payload == {}
    both = ask("search", "photos", ids=np.array([3, 4]), k=4)
    assert len(both) == 2
    np.testing.assert_array_equal(both[1].ids, ask("search", "photos", id=4, k=4).ids)


def test_by_examples_among_some(ask: Ask) -> None:
    given = {"positive": [3, 4], "negative": [9], "k": 5}
    answer = ask("search", "photos", **given, filter={"column": "camera", "eq": "camera 2"})
    assert len(answer) == 1
    assert answer[0].matched == 40
    assert set(answer.ids % 5) == {2}
    grouped = ask("search", "photos", **given, group_by="camera")
    assert len({hit.group for hit in grouped.hits}) == 5


def test_what_cannot_be_sent_is_refused_here(ask: Ask) -> None:
    for wrong in (["a"], [[[1.0]]], [], [np.nan], [1e300], [True]):
        with pytest.raises(InputError, match="vectors"):
            ask("search", "photos", wrong)
    with pytest.raises(InputError, match="list of ids"):
        ask("search", "photos", ids="ab")
    with pytest.raises(InputError, match="expected a name"):
        ask("search", "..", id=1)
    with pytest.raises(InputError, match="cannot be sent"):
        ask("search", "photos", id=object())


def test_refusals_say_what_the_service_says(ask: Ask) -> None:
    with pytest.raises(RefusedError) as refused:
        ask("search", "photos", [[1.0, 2.0]], k=10**6)
    assert refused.value.kind in {"wrong-dimension", "too-many", "invalid-vectors"}
    assert refused.value.status == 422
    assert refused.value.request_id
    assert refused.value.request_id in str(refused.value)
    with pytest.raises(UnknownNameError) as missing:
        ask("search", "a/b", id=1)
    assert isinstance(missing.value, NotFoundError)
    with pytest.raises(NotFoundError) as unknown:
        ask("search", "photos", id=10**6)
    assert (unknown.value.kind, unknown.value.found) == ("unknown-id", 10**6)


def test_listed_and_described(ask: Ask) -> None:
    states = ask("list_collections")
    assert [state.name for state in states][:2] == ["photos", "words"]
    told = ask("describe_collection", "words")
    assert told.models[:2] == ["default", "far"]
    assert told.rows == states[1].rows == 200
    assert told.created is not None
    assert ask("is_alive")
    assert ask("readiness").is_ready
