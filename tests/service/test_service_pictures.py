"""Searches by a picture: the same vector as the build would have made of it."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from service_client import Client, problem, running
from tiny_network import make_network

import kinfold
from indexer import build_collection
from indexer.pictures import read_pictures
from indexer.reduction import reduce_source
from kinfold.encoders import Encoder, EncoderSpec, open_encoder
from kinfold.pictures import crop, decode

COLOURS = {"red": (200, 30, 40), "green": (20, 180, 60), "blue": (30, 60, 210)}


def picture(colour: tuple[int, int, int], seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).normal(size=(24, 36, 3)) * 20
    return Image.fromarray(np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8))


def as_bytes(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    for name, colour in COLOURS.items():
        for number in range(8):
            path = root / "photos" / f"{name}-{number}.png"
            path.parent.mkdir(exist_ok=True)
            picture(colour, number).save(path)
    make_network(root / "tiny.onnx")
    return root


@pytest.fixture(scope="module")
def encoder(place: Path) -> Encoder:
    spec = EncoderSpec(name="tiny", size=8, fit="stretch")
    return open_encoder(spec, place / "tiny.onnx", threads=1)


@pytest.fixture(scope="module")
def client(place: Path, encoder: Encoder) -> Iterator[Client]:
    source = read_pictures(place / "photos", encoder, label_from="name").source
    build_collection(source, place / "data", "photos")
    build_collection(reduce_source(source, 3, whiten=True), place / "data", "short")
    with running(place / "data") as opened:
        yield opened


def search(
    client: Client, content: bytes, options: object = None, collection: str = "photos"
) -> httpx.Response:
    data = {} if options is None else {"options": json.dumps(options)}
    files = {"image": ("../../x.png", content, "image/png")}
    return client.send("POST", f"/v1/collections/{collection}/search", files=files, data=data)


def hits(answer: httpx.Response) -> list[dict]:
    assert answer.status_code == 200, answer.text
    return answer.json()["results"][0]["hits"]


@pytest.mark.parametrize("collection", ["photos", "short"])
def test_the_library_gives_the_same(
    client: Client, place: Path, encoder: Encoder, collection: str
) -> None:
    image = picture(COLOURS["green"], 99)
    for kind in ("PNG", "BMP", "TIFF"):
        found = hits(search(client, as_bytes(image, kind), {"k": 5}, collection))
        wanted = kinfold.open(place / "data" / collection).search(encoder.encode([image]), 5)
        assert [hit["id"] for hit in found] == wanted.ids[0].tolist()
        np.testing.assert_allclose([hit["score"] for hit in found], wanted.scores[0], rtol=1e-3)


def test_a_part_of_it(client: Client, encoder: Encoder, place: Path) -> None:
    both = Image.new("RGB", (72, 24))
    both.paste(picture(COLOURS["red"], 50), (0, 0))
    both.paste(picture(COLOURS["blue"], 51), (36, 0))
    for box, name in (
        ([0, 0, 36, 24], "red"),
        ([36, 0, 72, 24], "blue"),
        ([40.5, 2, 70, 99], "blue"),
    ):
        options = {"k": 4, "crop": box, "with_payload": True, "model": "knn"}
        found = hits(search(client, as_bytes(both), options))
        assert {hit["payload"]["label"] for hit in found} == {name}
        wanted = kinfold.open(place / "data" / "photos").search(
            encoder.encode([crop(both, tuple(box))]), 4, "knn"
        )
        assert [hit["id"] for hit in found] == wanted.ids[0].tolist()


def test_all_options_of_a_search(client: Client) -> None:
    options = {
        "k": 3, "explain": True, "filter": {"column": "label", "eq": "red"}, "with_payload": True,
    }  # fmt: skip
    found = hits(search(client, as_bytes(picture(COLOURS["green"], 1)), options))
    assert {hit["payload"]["label"] for hit in found} == {"red"}
    assert all("explain" in hit for hit in found)
    plain = hits(search(client, as_bytes(picture(COLOURS["green"], 1))))
    assert len(plain) == 10


def test_turned_as_its_camera_said(client: Client) -> None:
    half = np.zeros((30, 40, 3), np.uint8)
    half[:, :20], half[:, 20:] = COLOURS["red"], COLOURS["blue"]
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: what was left is above
    content = as_bytes(Image.fromarray(half), "PNG", exif=exif.tobytes())
    for box, name in (([0, 0, 30, 20], "red"), ([0, 20, 30, 40], "blue")):
        found = hits(search(client, content, {"k": 2, "crop": box, "with_payload": True}))
        assert {hit["payload"]["label"] for hit in found} == {name}


def test_no_query_string_and_no_cache(client: Client) -> None:
    files = {"image": ("x.png", as_bytes(picture(COLOURS["red"], 3)), "image/png")}
    path = "/v1/collections/photos/search"
    problem(client.send("POST", f"{path}?k=3", files=files), 422, "invalid-request")
    assert client.send("POST", path, files=files).headers["x-cache"] == "off"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"<svg/>", "begins with b'<svg/>'"),
        (as_bytes(picture((1, 2, 3), 0))[:300], "damaged or cut off"),
        (b"GIF89a", "damaged|begins with"),
    ],
)
def test_pictures_that_are_none(client: Client, content: bytes, says: str) -> None:
    detail = problem(search(client, content), 422, "invalid-picture")["detail"]
    assert any(part in detail for part in says.split("|"))


def test_a_picture_of_900_million_pixels(client: Client) -> None:
    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(3 << 20))
    parts = [(b"IHDR", head), (b"IDAT", data), (b"IEND", b"")]
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    )
    assert "pixels" in problem(search(client, content), 422, "invalid-picture")["detail"]


def test_what_is_decoded_for_strangers_is_less_than_in_a_build(client: Client) -> None:
    content = as_bytes(Image.new("1", (7_500, 7_000)))
    assert decode(content).size == (7_500, 7_000)
    detail = problem(search(client, content), 422, "invalid-picture")["detail"]
    assert "at most 50 million pixels" in detail


def test_crops_that_leave_nothing(client: Client) -> None:
    content = as_bytes(picture((1, 2, 3), 0))
    for box in ([10, 0, 5, 5], [100, 100, 200, 200], [0, 0, 0, 0], [-9, -9, -1, -1]):
        problem(search(client, content, {"crop": box}), 422, "invalid-picture")


PNG = as_bytes(picture((9, 9, 9), 0))


@given(st.binary(max_size=200), st.integers(0, len(PNG)), st.binary(max_size=60))
def test_anything_at_all(client: Client, extra: bytes, cut: int, options: bytes) -> None:
    body = (
        b"--x\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\n"
        + PNG[:cut] + extra
        + b"\r\n--x\r\nContent-Disposition: form-data; name=\"options\"\r\n\r\n"
        + options + b"\r\n--x--\r\n"
    )  # fmt: skip
    answer = client.search_bytes("photos", body, "multipart/form-data; boundary=x")
    assert answer.status_code in (200, 400, 422)


def test_what_it_took_is_counted(client: Client) -> None:
    hits(search(client, PNG, {"k": 2}))
    metrics = client.get("/metrics").text
    (line,) = [
        line for line in metrics.splitlines()
        if line.startswith('kinfold_search_stage_seconds_count{stage="embed"}')
    ]  # fmt: skip
    assert float(line.split()[1]) >= 1
