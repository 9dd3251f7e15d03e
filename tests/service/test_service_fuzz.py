"""Thousands of requests that nobody would write: every answer is as described, none a 5xx."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable

import httpx
import numpy as np
import ormsgpack
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from schemathesis.generation import GenerationMode
from service_client import JSON, NPY, RAW, Client
from test_service_openapi import DOCUMENT
from test_service_search import npy

from benchmarks.dependability.fuzz import as_part
from kinfold.search.fusion import FUSIONS
from kinfold.search.seeds import SEEDS
from service.answers import ProblemDetails, SearchAnswer

MSGPACK = "application/msgpack"
SEARCH = "/v1/collections/{collection}/search"
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
collections = st.sampled_from(["photos", "words", "parts", "several"])
ANSWER, PROBLEM = TypeAdapter(SearchAnswer), TypeAdapter(ProblemDetails)

# A slow machine gets through fewer cases, not into a failure.
SECONDS = 4.0
CHUNK = 100

# No shrinking: a failing request is small enough, and the time is better spent on more of them.
chunk = settings(
    max_examples=CHUNK,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def check(answer: httpx.Response) -> int:
    """The status of an answer, which is either what was asked for or a problem of the client's."""
    if answer.status_code == 200:
        ANSWER.validate_json(answer.content, strict=True)
    else:
        assert 400 <= answer.status_code < 500, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert PROBLEM.validate_json(answer.content, strict=True).status == answer.status_code
    return answer.status_code


def fuzz(send: Callable[[st.DataObject], int], most: int) -> Counter[int]:
    """Statuses of up to `most` requests, as many as the time allows.

    In chunks, because Hypothesis holds a test that stops when a clock says so to be flaky.
    """
    seen: Counter[int] = Counter()
    end = time.monotonic() + SECONDS
    for number in range(most // CHUNK):

        @seed(number)
        @chunk
        @given(st.data())
        def run(data: st.DataObject) -> None:
            seen[send(data)] += 1

        run()
        if time.monotonic() > end:
            break
    return seen


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_described_requests(client: Client, mode: GenerationMode) -> None:
    """Requests made from the committed description, valid ones and others."""
    cases = SCHEMA[SEARCH]["POST"].as_strategy(generation_mode=mode)

    def send(data: st.DataObject) -> int:
        case = data.draw(cases)
        case.path_parameters["collection"] = data.draw(collections)
        given = case.as_transport_kwargs(base_url="http://test")
        given.pop("cookies", None)
        if "data" in given:
            given["content"] = given.pop("data")
        if given.get("files"):
            given["files"] = [as_part(*named) for named in given["files"]]
        try:
            return check(client.send(given.pop("method"), given.pop("url"), **given))
        except httpx.InvalidURL:  # longer than any client would send
            return 0

    seen = fuzz(send, 1000)
    assert {404, 422} & set(seen)
    if mode is GenerationMode.NEGATIVE:
        # Some mutations only leave an option out, and some are undone by the transport.
        assert seen[200] < seen.total() / 2


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
numbers = st.floats(width=32) | st.integers(-(2**70), 2**70)
small = st.floats(-9, 9, width=32)
vector = st.lists(small, min_size=16, max_size=16) | st.lists(numbers, min_size=15, max_size=17)
item = st.integers(-2, 310) | st.integers(0, 299).map(lambda i: f"wörd {i}") | st.text(max_size=4)
known = st.sampled_from(["default", "knn", "far", "cas"])
name = known | st.sampled_from(["other", ""]) | st.text(max_size=3)
names = st.lists(name, max_size=9)
# The first two are models of every collection.
fused = st.permutations(["default", "knn"]) | st.lists(known, min_size=2, unique=True)
columns = st.sampled_from(["name", "day", "price", "sharpness", "taken", "tags", "thumbnail", "x"])
texts = st.sampled_from(["photo 7", "2024-03-01", "2024-03-01T00:00:00Z", "7.25", "a"])
value = texts | st.integers(-(2**70), 2**70) | st.floats() | st.booleans() | st.none()
bound = st.sampled_from(["eq", "gt", "gte", "lt", "lte"])
tests = st.one_of(
    st.builds(lambda c, b, v: {"column": c, b: v}, columns, bound, value),
    st.builds(lambda c, v: {"column": c, "in": v}, columns, st.lists(value, max_size=4)),
    st.builds(lambda c, v: {"column": c, "exists": v}, columns, st.booleans()),
)
# Those that are right of the collection photos, so that answers are seen, too.
right = st.sampled_from(
    [
        {"column": "name", "in": ["photo 7", "photo 8"]},
        {"column": "day", "lt": "2024-03-01"},
        {"column": "price", "gte": 7.25, "lt": "60"},
        {"column": "sharpness", "exists": True},
        {"column": "taken", "gt": "2024-01-02T03:04:05.1Z"},
        {"column": "tags", "eq": "a"},
    ]
)


def joined(parts: st.SearchStrategy) -> st.SearchStrategy:
    """Filters made of such tests."""
    return st.recursive(
        parts,
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=3).map(lambda some: {"and": some}),
            st.lists(inner, min_size=1, max_size=3).map(lambda some: {"or": some}),
            inner.map(lambda part: {"not": part}),
        ),
        max_leaves=6,
    )


