"""A folder of pictures on the command line: built, searched by a picture, measured, shown."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time

import httpx
import numpy as np
import pytest
from cli_support import ROOT
from PIL import Image
from tiny_network import make_network

import kinfold as library
from indexer import build_collection
from indexer.pictures import encoder_for_build, read_pictures

LABELS = 6
EACH = 5


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of pictures of six colours, and a description of an encoder that sees colours."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(4)
    for label in range(LABELS):
        colour = rng.integers(0, 256, 3)
        for number in range(EACH):
            pixels = np.clip(colour + rng.normal(size=(20, 30, 3)) * 25, 0, 255).astype(np.uint8)
            path = root / "photos" / f"Colour{chr(65 + label)}-{number}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(pixels).save(path)
    (root / "photos" / "bad\n\x1b[31m.png").write_bytes(b"<svg/>")
    make_network(root / "tiny.onnx")
    (root / "tiny.toml").write_text('file = "tiny.onnx"\nsize = 8\nfit = "stretch"\n')
    return root


@pytest.fixture(scope="module")
def data(place):
    """The data folder, with the collection photos as the command line would have built it."""
    path = place / "data" / "photos"
    encoder = encoder_for_build(place / "tiny.toml", threads=1)
    source = read_pictures(place / "photos", encoder, path, label_from="name").source
    build_collection(source, place / "data", "photos")
    return place / "data"


@pytest.fixture
def build(kinfold, place, data):
    def run(*more):
        return kinfold(
            "build", place / "photos", "--data", data, "--collection", "photos",
            "--encoder", place / "tiny.toml", *more,
        )  # fmt: skip

    return run


def test_a_folder_becomes_a_collection(kinfold, place, tmp_path):
    data = tmp_path / "data"
    outcome = kinfold(
        "build", place / "photos", "--data", data, "--collection", "photos",
        "--encoder", place / "tiny.toml", "--label-from", "name",
    )  # fmt: skip
    assert outcome.code == 0
    assert "30 pictures by tiny: 31 new" in outcome.err
    assert "skipped: 1\n  'bad\\n\\x1b[31m.png': expected a jpg" in outcome.err
    assert "\x1b[31m.png" not in outcome.err
    index = library.open(data / "photos")
    assert len(index) == LABELS * EACH
    assert index.payload(np.array([0]))[0]["label"] == "coloura"
    (line,) = (data / "photos" / "skipped-pictures.jsonl").read_text().splitlines()
    assert json.loads(line)["path"] == "bad\n\x1b[31m.png"


def test_once_more_nothing_is_new(build):
    outcome = build("--label-from", "name")
    assert "30 pictures by tiny: 0 new" in outcome.err
    assert "unchanged since version" in outcome.err


def test_for_programs(build):
    outcome = build("--label-from", "name", "--progress", "json")
    events = [json.loads(line) for line in outcome.err.splitlines()]
    assert [event["event"] for event in events][-1] == "done"
    assert {"event": "skipped", "count": 1}.items() <= events[0].items()


def test_a_dry_run(kinfold, place, build, tmp_path):
    assert "unchanged since version" in build("--label-from", "name", "--dry-run").out
    outcome = kinfold(
        "build", place / "photos", "--data", tmp_path, "--collection", "p",
        "--encoder", place / "tiny.toml", "--dry-run",
    )  # fmt: skip
    assert outcome.code == 0
    assert "31 pictures, of which 31 are to be embedded" in outcome.out
    assert list(tmp_path.iterdir()) == []


def test_search_by_a_picture_and_by_a_part_of_one(kinfold, place, data):
    def search(*words):
        return kinfold("search", *words, "--data", data, "--collection", "photos", "--json")

    outcome = search(place / "photos" / "ColourC-2.png", "-k", "3")
    hits = json.loads(outcome.out)["results"][0]["hits"]
    assert hits[0]["similarity"] == pytest.approx(1, abs=1e-5)
    assert {hit["payload"]["label"] for hit in hits} == {"colourc"}
    both = np.hstack(
        [np.asarray(Image.open(place / "photos" / f"Colour{name}-0.png")) for name in "AD"]
    )
    Image.fromarray(both).save(place / "both.png")
    for box, label in (("0,0,30,20", "coloura"), ("30,0,60,20", "colourd")):
        outcome = search(place / "both.png", "--crop", box, "-k", "1")
        assert json.loads(outcome.out)["results"][0]["hits"][0]["payload"]["label"] == label


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["none.png"], "none.png: cannot be read: No such file or directory"),
        (["both.png", "--crop", "1,2,3"], "--crop: expected four numbers"),
        (["both.png", "--crop", "50,0,20,9"], "crop: expected left < right"),
        (["--id", "x", "--crop", "1,2,3,4"], "--crop: expected a picture as the query"),
    ],
)
def test_queries_that_cannot_be(kinfold, place, data, words, says):
    Image.new("RGB", (60, 20)).save(place / "both.png")
    words = [place / word if word.endswith(".png") else word for word in words]
    outcome = kinfold("search", *words, "--data", data, "--collection", "photos")
    assert outcome.code == 2
    assert says in outcome.err


def test_options_of_the_other_kind_of_source(kinfold, place, data, tmp_path):
    Image.new("RGB", (60, 20)).save(place / "both.png")
    np.save(tmp_path / "v.npy", np.eye(5))
    where = ["--data", tmp_path, "--collection", "c"]
    for words, says in (
        ([tmp_path / "v.npy", *where, "--encoder", "x.toml"], "--encoder: says nothing about vec"),
        ([place / "photos", *where, "--ids", "id"], "--ids: says nothing about a folder"),
        ([place / "photos", *where, "--encoder", "resnet"], "encoder: expected efficientnet-lite0"),
        ([place / "photos", *where, "--whiten"], "--whiten: say to how many components"),
        ([place, *where, "--encoder", place / "none.toml"], "cannot be read"),
    ):
        outcome = kinfold("build", *words)
        assert outcome.code == 2
        assert says in outcome.err
    assert "has nothing to make a vector" in kinfold(
        "search", place / "both.png", "--data", _vectors(kinfold, tmp_path), "--collection", "v"
    ).err  # fmt: skip


def _vectors(kinfold, folder):
    np.save(folder / "w.npy", np.random.default_rng(0).normal(size=(40, 5)))
    kinfold("build", folder / "w.npy", "--data", folder, "--collection", "v")
    return folder


def test_reduced_vectors(kinfold, build, place, data):
    assert build("--label-from", "name", "--reduce", "3", "--whiten").code == 0
    assert library.open(data / "photos").dimension == 3
    outcome = kinfold(
        "search", place / "photos" / "ColourB-1.png", "--data", data, "--collection", "photos",
        "--json", "-k", "1",
    )  # fmt: skip
    assert json.loads(outcome.out)["results"][0]["hits"][0]["similarity"] > 0.999
    where = ["--data", data, "--collection", "photos", "--json"]
    outcome = kinfold("evaluate", place / "photos", "--label-from", "name", *where)
    assert json.loads(outcome.out)["models"]["knn"]["P@1"] == 1
    assert build("--label-from", "name").code == 0


def test_measured_without_other_queries(kinfold, data):
    words = ["--hold-out", "2", "--data", data, "--collection", "photos"]
    outcome = kinfold("evaluate", *words, "--label-from", "name", "--save", "--json")
    told = json.loads(outcome.out)
    assert (told["items"], told["queries"]) == (18, 12)
    assert told["models"]["knn"]["mAP"] > 0.9
    saved = json.loads((data / "photos" / ".quality.json").read_text())
    assert saved["models"]["default"]["mAP"] == pytest.approx(told["models"]["default"]["mAP"])
    by_column = kinfold("evaluate", *words, "--label", "label", "--json")
    assert json.loads(by_column.out)["models"]["knn"]["mAP"] == told["models"]["knn"]["mAP"]
    other = kinfold("evaluate", *words, "--label", "label", "--seed", "1")
    assert "12 of 30 items held out, 2 a label, and asked of an index of the other 18" in other.out


def test_queries_from_a_folder(kinfold, place, data):
    outcome = kinfold(
        "evaluate", place / "photos", "--label-from", "name", "--data", data,
        "--collection", "photos", "--json",
    )  # fmt: skip
    assert json.loads(outcome.out)["queries"] == 30


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "expected queries, or --hold-out N without them, found neither"),
        (["q.npz", "--hold-out", "2"], "found both"),
        (["q.npz", "--label-from", "name"], "--label-from: says nothing about a file of vectors"),
        (["--hold-out", "0", "--label", "label"], "--hold-out: expected at least 1"),
        (["--hold-out", "2"], "expected --label COLUMN, or --label-from"),
        (["--hold-out", "2", "--label", "a", "--label-from", "name"], "found both"),
        (["--hold-out", "2", "--label", "file"], "a label with at least 2 items"),
        (["--hold-out", "2", "--label", "colour"], "no payload column 'colour'"),
    ],
)
def test_what_cannot_be_measured(kinfold, data, words, says):
    outcome = kinfold("evaluate", *words, "--data", data, "--collection", "photos")
    assert outcome.code == 2
    assert says in outcome.err


def test_a_report_needs_no_other_file(kinfold, data, tmp_path):
    page = tmp_path / "deep" / "report.html"
    outcome = kinfold(
        "report", "--hold-out", "2", "--label-from", "name", "--data", data,
        "--collection", "photos", "--output", page, "--queries", "3",
    )  # fmt: skip
    assert outcome.code == 0
    text = page.read_text()
    assert not re.findall(r"(?:src|href)='(?!data:image/(?:png|jpeg);base64,)", text)
    assert "<script" not in text
    assert "By label" in text
    assert "12 of 30 items held out" in text
    assert kinfold("report", "--hold-out", "2", "--label", "label", "--data", data,
                   "--collection", "photos", "--output", "x.pdf").code == 2  # fmt: skip


def test_explore_is_one_command(place, tmp_path):
    command = [
        sys.executable, "-m", "cli.main", "explore", place / "photos", "--data", tmp_path,
        "--encoder", place / "tiny.toml", "--port", "0", "--no-browser",
    ]  # fmt: skip
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file)
    try:
        found = None
        end = time.monotonic() + 60
        while found is None and time.monotonic() < end and process.poll() is None:
            found = re.search(r"look at it: (http://127\.0\.0\.1:\d+)/#photos", log.read_text())
            time.sleep(0.1)
        assert found, log.read_text()
        answer = None
        while (answer is None or answer.is_error) and time.monotonic() < end:
            try:
                answer = httpx.get(f"{found[1]}/v1/collections/photos/items")
            except httpx.TransportError:
                time.sleep(0.1)
        assert answer.json()["total"] == 30
    finally:
        process.terminate()
        assert process.wait(20) in (0, -signal.SIGTERM)


def test_names_of_collections():
    from cli.explore import name_of

    for folder, name in (("/a/My Photos (2024)", "my-photos-2024"), ("/a/漢字", "pictures")):
        assert name_of(folder) == name
    assert len(name_of("/a/" + "x" * 200)) == 64
