"""A user's mistake: exit code 2, one clear line, no traceback; and with --json the same as JSON."""

from __future__ import annotations

import re

import numpy as np
import pyarrow.parquet as pq
import pytest
from cli_support import DIMENSION, live

from indexer import collections_in

PEOPLE = ["--data", "data", "--collection", "people"]
NEW = ["all.parquet", "--data", "data", "--collection", "new"]


def spoil(here):
    """Files with everything that queries and galleries should not have."""
    queries = np.load("queries.npy")
    np.save("narrow.npy", queries[:, :5])
    np.save("none.npy", queries[:0])
    np.save("flat.npy", queries[0])
    for name, value in (("nan", np.nan), ("inf", np.inf)):
        changed = queries.copy()
        changed[13, 2] = value
        np.save(f"{name}.npy", changed)
    changed = queries.copy()
    changed[13] = 0
    np.save("zero.npy", changed)
    (here / "folder.png").mkdir()
    (here / "bad.toml").write_text("k_d = = 3")
    (here / "unknown.toml").write_text("k_e = 3")
    (here / "cut.npy").write_bytes((here / "queries.npy").read_bytes()[:-1])
    table = pq.read_table("all.parquet")
    pq.write_table(table.set_column(0, "id", [["same"] * len(table)]), "same.parquet")


