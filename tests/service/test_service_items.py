"""Items over HTTP: listed, sampled, filtered, pictured, mapped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from service_client import Client, problem, running

import kinfold
from kinfold.index.extras import EncoderFile, Extras, Thumbnails
from kinfold.index.files import hash_file
from kinfold.pipeline import build as build_index

ROWS = 60
RNG = np.random.default_rng(5)
VECTORS = RNG.normal(size=(ROWS, 6)).astype("f4")
JPEGS = [b"" if row == 7 else b"\xff\xd8 picture %d" % row for row in range(ROWS)]
NAMES = [f"a/{row:03d} ünï\n<b>.jpg" for row in range(ROWS)]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    data = tmp_path_factory.mktemp("data")
    starts = np.cumsum([0, *map(len, JPEGS)]).astype(np.int64)
    extras = Extras(Thumbnails(starts, np.frombuffer(b"".join(JPEGS), np.uint8)))
    payload = {"camera": [row % 4 for row in range(ROWS)]}
    build_index(VECTORS, data / "photos", NAMES, payload, extras=extras)
    build_index(VECTORS, data / "plain")
    model = data / "broken.onnx"
    model.write_bytes(b"no network")
    encoder = EncoderFile(model, hash_file(model), {"name": "broken", "size": 32})
    build_index(VECTORS, data / "broken", extras=Extras(encoder=encoder))
    with running(data) as opened:
        yield opened


def items(client: Client, query: str, collection: str = "photos") -> dict:
    answer = client.get(f"/v1/collections/{collection}/items{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_in_order(client: Client) -> None:
    found = items(client, "?offset=58&limit=5")
    assert found["total"] == ROWS
    assert found["items"] == [
        {"id": NAMES[58], "payload": {"camera": 2}},
        {"id": NAMES[59], "payload": {"camera": 3}},
    ]
    assert len(items(client, "")["items"]) == 50
    assert items(client, "?offset=100")["items"] == []


def test_a_sample_has_no_item_twice_and_is_the_same_again(client: Client) -> None:
    once = [item["id"] for item in items(client, "?sample=1&limit=6")["items"]]
    assert len(set(once)) == 6
    assert once == [item["id"] for item in items(client, "?sample=1&limit=6")["items"]]
    assert once != [item["id"] for item in items(client, "?sample=2&limit=6")["items"]]
    assert len({item["id"] for item in items(client, "?sample=3&limit=60")["items"]}) == ROWS
    everywhere = {
        NAMES.index(item["id"]) // 20
        for seed in range(9)
        for item in items(client, f"?sample={seed}&limit=2")["items"]
    }
    assert everywhere == {0, 1, 2}


def test_filtered(client: Client) -> None:
    wanted = json.dumps({"column": "camera", "in": [1, 2]})
    for query in ("&limit=200", "&limit=200&sample=4"):
        found = client.get("/v1/collections/photos/items?limit=200", params={"filter": wanted})
        answer = found.json()
        assert answer["total"] == 30, query
        assert {item["payload"]["camera"] for item in answer["items"]} == {1, 2}


@pytest.mark.parametrize(
    ("query", "kind", "detail"),
    [
        ("?limit=0", "invalid-request", "limit: expected a whole number from 1 to 200"),
        ("?limit=201", "invalid-request", "limit"),
        ("?offset=-1", "invalid-request", "offset"),
        ("?sample=x", "invalid-request", "sample"),
        ("?offset=1&offset=2", "invalid-request", "twice"),
        ("?colour=1", "invalid-request", "colour"),
        ("?filter=x", "invalid-request", "filter: expected JSON"),
        ('?filter={"column":"kamera","eq":1}', "unknown-column", "kamera"),
        ('?filter={"colum":"camera"}', "invalid-request", ""),
    ],
)
def test_what_cannot_be_listed(client: Client, query: str, kind: str, detail: str) -> None:
    answer = client.get(f"/v1/collections/photos/items{query}")
    assert detail in problem(answer, 422, kind)["detail"]


def test_thumbnails(client: Client) -> None:
    version = client.get("/v1/collections/photos").json()["version"]
    path = "/v1/collections/photos/thumbnail"
    kept = client.get(path, params={"id": NAMES[3], "version": version})
    assert kept.content == JPEGS[3]
    assert kept.headers["content-type"] == "image/jpeg"
    assert kept.headers["x-content-type-options"] == "nosniff"
    assert "immutable" in kept.headers["cache-control"]
    other = client.get(path, params={"id": NAMES[3], "version": "older"})
    assert other.headers["cache-control"] == "private, no-cache"
    problem(client.get(path, params={"id": NAMES[7]}), 404, "no-thumbnail")
    problem(client.get(path, params={"id": "../../x"}), 404, "unknown-id")
    problem(client.get(path), 422, "invalid-request")
    plain = "/v1/collections/plain/thumbnail"
    problem(client.get(plain, params={"id": "3"}), 404, "no-thumbnail")
    for bad in ("x", "60", "1e3", "９", "9" * 30):
        problem(client.get(plain, params={"id": bad}), 404, "unknown-id")


def test_the_map(client: Client) -> None:
    found = client.get("/v1/collections/photos/map").json()
    assert found["ids"] == NAMES
    places = np.array([found["x"], found["y"]])
    assert places.shape == (2, ROWS)
    assert (places >= 0).all()
    assert (places <= 1).all()
    edges = np.array(found["edges"])
    assert edges.min() >= 0
    assert edges.max() < ROWS
    assert (edges[:, 0] < edges[:, 1]).all()
    assert client.get("/v1/collections/photos/map").json() == found


def test_the_description_tells_of_pictures(client: Client) -> None:
    def told(name: str) -> object:
        return client.get(f"/v1/collections/{name}").json()["pictures"]

    assert told("photos") == {"thumbnails": True, "encoder": None}
    assert told("plain") == {"thumbnails": False, "encoder": None}
    assert told("broken") == {
        "thumbnails": False, "encoder": {"name": "broken", "size": [32, 32]},
    }  # fmt: skip


def form(client: Client, collection: str, content: bytes, options: object = None) -> object:
    files = {"image": ("x.png", content, "image/png")}
    data = {} if options is None else {"options": json.dumps(options)}
    return client.send("POST", f"/v1/collections/{collection}/search", files=files, data=data)


def test_a_picture_needs_an_encoder_that_works(client: Client) -> None:
    problem(form(client, "plain", b"x"), 422, "no-encoder")
    detail = problem(form(client, "broken", b"x"), 422, "no-encoder")["detail"]
    assert "the log says why" in detail


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "multipart/form-data; boundary=x"),
        (b"--x--\r\n", "multipart/form-data; boundary=x"),
        (b"--x\r\n\r\n", "multipart/form-data; boundary=x"),
        (b"anything", "multipart/form-data"),
        (b"anything", f"multipart/form-data; boundary={'b' * 300}"),
        (b"--x\r\nContent-Disposition: form-data; name=image\r\n\r\n\r\n--x--\r\n",
         "multipart/form-data; boundary=x"),
        (b"--x\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\nabc",
         "multipart/form-data; boundary=x"),
        (b"--x\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\nabc\r\n--x--\r\n",
         "multipart/form-data; boundary=x"),
        (b"--x\r\nA: " + b"a" * 9000 + b"\r\n\r\nabc\r\n--x--\r\n",
         "multipart/form-data; boundary=x"),
        (2 * b"--x\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\nabc\r\n" + b"--x--\r\n",
         "multipart/form-data; boundary=x"),
    ],
)  # fmt: skip
def test_bad_forms(client: Client, body: bytes, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    answer = client.send("POST", "/v1/collections/plain/search", content=body, headers=headers)
    problem(answer, 422, "invalid-request")


@pytest.mark.parametrize(
    "options", [[], {"vector": [1]}, {"crop": [1, 2, 3]}, {"crop": [1, 2, 3, "4"]}, {"k": 0}]
)
def test_bad_options_of_a_picture(client: Client, options: object) -> None:
    problem(form(client, "plain", b"x", options), 422, "invalid-request")


def test_limits_hold_for_pictures_too(client: Client) -> None:
    problem(form(client, "plain", b"x", {"k": ROWS + 1}), 422, "too-many")
    problem(form(client, "plain", b"x", {"model": "best"}), 404, "unknown-model")


def test_queries_may_be_as_long_as_the_vectors_once_were(tmp_path: Path) -> None:
    from kinfold.index.extras import Projection

    matrix = RNG.normal(size=(10, 4)).astype("f4")
    long = RNG.normal(size=(ROWS, 9)).astype("f4")
    unit = long / np.linalg.norm(long, axis=1, keepdims=True)
    short = Projection(matrix).apply(unit)
    build_index(short, tmp_path / "short", extras=Extras(projection=Projection(matrix)))
    wanted = kinfold.open(tmp_path / "short").search(long[:2], 3)
    with running(tmp_path) as client:
        answer = client.send(
            "POST", "/v1/collections/short/search", json={"vectors": long[:2].tolist(), "k": 3}
        ).json()
        found = [[hit["id"] for hit in result["hits"]] for result in answer["results"]]
        assert found == wanted.ids.tolist()
        bad = client.send("POST", "/v1/collections/short/search", json={"vector": [1.0] * 5})
        problem(bad, 422, "wrong-dimension")
