"""`kinfold demo`: figures, a report that needs nothing but itself, and a query to go on with."""

from __future__ import annotations

import base64
import json
import re
import shlex
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pytest
from cli_support import run_process
from PIL import Image
from sklearn.datasets import load_digits

import kinfold as library


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return tmp_path_factory.mktemp("demo") / "with space & <sign>"


@pytest.fixture(scope="module")
def outcome(output):
    return run_process("demo", "--output", output, "--json")


@pytest.fixture(scope="module")
def page(outcome, output):
    assert outcome.code == 0
    return (output / "report.html").read_text(encoding="utf-8")


class Tags(HTMLParser):
    """Every element with its attributes; refuses what is not closed in order."""

    VOID = ("meta", "img", "br")

    def __init__(self):
        super().__init__()
        self.found, self.open = [], []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def tags(page):
    parser = Tags()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser.found


def test_figures(outcome, output):
    assert (outcome.code, outcome.err) == (0, "")
    values = outcome.json
    assert (values["items"], values["queries"], values["depth"]) == (1438, 359, 1438)
    models = values["models"]
    assert list(models) == ["knn", "default"]
    assert 0.65 <= models["knn"]["mAP"] <= 0.66
    assert models["default"]["mAP"] >= 0.86
    assert models["default"]["wins"] > 10 * models["default"]["losses"]
    assert len(models["default"]["average_precision"]) == 359
    assert values["report"] == str(output / "report.html")
    assert values["data"] == str(output / "data")


def test_the_collection_is_served_by_everything_else(outcome, output):
    index = library.open(output / "data" / "digits")
    assert library.verify(output / "data" / "digits").ok
    assert index.manifest.payload_columns == ["digit", "row"]
    digits = load_digits()
    for position, row in enumerate(index.payload(np.arange(40))):
        item = index.ids_of(np.array([position], dtype=np.uint32))[0]
        assert item == f"digit-{row['row']:04d}"
        assert row["digit"] == digits.target[row["row"]]


def test_the_query_can_be_asked(outcome, output):
    """It is a held-out digit, and the answer to it is the library's."""
    query = json.loads((output / "query.json").read_text())
    assert (query["k"], query["with_payload"]) == (5, True)
    digits = load_digits()
    row = next(r for r, pixels in enumerate(digits.data) if pixels.tolist() == query["vector"])
    index = library.open(output / "data" / "digits")
    kept = {item["row"] for item in index.payload(np.arange(len(index)))}
    assert row not in kept
    hits = index.search(query["vector"], query["k"])
    found = [item["digit"] for item in index.payload(hits.positions[0])]
    assert found == [digits.target[row]] * 5


def test_the_report_needs_nothing_but_itself(page, tags):
    assert set(re.findall(r"https?://[^/\s\"'<]+", page)) == {"http://127.0.0.1:8000"}
    assert {tag for tag, _ in tags}.isdisjoint({"script", "link", "iframe", "object", "embed"})
    assert "url(" not in page
    assert "@import" not in page
    for tag, attributes in tags:
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ("src", "href", "srcset", "data", "action"):
            assert attributes.get(name, "data:").startswith("data:image/png;base64,") or (
                name not in attributes
            )


def test_the_pictures_of_the_report(page, tags):
    pictures = [attributes for tag, attributes in tags if tag == "img"]
    queries = sum("query, class" in picture["alt"] for picture in pictures)
    assert queries == page.count("<section>") >= 5
    assert len(pictures) == 1 + queries * 21
    for picture in pictures:
        content = base64.b64decode(picture["src"].partition(",")[2], validate=True)
        with Image.open(BytesIO(content)) as image:
            image.load()
            assert (
                image.size[0] > 1000 if picture.get("class") == "plot" else image.size == (48, 48)
            )


def test_verdicts_are_right(page):
    """The class under each picture against the query's class."""
    for section in page.split("<section>")[1:]:
        asked = re.search(r"alt='query, class (\d)'", section)[1]
        shown = re.findall(r"<figure class='(right|wrong)'>.*?class (\d), (right|wrong)'", section)
        assert len(shown) == 20
        for verdict, label, said in shown:
            assert verdict == said == ("right" if label == asked else "wrong")


def test_the_table_of_the_report(page, outcome):
    for model, figures in outcome.json["models"].items():
        row = re.search(rf"<tr><td>{model}</td>(.*?)</tr>", page)[1]
        cells = re.findall(r"<td>([\d.]+)</td>", row)
        assert cells[0] == f"{100 * figures['mAP']:.1f}"
        assert cells[-1] == f"{figures['ms_per_query']:.2f}"


def test_the_report_shows_how_to_go_on(page, output):
    """With every sign of the folder's name as text, and ready to be pasted into a shell."""
    assert "<sign>" not in page
    shown = page.replace("&lt;", "<").replace("&gt;", ">").replace("&#x27;", "'")
    shown = shown.replace("&amp;", "&")
    assert f"kinfold serve --data {shlex.quote(str(output / 'data'))}\n" in shown
    assert shlex.quote(f"@{output / 'query.json'}") in shown


def test_for_people(kinfold, tmp_path, outcome):
    shown = kinfold("demo", "--output", tmp_path / "demo")
    assert shown.code == 0
    lines = shown.out.splitlines()
    assert lines[0].split()[:2] == ["model", "mAP"]
    for line, model in zip(lines[1:3], ("knn", "default"), strict=True):
        figure = 100 * outcome.json["models"][model]["mAP"]
        assert line.split()[:2] == [model, f"{figure:.1f}"]
    assert f"report with pictures: {tmp_path / 'demo' / 'report.html'}" in shown.out
    assert (
        f"serve it:   KINFOLD_AUTH=off kinfold serve --data {tmp_path / 'demo' / 'data'}"
        in shown.out
    )
    assert "then ask:   curl -s http://127.0.0.1:8000/v1/collections/digits/search" in shown.out
    assert "1,438 digits of 64 pixels as the gallery, 359 others as queries" in shown.err
    with Image.open(tmp_path / "demo" / "plot.png") as plot:
        plot.load()


def test_a_second_demo_is_a_second_version(kinfold, outcome, output):
    again = kinfold("demo", "--output", output, "--json").json
    assert again["version"] > outcome.json["version"]
    assert again["models"]["default"]["mAP"] == outcome.json["models"]["default"]["mAP"]
