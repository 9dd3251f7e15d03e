"""Several models in one collection: described, searched by name, and fused, as the library does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from service_client import JSON, RAW, REPOSITORY, Client, problem, running
from test_service_search import answer, check_same

import kinfold
from kinfold import BuildConfig, Index
from kinfold.search.fusion import FUSIONS

VECTOR = [0.5] * 16
VECTOR_BYTES = np.full(16, 0.5, dtype="<f4").tobytes()
NAMES = [["default", "far"], ["knn", "cas"], ["cas", "knn", "far", "default"]]
KNOWN = ["default", "cas", "far", "knn"]


@pytest.fixture(scope="module")
def several(data: Path) -> Index:
    return kinfold.open(data / "several")


def test_describes_every_model(client: Client, several: Index) -> None:
    found = client.get("/v1/collections/several").json()
    assert found["models"] == KNOWN
    assert found["default_model"] == "default"
    assert [model["name"] for model in found["details"]] == KNOWN[:-1]
    assert found["details"][1]["parameters"]["similarity"][0]["name"] == "cas"
    for model in found["details"]:
        info = several.manifest.models[model["name"]]
        assert model["stored"] == info.stored
        # Whatever kinds of values parameters have.
        assert model["parameters"] == info.config.model_dump(mode="json")


def test_default_comes_first(data: Path, tmp_path: Path, vectors: np.ndarray) -> None:
    models = {"b": BuildConfig(alpha=0.9), "a": BuildConfig(alpha=0.5)}
    kinfold.build(vectors, tmp_path / "set", models=models)
    kinfold.set_default(tmp_path / "set", "a")
    with running(tmp_path) as client:
        found = client.get("/v1/collections/set").json()
        assert found["models"] == ["a", "b", "knn"]
        assert [model["name"] for model in found["details"]] == ["a", "b"]
        assert answer(client.search("set", id=1))["model"] == "a"


@pytest.mark.parametrize("model", KNOWN)
def test_each_model_by_name(
    client: Client, several: Index, queries: np.ndarray, model: str
) -> None:
    found = answer(client.search("several", vectors=queries.tolist(), model=model))
    check_same(found, several.search(queries, model=model))
    assert found["model"] == model
    assert "fusion" not in found


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("fusion", [None, *FUSIONS])
def test_fused_as_the_library_does(
    client: Client, several: Index, queries: np.ndarray, names: list[str], fusion: Any
) -> None:
    options: dict[str, Any] = {"k": 30, "k_q": 3, "seeds": "plain", "fusion": fusion}
    sent = {"vectors": queries.tolist(), "model": names, **options}
    found = answer(client.search("several", **sent))
    check_same(found, several.search(queries, model=names, **options))
    assert found["model"] == names
    assert found["fusion"] == (fusion or "rrf")


def test_fused_by_id(client: Client, several: Index) -> None:
    sent = {"ids": [7, 299, 7], "k": 5, "model": NAMES[2], "fusion": "score"}
    found = answer(client.search("several", with_payload=True, **sent))
    check_same(found, several.search_by_id([7, 299, 7], 5, NAMES[2], fusion="score"))
    assert all(hit["id"] != 7 for hit in found["results"][0]["hits"])
    assert found["results"][0] == answer(
        client.search("several", id=7, k=5, model=NAMES[2], fusion="score", with_payload=True)
    )["results"][0]  # fmt: skip


def test_fused_with_payload(client: Client) -> None:
    found = answer(client.search("photos", id=4, model=["knn", "default"], with_payload=True))
    hits = found["results"][0]["hits"]
    assert all(hit["payload"]["name"] == f"photo {hit['id']}" for hit in hits)


@pytest.mark.parametrize("names", NAMES)
def test_commas_in_the_query_string(
    client: Client, several: Index, queries: np.ndarray, names: list[str]
) -> None:
    body = queries.astype("<f4").tobytes()
    response = client.search_bytes("several", body, RAW, model=",".join(names), fusion="score")
    found = answer(response)
    check_same(found, several.search(queries, model=names, fusion="score"))
    assert found["model"] == names
    assert found["fusion"] == "score"


def test_commas_as_they_are(client: Client) -> None:
    """As a person writes them, not as a client encodes them."""
    path = "/v1/collections/several/search?model=default,cas&k=3"
    sent = client.send("POST", path, content=VECTOR_BYTES, headers={"Content-Type": RAW})
    assert answer(sent)["model"] == ["default", "cas"]


@pytest.mark.parametrize("model", [None, "far", ["far"], "knn", ["knn"]])
def test_fusion_changes_nothing_of_one_model(client: Client, model: Any) -> None:
    bare = answer(client.search("several", id=3, model=model))
    for fusion in FUSIONS:
        found = answer(client.search("several", id=3, model=model, fusion=fusion))
        assert found["results"] == bare["results"]
        assert "fusion" not in found
        assert found["model"] == (model[0] if isinstance(model, list) else model or "default")


def test_fusions_differ(client: Client) -> None:
    by = [
        answer(client.search("several", id=3, model=NAMES[0], fusion=fusion))["results"]
        for fusion in FUSIONS
    ]
    assert by[0] != by[1]


def test_explain_of_a_list_of_one(client: Client) -> None:
    named = answer(client.search("several", id=3, model="far", explain=True))
    listed = answer(client.search("several", id=3, model=["far"], explain=True))
    assert listed["results"] == named["results"]


@pytest.mark.parametrize("names", [["far", "default"], ["knn", "far"]])
def test_explain_takes_one_model(client: Client, names: list[str]) -> None:
    answers = [
        client.search("several", id=3, model=names, explain=True),
        client.search_bytes(
            "several", VECTOR_BYTES, RAW, model=",".join(names), explain="true"
        ),
    ]  # fmt: skip
    for refused in answers:
        found = problem(refused, 422, "invalid-request")
        assert found["detail"].startswith(f"explain: expected one model, found {', '.join(names)}")
        assert (found["expected"], found["found"]) == ("one model", ", ".join(names))


@pytest.mark.parametrize(
    ("model", "expected", "found"),
    [
        ([], "at least 1 of them", "an empty list"),
        ([str(i) for i in range(9)], "at most 8 of them", "a list of 9"),
        (["x"] * 1_000_000, "at most 8 of them", "a list of 1000000"),
        ([7] * 1_000_000, "at most 8 of them", "a list of 1000000"),
        (["far", "cas", "far"], "different names", "far"),
        (["nothing", "nothing"], "different names", "nothing"),
        (["far", 7], "a string", 7),
        (["far", None], "a string", None),
        ([["far"]], "a string", "a list of 1"),
        (["far", "m" * 201], "at most 200 characters", "m" * 119 + "…"),
        ({"far": 1}, "a name or a list of names", "an object of 1"),
        (True, "a name or a list of names", True),
    ],
)
def test_invalid_models(client: Client, model: Any, expected: str, found: object) -> None:
    told = problem(client.search("several", id=1, model=model), 422, "invalid-request")
    assert told["detail"].startswith("model")
    assert told["expected"] == expected
    assert told.get("found") == found


def test_wrong_together_with_another_field(client: Client) -> None:
    told = problem(client.search("several", id=1, k=0, model=[]), 422, "invalid-request")
    assert "k: expected at least 1" in told["detail"]
    assert "model: expected at least 1 of them" in told["detail"]


@pytest.mark.parametrize("fusion", ["RRF", "", "sum", 1, True, [], ["rrf"]])
def test_invalid_fusion(client: Client, fusion: Any) -> None:
    for model in (["far", "cas"], "far"):
        answer = client.search("several", id=1, model=model, fusion=fusion)
        told = problem(answer, 422, "invalid-request")
        assert told["detail"].startswith("fusion: expected 'rrf' or 'score', found ")
        assert told["expected"] == "'rrf' or 'score'"


@pytest.mark.parametrize(
    ("names", "named", "first"),
    [
        (["far", "fra"], "'fra'", "fra"),
        (["fra", "far", "csa"], "'fra' or 'csa'", "fra"),
        (["far,cas", "far"], "'far,cas'", "far,cas"),
        (["", "far"], "''", ""),
    ],
)
def test_unknown_models(client: Client, names: list[str], named: str, first: str) -> None:
    told = problem(client.search("several", id=1, model=names), 404, "unknown-model")
    assert told["detail"] == (f"no model is called {named}; the collection has {', '.join(KNOWN)}")
    assert told["expected"] == KNOWN
    assert told["found"] == first


@pytest.mark.parametrize(
    ("text", "status", "name"),
    [
        ("default,default", 422, "invalid-request"),
        ("a,b,c,d,e,f,g,h,i", 422, "invalid-request"),
        ("x" * 201 + ",far", 422, "invalid-request"),
        ("default,", 404, "unknown-model"),
        (",", 422, "invalid-request"),
        ("", 404, "unknown-model"),
        ("default, cas", 404, "unknown-model"),
        ('["default"]', 404, "unknown-model"),
    ],
)
def test_invalid_query_strings(client: Client, text: str, status: int, name: str) -> None:
    problem(client.search_bytes("several", VECTOR_BYTES, RAW, model=text), status, name)


def test_model_is_given_once(client: Client) -> None:
    sent = client.search_bytes("several", VECTOR_BYTES, RAW, model=["default", "cas"])
    assert "given twice" in problem(sent, 422, "invalid-request")["detail"]


@pytest.fixture(scope="module")
def tight(data: Path) -> Iterator[Client]:
    """A service that allows little in one answer."""
    with running(data, max_hits=60) as client:
        yield client


@pytest.mark.parametrize(
    ("options", "hits"),
    [
        ({"k": 10}, 60),
        ({"k": 11}, 66),
        ({"k": 1, "k_q": 10}, 60),
        ({"k": 1, "k_q": 11}, 66),
    ],
)
def test_limits_count_the_models(tight: Client, options: dict[str, int], hits: int) -> None:
    names = ["default", "cas", "far"]
    body = {"vectors": [VECTOR] * 2, **options}
    assert tight.search("several", model="far", **body).status_code == 200
    fused = tight.search("several", model=names, **body)
    if hits <= 60:
        assert fused.status_code == 200
    else:
        told = problem(fused, 422, "too-many")
        assert told["detail"].startswith(f"models × queries × k is {hits}, but")
        assert (told["expected"], told["found"]) == (60, hits)


def test_as_many_as_there_may_be(tmp_path: Path, vectors: np.ndarray) -> None:
    models = {f"m{i}": BuildConfig(alpha=0.5 + i / 20, k_d=5) for i in range(9)}
    index = kinfold.build(vectors[:60], tmp_path / "nine", models=models)
    names = ["knn", *index.models[:7]]
    with running(tmp_path) as client:
        found = answer(client.search("nine", vector=VECTOR, k=60, model=names))
        check_same(found, index.search(VECTOR, 60, names))
        assert found["model"] == names
        problem(client.search("nine", vector=VECTOR, model=index.models), 422, "invalid-request")


WARMED = """
import importlib, pkgutil, sys
import kinfold, kinfold.kernels
from kinfold.search.fusion import FUSIONS
from service.collections import warm_up