SEARCH = {
    "wrong dimension": (["narrow.npy"], "InputError", "narrow.npy: index has dimension 8, the qu"),
    "NaN": (["nan.npy"], "InputError", "nan.npy: .*found nan in row 13, column 2"),
    "infinity": (["inf.npy"], "InputError", "inf.npy: .*found inf in row 13, column 2"),
    "NaN in a chosen row": (
        ["nan.npy", "--row", "4", "--row", "13"],
        "InputError",
        r"nan.npy \(rows counted among those of --row\): .*found nan in row 1, column 2",
    ),
    "all zeros": (["zero.npy"], "InputError", "zero.npy: .*row 13 is all zeros"),
    "no queries": (["none.npy"], "InputError", "none.npy: expected at least one query, found none"),
    "one vector": (["flat.npy"], "InputError", r"flat.npy: expected a matrix .*found shape \(8,\)"),
    "missing file": (["nowhere.npy"], "InputError", "nowhere.npy: expected a file, found nothing"),
    "truncated file": (["cut.npy"], "InputError", "cut.npy: truncated or damaged"),
    "unknown ending": (["data"], "InputError", "data: expected a file ending in"),
    "unknown model": (
        ["queries.npy", "--model", "hnsw"],
        "UnknownNameError",
        "no model 'hnsw' in this index; it has: default, knn",
    ),
    "k too large": (
        ["queries.npy", "-k", "121"],
        "InputError",
        "k = 121, but the gallery holds 120",
    ),
    "k too small": (["queries.npy", "-k", "0"], "InputError", "k: expected .* at least 1, found 0"),
    "no such row": (
        ["queries.npy", "--row", "24"],
        "InputError",
        "queries.npy: no row 24; it has 24 rows",
    ),
    "negative row": (["queries.npy", "--row", "-1"], "InputError", "queries.npy: no row -1"),
    "unknown id": (["--id", "nobody"], "UnknownNameError", "no item has the id 'nobody'"),
    "neither file nor id": ([], "InputError", "--id and --positive, found none"),
    "file and id": (["queries.npy", "--id", "x"], "InputError", "--id and --positive, found sev"),
    "no column for a mask": (
        ["queries.npy", "--query-mask", "m"],
        "InputError",
        "queries.npy: no column 'm'; it has: none",
    ),
    "a mask that is none": (
        ["all.parquet", "--query-mask", "person"],
        "InputError",
        "column 'person': expected true and false",
    ),
    "no column of vectors": (
        ["all.parquet", "--vectors", "v"],
        "InputError",
        "no column 'v'; it has: id, vector, person",
    ),
    "k too large for an id": (
        ["--id", "[/i1]", "-k", "120"],
        "InputError",
        "k = 120, but the gallery holds 119 items besides the item itself",
    ),
}
EVALUATE = {
    "NaN": (["nan.npy", "--label", "x"], "InputError", "nan.npy: .*found nan in row 13, column 2"),
    "wrong dimension": (
        ["narrow.npy", "--label", "x"],
        "InputError",
        "narrow.npy: index has dimension 8, the query has 5",
    ),
    "no queries": (["none.npy", "--label", "x"], "InputError", "expected at least one query"),
    "no protocol": (
        ["all.parquet"],
        "InputError",
        "expected --label COLUMN or --ground-truth FILE",
    ),
    "no label in the queries": (
        ["queries.npy", "--label", "person"],
        "InputError",
        "queries.npy: no column 'person'; it has: none",
    ),
    "no label in the gallery": (
        ["all.parquet", "--label", "id"],
        "InputError",
        "the collection has no payload column 'id'; it has: person, camera",
    ),
    "labels with gaps": (
        ["all.parquet", "--label", "note"],
        "InputError",
        "all.parquet: column 'note' has .* empty values",
    ),
    "labels that are lists": (
        ["all.parquet", "--label", "tags"],
        "InputError",
        "column 'tags': expected single values, found list<",
    ),
    "labels that are numbers": (
        ["all.parquet", "--label", "blur"],
        "InputError",
        "found dtype flo",
    ),
    "no camera": (
        ["all.parquet", "--label", "person", "--camera", "lens"],
        "InputError",
        "no column 'lens'",
    ),
    "a plot of another kind": (
        ["all.parquet", "--label", "person", "--plot", "plot.pdf"],
        "InputError",
        "--plot plot.pdf: expected a file ending in .png or .svg",
    ),
    "a plot that cannot be written": (
        ["all.parquet", "--label", "person", "--plot", "queries.npy/plot.png"],
        "StorageError",
        "--plot queries.npy/plot.png: cannot be written",
    ),
    "a plot that is a folder": (
        ["all.parquet", "--label", "person", "--plot", "folder.png"],
        "StorageError",
        "--plot folder.png: cannot be written: Is a directory",
    ),
    "no ground truth": (
        ["queries.npy", "--ground-truth", "truth.json"],
        "InputError",
        "truth.json: expected a readable ground-truth file, found: No such file",
    ),
    "ground truth that is none": (
        ["queries.npy", "--ground-truth", "bad.toml"],
        "InputError",
        "bad.toml: expected JSON",
    ),
}
BUILD = {
    "unknown parameter": (["--set", "k_e=3"], "InputError", "k_e: .*found 3"),
    "bad value": (["--set", "k_d=many"], "InputError", "k_d: .*found 'many'"),
    "value out of range": (["--set", "alpha=1.5"], "InputError", "alpha: .*less than.*found 1.5"),
    "no value": (["--set", "k_d"], "InputError", "--set: expected NAME=VALUE, found 'k_d'"),
    "values that do not go together": (
        ["--set", "k_m=3"],
        "InputError",
        r"k_m = 3 is smaller than k_d = \d+",
    ),
    "unknown similarity": (
        ["--set", 'similarity=["cosinus"]'],
        "UnknownNameError",
        "unknown similarity model 'cosinus'; known are: .*cosine",
    ),
    "more neighbours than items": (
        ["--set", "k_d=144"],
        "InputError",
        "all.parquet: k_d = 144 needs at least 145 items, found 144",
    ),
    "bad TOML": (["--config", "bad.toml"], "InputError", "not valid TOML: .*line 1"),
    "unknown parameter in TOML": (["--config", "unknown.toml"], "InputError", "k_e: .*found 3"),
    "missing TOML": (["--config", "none.toml"], "InputError", "none.toml: cannot be read"),
    "no threads": (["--threads", "0"], "InputError", "threads must be at least 1, found 0"),
    "no id column": (["--ids", "code"], "InputError", "all.parquet: no id column 'code'; it has"),
    "no payload column": (["--payload", "year"], "InputError", "no payload column 'year'; it has"),
    "ids that are none": (["--ids", "blur"], "InputError", "ids: expected .*found float64"),
}  # fmt: skip
OTHER = {
    "build: missing file": (
        ["build", "nowhere.npy", "--data", "data", "--collection", "c"],
        "InputError",
        "nowhere.npy: expected a file, found nothing of this name",
    ),
    "build: duplicate ids": (
        ["build", "same.parquet", "--data", "data", "--collection", "c"],
        "InputError",
        "same.parquet: ids: expected unique ids, found 'same' in rows 0 and 1",
    ),
    "build: NaN, rows counted by the mask": (
        ["build", "nan.npy", "--data", "data", "--collection", "c"],
        "InputError",
        "nan.npy: .*found nan in row 13, column 2",
    ),
    "build: a name that leads outside": (
        ["build", "queries.npy", "--data", "data", "--collection", "../c"],
        "InputError",
        "collection: expected 1 to 64 of a-z, .*found '../c'",
    ),
    "build: a data folder below a file": (
        ["build", "queries.npy", "--data", "queries.npy/data", "--collection", "c"],
        "StorageError",
        "queries.npy/data/c, found a file in its way",
    ),
    "build: a data folder that is a file": (
        ["build", "queries.npy", "--data", "queries.npy", "--collection", "c"],
        "StorageError",
        "queries.npy/c, found a file in its way",
    ),
    "build: a data folder that takes nothing": (
        ["build", "queries.npy", "--data", "/proc/none", "--collection", "c"],
        "CapacityError",
        "on disk, 0 B are free",
    ),
    "build: a name that is too long for the disk": (
        ["build", "queries.npy", "--data", "x" * 300, "--collection", "c"],
        "StorageError",
        "File name too long",
    ),
    "search: unknown collection": (
        ["search", "queries.npy", "--data", "data", "--collection", "nobody"],
        "FormatError",
        "data/nobody: no kinfold index here: the folder does not exist",
    ),
    "search: a name that leads outside": (
        ["search", "queries.npy", "--data", "data/people", "--collection", ".."],
        "InputError",
        r"collection: expected .*found '\.\.'",
    ),
    "evaluate: unknown collection": (
        ["evaluate", "queries.npy", "--data", "data", "--collection", "nobody", "--label", "x"],
        "FormatError",
        "no kinfold index here",
    ),
    "info: unknown collection": (
        ["info", "--data", "data", "--collection", "nobody"],
        "FormatError",
        "no kinfold index here",
    ),
    "verify: no index": (["verify", "queries.npy"], "FormatError", "it is a file, not a folder"),
    "verify: nothing": (["verify", "nothing"], "FormatError", "the folder does not exist"),
    "demo: an output below a file": (
        ["demo", "--output", "queries.npy/demo"],
        "StorageError",
        "found a file in its way",
    ),
}
CASES = {
    **{f"search: {name}": (["search", *g, *PEOPLE], k, m) for name, (g, k, m) in SEARCH.items()},
    **{f"evaluate: {n}": (["evaluate", *g, *PEOPLE], k, m) for n, (g, k, m) in EVALUATE.items()},
    **{f"build: {name}": (["build", *NEW, *g], k, m) for name, (g, k, m) in BUILD.items()},
    **OTHER,
}


