"""Several models asked at once, shown side by side, and measured."""

from __future__ import annotations

import re

import numpy as np
import pytest
from cli_support import BUILD_TWO, ITEMS, QUERIES, TWO

import kinfold as library
from indexer import read_source
from kinfold.evaluate import score_by_labels


@pytest.mark.parametrize("fusion", [None, "rrf", "score"])
def test_search_fuses_what_commas_separate(kinfold, two, fusion):
    options = ["--fusion", fusion] if fusion else []
    command = ["search", "queries.npy", *TWO, "-k", 7, "--model", "near, far,knn", *options]
    outcome = kinfold(*command, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    index = library.open(two / "data" / "two")
    hits = index.search(np.load("queries.npy"), 7, ["near", "far", "knn"], fusion=fusion)
    results = outcome.json["results"]
    assert [[hit["id"] for hit in result["hits"]] for result in results] == hits.ids.tolist()
    assert [[hit["score"] for hit in one["hits"]] for one in results] == hits.scores.tolist()
    shown = kinfold(*command, "--row", 0).out
    assert str(hits.ids[0, 0]) in shown


def test_search_by_id_fuses_too(kinfold, two):
    index = library.open(two / "data" / "two")
    item = index.ids_of(np.array([3], np.uint32)).tolist()[0]
    outcome = kinfold("search", *TWO, "--id", item, "-k", 5, "--model", "near,far", "--json")
    hits = index.search_by_id([item], 5, ["near", "far"])
    assert [hit["id"] for hit in outcome.json["results"][0]["hits"]] == hits.ids[0].tolist()


QUESTIONS = {
    "unknown model": (["--model", "near,x"], "no model 'x' in this index; it has: near, far, knn"),
    "twice": (["--model", "near,near"], "model: 'near' is named twice"),
    "a gap": (["--model", "near,,far"], "--model: expected names separated by commas, found"),
    "nothing": (["--model", ""], "--model: expected names separated by commas, found ''"),
    "unknown fusion": (
        ["--model", "near,far", "--fusion", "sum"],
        "--fusion: expected 'rrf' or 'score', found 'sum'",
    ),
    "fusion of one": (
        ["--model", "near", "--fusion", "rrf"],
        "--fusion: expected several models in --model, separated by commas, found 'near'",
    ),
    "fusion of none": (["--fusion", "rrf"], "several models in --model, .*found none"),
}


def test_questions_that_cannot_be_asked(kinfold, two):
    for arguments, match in QUESTIONS.values():
        message = kinfold("search", "queries.npy", *TWO, *arguments).error()
        assert re.search(match, message), message


def test_info_shows_what_differs_and_what_all_share(kinfold, two):
    shown = kinfold("info", *TWO).out
    near, far, both = re.split(r"^model far.*$|^all models *$", shown, flags=re.MULTILINE)
    assert re.search(r"^model near +float8, the default *$", near, re.MULTILINE)
    own = {"similarity", "k_d", "alpha"}
    for text, chain in ((near, "cosine"), (far, "cas+k-reciprocal(k2=4)")):
        found = dict(re.findall(r"^  (\w+) +(.*?) *$", text, re.MULTILINE))
        assert set(found) == own
        assert found["similarity"] == chain
    assert re.search(r"^  alpha +0.5 *$", far, re.MULTILINE)
    found = dict(re.findall(r"^  (\w+) +(.*?) *$", both, re.MULTILINE))
    assert found["max_row"] == "60"
    assert not own & set(found)
    listed = kinfold("info", "--data", "data").out.splitlines()
    assert "near, far" in next(line for line in listed if line.startswith("two"))


def test_info_says_where_a_model_leaves_a_value_to_be_chosen(kinfold, files):
    (files / "k_m.toml").write_text("k_m = 30\n")
    assert kinfold(*BUILD_TWO, "--model", "a=k_m.toml", "--model", "b=cas").code == 0
    assert re.findall(r"^  k_m +(.*?) *$", kinfold("info", *TWO).out, re.MULTILINE) == [
        "30",
        "not given",
    ]


def test_evaluate_measures_every_model_and_what_they_give_together(kinfold, two):
    asked = ["evaluate", "all.parquet", *TWO, "--query-mask", "is_query", "--label", "person"]
    outcome = kinfold(*asked, "--fuse", "near, far", "--fusion", "score", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    names = ["knn", "near", "far", "near,far"]
    assert list(outcome.json["models"]) == names
    index = library.open(two / "data" / "two")
    source = read_source("all.parquet")
    queries = source.where(source.mask("is_query"))
    people = np.array([row["person"] for row in index.payload(np.arange(ITEMS))])
    for name, found in outcome.json["models"].items():
        models = name.split(",")
        hits = index.search(
            queries.vectors, ITEMS, models, fusion="score" if len(models) > 1 else None
        )
        scores = score_by_labels(hits.positions, queries.column("person"), people)
        assert found["mAP"] == scores.mean_average_precision
        assert found["ms_per_query"] > 0
    shown = kinfold(*asked, "--fuse", "near,far", "--plot", "plot.svg")
    assert [line.split()[0] for line in shown.out.splitlines()[1:5]] == names
    assert "\nnear,far: " in shown.out
    assert re.search(rf"✓ near,far +━+ {QUERIES}/{QUERIES}", shown.err)


def test_rankings_that_cannot_be_fused_are_refused_before_any_is_measured(kinfold, two):
    asked = ["evaluate", "all.parquet", *TWO, "--query-mask", "is_query", "--label", "person"]
    for arguments, match in (
        (["--fuse", "near"], "--fuse: expected several models, separated by commas, found 'near'"),
        (["--fuse", "near,x"], "no model 'x' in this index"),
        (["--fuse", "near,"], "--fuse: expected names separated by commas"),
        (["--fusion", "rrf"], "--fusion: expected several models in --fuse, .*found none"),
        (["--fuse", "near,far", "--fusion", "x"], "--fusion: expected 'rrf' or 'score'"),
    ):
        outcome = kinfold(*asked, *arguments)
        assert re.search(match, outcome.error()), arguments
        assert "✓" not in outcome.err