def compiled():
    found = {}
    for module in pkgutil.iter_modules(kinfold.kernels.__path__, "kinfold.kernels."):
        for name, kernel in vars(importlib.import_module(module.name)).items():
            if hasattr(kernel, "signatures"):
                found[module.name, name] = list(kernel.signatures)
    return found

index = kinfold.open(sys.argv[1])
warm_up(index)
before = compiled()
assert sum(map(len, before.values())) > 5
queries = index.vectors[:3] + 0.25
for fusion in FUSIONS:
    for names in (["default", "knn"], ["cas", "far"], index.models):
        for options in ({}, {"k": 300, "k_q": 1}, {"k_q": 20}, {"seeds": "plain"}):
            index.search(queries, model=names, fusion=fusion, **options)
        index.search_by_id([1, 2], 299, names, fusion=fusion)
assert compiled() == before
"""


def test_warm_up_leaves_nothing_to_compile(data: Path) -> None:
    """In a process of its own, where no other test has compiled anything."""
    done = subprocess.run(
        [sys.executable, "-c", WARMED, str(data / "several")],
        cwd=REPOSITORY,
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()


def test_json_of_the_right_kind(client: Client) -> None:
    """A list is JSON's, not text that looks like one."""
    body = b'{"id": 1, "model": "default,cas"}'
    told = problem(client.search_bytes("several", body, JSON), 404, "unknown-model")
    assert told["found"] == "default,cas"