@pytest.mark.parametrize(("arguments", "kind", "match"), CASES.values(), ids=CASES.keys())
def test_one_clear_line(kinfold, here, arguments, kind, match):
    spoil(here)
    version = live(here / "data" / "people").name
    outcome = kinfold(*arguments)
    message = outcome.error()
    assert outcome.out == ""
    assert re.search(match, message), message

    failed = kinfold(*arguments, "--json")
    assert failed.json == {"error": {"type": kind, "message": message}}
    assert failed.error() == message
    assert len(failed.err.splitlines()) == 1

    assert live(here / "data" / "people").name == version
    assert collections_in("data") == ["people"]
    assert not list(here.rglob(".building-*"))


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--data", "nowhere"], "nowhere"),
        (["--data", "data", "--port", "70000"], "PORT"),
        (["--data", "data", "--host", "256.1.1.1"], "256.1.1.1"),
    ],
    ids=["no data folder", "no port", "no address"],
)
def test_serve_refuses_what_it_cannot_serve(kinfold, here, arguments, match):
    assert match in kinfold("serve", *arguments).error()


def test_too_many_queries(kinfold, here):
    np.save("many.npy", np.ones((1001, DIMENSION)))
    message = kinfold("search", "many.npy", *PEOPLE).error()
    assert message.startswith("many.npy: 1001 queries; choose at most 1000 with --row")


def test_a_mask_of_nothing(kinfold, here):
    table = pq.read_table("all.parquet")
    pq.write_table(table.append_column("never", [[False] * len(table)]), "never.parquet")
    message = kinfold("search", "never.parquet", *PEOPLE, "--query-mask", "never").error()
    assert "never.parquet (rows counted among the 0 of 144 that are used): expected at" in message


def test_a_wrong_plot_is_refused_before_anything_is_read(kinfold, here):
    for plot in ("x.pdf", "queries.npy/x.png"):
        message = kinfold("evaluate", "nowhere.npy", *PEOPLE, "--plot", plot).error()
        assert message.startswith(f"--plot {plot}: ")


def test_names_with_brackets_are_shown_as_they_are(kinfold, here):
    message = kinfold("search", "[/red] :smile: [bold]x.npy", *PEOPLE).error()
    assert message.startswith("[/red] :smile: [bold]x.npy: expected a file, found nothing")