fields = {
    "vector": vector,
    "vectors": st.lists(vector, max_size=4),
    "id": item,
    "ids": st.lists(item, max_size=6),
    "positive": st.lists(item, max_size=4),
    "negative": st.lists(item, max_size=4),
    "k": st.integers(-1, 310),
    "offset": st.integers(-1, 310),
    "min_similarity": st.floats(-2, 2, width=32) | st.floats(),
    "filter": joined(tests | right),
    "group_by": columns,
    "group_size": st.integers(0, 9),
    "k_q": st.integers(-1, 310),
    "model": name | names | fused,
    "fusion": st.sampled_from([*FUSIONS, *FUSIONS, ""]),
    "seeds": st.sampled_from([*SEEDS, ""]),
    "explain": st.booleans(),
    "with_payload": st.booleans(),
}
QUERIES = ("vector", "vectors", "id", "ids", "positive")
optional = {field: values for field, values in fields.items() if field not in QUERIES}
query = st.sampled_from(QUERIES).flatmap(
    lambda field: st.fixed_dictionaries({field: fields[field]}, optional=optional)
)
wild = st.fixed_dictionaries(
    {}, optional={field: values | anything for field, values in fields.items()}
)
# Good but for a model that only one collection has, so that fused searches come through, too.
several = st.fixed_dictionaries(
    {"vector": st.lists(small, min_size=16, max_size=16).filter(any), "model": fused},
    optional={
        "k": st.integers(1, 300),
        "k_q": st.integers(1, 300),
        "fusion": st.sampled_from(FUSIONS),
        "seeds": st.sampled_from(SEEDS),
        "with_payload": st.booleans(),
    },
)
# Good, too, but for searches of other collections, which have no payload.
chosen = st.builds(
    lambda one, options: one | options,
    st.sampled_from([{"id": 3}, {"ids": [5, 299]}, {"positive": [1, 2], "negative": [3]}])
    | several.map(lambda one: {"vector": one["vector"]}),
    st.fixed_dictionaries(
        {"filter": joined(right)},
        optional={
            "k": st.integers(1, 400),
            "offset": st.integers(0, 310),
            "min_similarity": st.floats(-1, 1, width=32),
            "group_by": st.sampled_from(["name", "day", "price", "sharpness", "taken"]),
            "model": st.sampled_from(["default", "knn"]) | fused.filter(lambda f: len(f) == 2),
            "with_payload": st.booleans(),
        },
    ),
)
body = query | query | wild | several


def test_json_bodies(client: Client) -> None:
    fusions: Counter[str | None] = Counter()

    def send(data: st.DataObject) -> int:
        content = json.dumps(data.draw(body)).encode()
        answer = client.search_bytes(data.draw(collections), content, JSON)
        fusions[answer.json().get("fusion")] += 1
        return check(answer)

    assert {200, 400, 404, 422} >= set(fuzz(send, 3000)) >= {200, 422}
    assert set(fusions) == {None, *FUSIONS}


