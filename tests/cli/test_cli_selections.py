"""`kinfold search` with filters, offsets, thresholds, groups and examples."""

from __future__ import annotations

import json

import numpy as np
import pytest

import kinfold as library

FILTER = {"and": [{"column": "camera", "in": [0, 1]}, {"not": {"column": "person", "eq": "x"}}]}


def as_options(given):
    named = {"group_by": "--group-by", "min_similarity": "--min-similarity"}
    return [
        part
        for name, value in given.items()
        for part in (
            named.get(name, f"--{name.replace('_', '-')}"),
            json.dumps(value) if name == "filter" else value,
        )
    ]


def check(results, hits):
    assert len(results) == len(hits)
    for query, result in enumerate(results):
        count = int(hits.counts[query])
        assert [hit["id"] for hit in result["hits"]] == hits.ids[query, :count].tolist()
        assert (result["count"], result["matched"]) == (count, hits.matched[query])


@pytest.mark.parametrize(
    "given",
    [
        {"filter": FILTER},
        {"offset": 3},
        {"min_similarity": 0.5},
        {"group_by": "person"},
        {"group_by": "person", "group_size": 2, "offset": 1, "filter": FILTER},
    ],
    ids=str,
)
def test_same_as_the_library(kinfold, people, folder, given):
    index = library.open(folder / "data" / "people")
    options = [*people, *as_options(given), "-k", 4, "--json"]
    found = kinfold("search", "queries.npy", *options).json["results"]
    check(found, index.search(np.load("queries.npy"), 4, **given))
    a, b, c = index.ids_of(np.array([3, 50, 7], dtype=np.uint32)).tolist()
    found = kinfold("search", "--id", a, "--id", b, *options).json["results"]
    check(found, index.search_by_id([a, b], 4, **given))
    examples = ["--positive", a, "--positive", b, "--negative", c]
    found = kinfold("search", *examples, *options).json["results"]
    check(found, index.search_examples([a, b], [c], 4, **given))
    shown = kinfold("search", *examples, *options[:-1]).out
    assert shown.startswith(f"{a} + {b} − {c}")


def test_ranks_go_on_behind_an_offset(kinfold, people):
    outcome = kinfold("search", "queries.npy", *people, "--row", 0, "-k", 2, "--offset", 5)
    assert [line.split()[0] for line in outcome.out.strip().splitlines()[-2:]] == ["6", "7"]


def test_no_hits_are_said_so(kinfold, people):
    outcome = kinfold(
        "search", "queries.npy", *people, "--row", 0, "--filter", '{"column": "camera", "eq": 77}'
    )
    assert (outcome.code, "no hits" in outcome.out) == (0, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--filter", "{"], "--filter: expected JSON such as"),
        (["--filter", "[" * 100_000], "--filter: expected JSON such as"),
        (["--filter", '{"column": "camera"}'], "filter: expected a test"),
        (["--filter", '{"column": "lens", "eq": 1}'], "no column 'lens'"),
        (["--offset", "-1"], "offset: expected a whole number of at least 0"),
        (["--min-similarity", "nan"], "min_similarity: expected a finite number"),
        (["--group-by", "tags"], "single values"),
        (["--group-size", "2"], "expected group_by with it"),
        (["--negative", "a"], "--negative: expected --positive with it"),
        (["--positive", "a"], "expected one of a file of queries, --id and --positive, found"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_refusals(kinfold, people, options, message):
    assert message in kinfold("search", "queries.npy", *people, *options).error()
