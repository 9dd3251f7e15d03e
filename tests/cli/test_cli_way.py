"""The way of a user: build, look, search, verify; for people and for machines."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from cli_support import ITEMS, QUERIES, flip, live

import kinfold as library
from indexer import collections_in
from kinfold.index import list_versions

CHOICE = ["--query-mask", "is_query", "--set", "k_d=6"]


def test_build_for_people(kinfold, here):
    outcome = kinfold("build", "all.parquet", "--data", "new data", "--collection", "b", *CHOICE)
    assert outcome.code == 0
    version = live(here / "new data" / "b").name
    for fact in (
        f"version        {version}\n",
        f"items          {ITEMS} × 8, cosine\n",
        "values a row (longest ",
        " edges, ",
        " bytes an item\n",
        "serve it:   kinfold serve --data 'new data'\n",
        "look at it: kinfold info --data 'new data' --collection b\n",
    ):
        assert fact in "\n".join(line.rstrip() for line in outcome.out.split("\n"))
    assert "120 × 8 float32 from all.parquet (rows counted among the 120 of 144" in outcome.err
    assert "exact neighbours" in outcome.err
    assert "estimate: 1 s, " in outcome.err
    for phase in ("vectors", "neighbors", "diffusion"):
        assert f"✓ {phase}" in outcome.err
    assert f"{ITEMS}/{ITEMS}" in outcome.err


def test_build_for_machines(kinfold, here):
    outcome = kinfold(
        "build", "all.parquet", "--data", "d", "--collection", "b", *CHOICE, "--json"
    )  # fmt: skip
    values = outcome.json
    assert (outcome.code, outcome.err) == (0, "")
    assert values["path"] == "d/b"
    assert values["version"] == live(here / "d" / "b").name
    assert (values["rows"], values["dimension"], values["engine"]) == (ITEMS, 8, "exact")
    assert values["neighbor_recall"] == 1
    assert values["models"]["default"]["config"]["k_d"] == 6
    assert "blocks" not in values["models"]["default"]
    assert values["seconds"] > 0
    assert values["bytes"] > ITEMS * 8 * 4
    manifest = library.open(here / "d" / "b").manifest
    assert values["measured"] == manifest.measured
    assert manifest.ids == "string"
    assert manifest.payload_columns == ["person", "camera", "note", "blur", "tags", "is_query"]


def test_build_says_when_rows_did_not_converge(kinfold, here):
    rows = ["--set", "max_iterations=1", "--set", "tolerance=1e-9"]
    outcome = kinfold("build", "all.parquet", "--data", "d", "--collection", "b", *rows)
    assert "rows did not reach the tolerance 1e-09; raise max_iterations" in outcome.out


def test_build_by_a_configuration_file_and_single_parameters(kinfold, here):
    (here / "c.toml").write_text('k_d = 7\nalpha = 0.5\ngraph = "union"\n')
    parameters = ["--config", "c.toml", "--set", "alpha=0.9", "--set", "seeds=plain"]
    outcome = kinfold(
        "build", "all.parquet", "--data", "d", "--collection", "b", *parameters, "--json"
    )
    config = outcome.json["models"]["default"]["config"]
    chosen = (config["k_d"], config["alpha"], config["graph"], config["seeds"])
    assert chosen == (7, 0.9, "union", "plain")


def test_build_by_chosen_columns(kinfold, here):
    table = pq.read_table("all.parquet").rename_columns({"id": "code", "vector": "v"})
    pq.write_table(table.append_column("w", table["v"]), "two.parquet")
    outcome = kinfold(
        "build", "two.parquet", "--data", "d", "--collection", "b", "--vectors", "v",
        "--ids", "code", "--payload", "person, camera", "--threads", "1", "--json",
    )  # fmt: skip
    assert outcome.code == 0
    manifest = library.open(here / "d" / "b").manifest
    assert manifest.payload_columns == ["person", "camera"]
    assert manifest.ids == "string"


def test_a_rebuild_keeps_the_version_before(kinfold, here):
    before = live(here / "data" / "people").name
    kinfold("build", "all.parquet", "--data", "data", "--collection", "people", "--json")
    versions = kinfold("info", "--data", "data", "--collection", "people", "--json").json[
        "versions"
    ]
    assert versions == list_versions(here / "data" / "people")
    assert versions == [before, live(here / "data" / "people").name]


def test_search_by_file(kinfold, people, folder):
    outcome = kinfold("search", "queries.npy", *people, "-k", 3, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    results = outcome.json["results"]
    index = library.open(folder / "data" / "people")
    hits = index.search(np.load("queries.npy"), 3)
    assert len(results) == QUERIES
    for query, result in enumerate(results):
        assert [hit["id"] for hit in result["hits"]] == hits.ids[query].tolist()
        assert [hit["score"] for hit in result["hits"]] == hits.scores[query].tolist()
        similarities = [hit["similarity"] for hit in result["hits"]]
        assert similarities == hits.similarities[query].tolist()
        assert result["reached"] == hits.reached[query]


def test_search_gives_payload_as_json_has_it(kinfold, people, folder):
    """NaN becomes null; lists stay lists; what looks like markup stays as it is."""
    outcome = kinfold("search", "queries.npy", *people, "-k", ITEMS, "--row", 0, "--json")
    index = library.open(folder / "data" / "people")
    found = 0
    for hit in outcome.json["results"][0]["hits"]:
        expected = index.payload(np.array([index.position(hit["id"])]))[0]
        assert hit["payload"]["blur"] == (None if np.isnan(expected["blur"]) else 0.25)
        assert {**hit["payload"], "blur": 0} == {**expected, "blur": 0}
        found += hit["payload"]["blur"] is None
    assert found == ITEMS // 2


def test_search_for_people(kinfold, people):
    outcome = kinfold("search", "queries.npy", *people, "--row", 4, "-k", 2, "--row", 0)
    first, second = outcome.out.split("row 0")
    assert first.startswith("row 4\n")
    for table in (first, second):
        lines = table.strip().splitlines()[-3:]
        assert lines[0].split() == [
            "rank", "id", "score", "similarity", "person", "camera", "note", "blur", "tags",
            "is_query",
        ]  # fmt: skip
        assert [line.split()[0] for line in lines[1:]] == ["1", "2"]
        assert all(line.split()[1].startswith("[/i") for line in lines[1:])
    assert "pérson" in first
    assert ":smile:" in outcome.out
    assert "[bold]" in outcome.out


def test_nothing_is_cut_off_where_nobody_looks(kinfold, here):
    """A terminal is narrow; a file or a pipe is not."""
    table = pq.read_table("all.parquet")
    long_ids = [f"{row:064x}" for row in range(len(table))]
    pq.write_table(table.set_column(0, "id", [long_ids]), "long.parquet")
    kinfold("build", "long.parquet", "--data", "d", "--collection", "b", "--json")
    outcome = kinfold("search", "queries.npy", "--data", "d", "--collection", "b", "--row", 0)
    shown = [word for word in outcome.out.split() if len(word) == 64]
    assert len(shown) == 10
    assert set(shown) <= set(long_ids)


def test_search_by_id(kinfold, people, folder):
    index = library.open(folder / "data" / "people")
    items = index.ids_of(np.array([3, 50], dtype=np.uint32)).tolist()
    options = [part for item in items for part in ("--id", item)]
    outcome = kinfold("search", *people, *options, "-k", 4, "--model", "knn", "--json")
    hits = index.search_by_id(items, 4, "knn")
    found = [[hit["id"] for hit in result["hits"]] for result in outcome.json["results"]]
    assert found == hits.ids.tolist()
    assert all(item not in row for item, row in zip(items, found, strict=True))
    assert [result["reached"] for result in outcome.json["results"]] == [0, 0]
    shown = kinfold("search", *people, *options).out
    assert [line for line in shown.splitlines() if line in items] == items


def test_search_by_whole_number_ids(kinfold, here):
    kinfold("build", "queries.npy", "--data", "d", "--collection", "rows", "--json")
    outcome = kinfold("search", "--data", "d", "--collection", "rows", "--id", "7", "--json")
    ids = [hit["id"] for hit in outcome.json["results"][0]["hits"]]
    assert len(ids) == 10
    assert set(ids) < set(range(QUERIES)) - {7}
    assert outcome.json["results"][0]["hits"][0]["payload"] == {}


def test_search_uses_only_the_queries_of_a_mask(kinfold, people):
    masked = kinfold("search", "all.parquet", *people, "--query-mask", "is_query", "--json")
    assert masked.json == kinfold("search", "queries.npy", *people, "--json").json


def test_info_of_all_collections(kinfold, here):
    kinfold("build", "queries.npy", "--data", "data", "--collection", "another", "--json")
    outcome = kinfold("info", "--data", "data", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.json == {
        "another": {"rows": QUERIES, "dimension": 8},
        "people": {"rows": ITEMS, "dimension": 8},
    }
    lines = kinfold("info", "--data", "data").out.splitlines()
    assert lines[0].split() == ["collection", "items", "dimension", "models", "built", "size"]
    assert lines[1].split()[:4] == ["another", "24", "8", "default"]
    assert lines[2].split()[:4] == ["people", "120", "8", "default"]


def test_info_of_nothing(kinfold, tmp_path):
    outcome = kinfold("info", "--data", tmp_path / "none")
    assert outcome.code == 0
    assert f"no collections in {tmp_path / 'none'}; make one with: kinfold build" in outcome.out
    assert kinfold("info", "--data", tmp_path, "--json").json == {}


def test_info_of_one_collection(kinfold, people, folder):
    manifest = library.open(folder / "data" / "people").manifest
    outcome = kinfold("info", *people, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    values = outcome.json
    assert (values["collection"], values["version"]) == (
        "people",
        live(folder / "data/people").name,
    )
    assert values["versions"] == [values["version"]]
    for name, value in manifest.model_dump(mode="json").items():
        assert values[name] == value
    shown = {
        line.split("  ")[0].strip(): line.partition("  ")[2].strip()
        for line in kinfold("info", *people).out.splitlines()
    }
    assert shown["items"] == "120 × 8, cosine"
    assert shown["ids"] == "string"
    assert shown["payload"] == "person, camera, note, blur, tags, is_query"
    assert shown["neighbours"] == "exact, recall of the graph 1.000"
    assert shown["version"].startswith(f"{values['version']} (of 1), kinfold ")
    assert shown["model default"] == "float8, the default"
    for phase, seconds in manifest.measured.items():
        assert shown[phase.replace("_", " ")] == f"{seconds:.2f}"
    assert "  alpha" in kinfold("info", *people).out


def test_verify_what_is_well(kinfold, people, folder):
    outcome = kinfold("verify", "data/people", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    values = outcome.json
    assert (values["ok"], values["problems"]) == (True, [])
    assert values["version"] == live(folder / "data/people").name
    shown = kinfold("verify", "data/people")
    assert shown.code == 0
    assert shown.out.startswith(f"{values['version']}: {values['files']} files, ")
    assert shown.out.endswith(": all as built\n")
    assert "✓ verify" in shown.err
    assert kinfold("verify", live(folder / "data/people")).code == 0


def test_verify_names_every_damaged_file(kinfold, here):
    version = live(here / "data" / "people")
    files = [path for path in version.rglob("*") if path.is_file()]
    assert len(files) > 8
    for file in files:
        original = file.read_bytes()
        flip(file, len(original) // 2)
        outcome = kinfold("verify", "data/people", "--json")
        assert outcome.code == 1
        assert outcome.json["ok"] is False
        assert len(outcome.json["problems"]) == 1
        assert str(file.relative_to(here)) in outcome.json["problems"][0]
        shown = kinfold("verify", "data/people")
        assert (shown.code, shown.out) == (1, "")
        assert str(file.relative_to(here)) in shown.err
        assert "1 problems; build the collection again or restore it" in shown.err
        assert "Traceback" not in shown.err
        file.write_bytes(original)
    assert kinfold("verify", "data/people").code == 0


@pytest.mark.parametrize("verb", ["search", "evaluate", "info"])
def test_a_newer_format_is_told_apart_from_damage(kinfold, here, verb):
    manifest = live(here / "data" / "people") / "manifest.json"
    values = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**values, "format_version": values["format_version"] + 1}))
    given = [] if verb == "info" else ["queries.npy"]
    message = kinfold(verb, *given, "--data", "data", "--collection", "people").error()
    assert "written by a newer kinfold" in message
    assert "upgrade kinfold" in kinfold("verify", "data/people").error()


@pytest.mark.parametrize("verb", ["search", "evaluate", "info"])
def test_a_damaged_index_is_not_read(kinfold, here, verb):
    flip(live(here / "data" / "people") / "manifest.json", 300)
    given = [] if verb == "info" else ["queries.npy"]
    options = ["--data", "data", "--collection", "people"]
    assert "corrupt" in kinfold(verb, *given, *options).error()
    failed = kinfold(verb, *given, *options, "--json")
    assert failed.json["error"]["type"] == "CorruptIndexError"
    assert failed.json["error"]["message"] == failed.error()


def test_a_version_that_vanished(kinfold, here):
    shutil.rmtree(live(here / "data" / "people"))
    assert collections_in("data") == ["people"]
    assert "which does not exist" in kinfold("verify", "data/people").error()