def test_selections(client: Client) -> None:
    """Filters, groups, offsets: lists are as long as they say, and what is given is allowed."""

    def send(data: st.DataObject) -> int:
        drawn = data.draw(chosen)
        packed = data.draw(st.booleans())
        content = ormsgpack.packb(drawn) if packed else json.dumps(drawn).encode()
        answer = client.search_bytes("photos", content, MSGPACK if packed else JSON)
        if answer.status_code == 200:
            for result in answer.json()["results"]:
                most = max(0, result["matched"] - drawn.get("offset", 0))
                assert result["count"] == len(result["hits"]) <= min(most, drawn.get("k", 10))
                if not {"group_by", "min_similarity"} & set(drawn):
                    assert result["count"] == min(most, drawn.get("k", 10))
        return check(answer)

    assert {200, 404, 422} >= set(fuzz(send, 1000)) >= {200}


def test_query_strings(client: Client) -> None:
    """Raw bodies, the options in the address."""
    content = np.ones((2, 16), dtype="<f4").tobytes()
    models = (names | fused).map(",".join)
    filters = joined(tests | right).map(json.dumps) | st.text(max_size=5)
    options = st.fixed_dictionaries({}, optional=optional | {"model": models, "filter": filters})

    def send(data: st.DataObject) -> int:
        drawn = data.draw(options)
        return check(client.search_bytes(data.draw(collections), content, RAW, **drawn))

    assert {200, 404, 422} >= set(fuzz(send, 1000)) >= {200, 422}


def test_mutated_bodies(client: Client) -> None:
    """Good bodies of every kind with bytes changed, cut out, doubled."""
    chance = random.Random(7)
    good = [
        (json.dumps({"vector": [0.5] * 16, "k": 3, "with_payload": True}).encode(), JSON),
        (json.dumps({"vectors": [[1.5, -2e3] * 8] * 3, "model": "knn"}).encode(), JSON),
        (json.dumps({"ids": [1, 5, 299], "k": 2, "explain": True}).encode(), JSON),
        (
            json.dumps(
                {"id": 1, "filter": {"not": {"column": "day", "lt": "2024-02-01"}}}
            ).encode(),
            JSON,
        ),
        (ormsgpack.packb({"vectors": bytes(128), "k": 3, "offset": 2}), MSGPACK),
        (ormsgpack.packb({"positive": [1, 2], "filter": {"column": "tags", "in": ["a"]}}), MSGPACK),
        (json.dumps({"id": 1, "model": ["default", "knn"], "fusion": "score"}).encode(), JSON),
        (np.ones((3, 16), dtype="<f4").tobytes(), RAW),
        (npy(np.ones((2, 16), dtype="<f4")), NPY),
        (npy(np.ones((2, 16), dtype="<f8")), NPY),
    ]

    async def many(count: int) -> Counter[int]:
        seen: Counter[int] = Counter()
        end = time.monotonic() + SECONDS
        for _ in range(count):
            content, content_type = chance.choice(good)
            path = SEARCH.format(collection="photos")
            changed = mutated(content, chance)
            seen[check(await client.post_bare(path, changed, content_type))] += 1
            if time.monotonic() > end:
                break
        return seen

    seen = client.portal.call(many, 9000)
    assert {200, 400, 422} <= set(seen)


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Content with up to three places changed, flipped, cut out or doubled."""
    changed = bytearray(content)
    for _ in range(chance.randint(0, 3)):
        at = chance.randrange(len(changed))
        match chance.randrange(4):
            case 0:
                changed[at] = chance.randrange(256)
            case 1:
                changed[at] ^= 1 << chance.randrange(8)
            case 2:
                del changed[at : at + chance.randrange(1, 9)]
            case 3:
                changed[at:at] = changed[at : at + chance.randrange(1, 9)]
    return bytes(changed)
