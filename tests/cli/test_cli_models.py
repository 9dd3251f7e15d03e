"""Several models from the command line: built, listed, added, taken, chosen, removed."""

from __future__ import annotations

import re

import numpy as np
import pytest
from cli_support import BUILD_TWO, FAR, ITEMS, TWO, TWO_MODELS, live

import kinfold as library
from cli import configuration
from indexer import read_source
from kinfold import BuildConfig

PEOPLE = ["--data", "data", "--collection", "people"]


def pairs(text):
    """The lines of a table of two columns."""
    rows = (line.partition("  ") for line in text.splitlines() if not line.startswith(" "))
    return {name.strip(): value.strip() for name, _, value in rows}


def configs_of(path):
    return {name: info.config for name, info in library.open(path).manifest.models.items()}


def test_a_build_of_two_for_people(kinfold, files):
    outcome = kinfold(*BUILD_TWO, *TWO_MODELS)
    assert outcome.code == 0
    assert "exact neighbours" in outcome.err
    assert ", 2 models\n" in outcome.err
    assert [phase for phase in re.findall(r"✓ ([a-z ]+?) +━", outcome.err) if "diff" in phase] == [
        "diffusion near",
        "diffusion far",
    ]
    shown = pairs(outcome.out)
    assert shown["model near"] == "cosine, the default"
    assert shown["model far"] == "cas+k-reciprocal(k2=4)"
    assert outcome.out.count(" values a row (longest ") == 2


def test_a_build_of_two_for_machines(kinfold, files):
    outcome = kinfold(*BUILD_TWO, *TWO_MODELS, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.json["default_model"] == "near"
    assert list(outcome.json["models"]) == ["near", "far"]
    assert outcome.json["models"]["far"]["config"]["alpha"] == 0.5


def test_each_is_what_the_library_makes_of_it(kinfold, two):
    index = library.open(two / "data" / "two")
    source = read_source("all.parquet")
    gallery = source.where(~source.mask("is_query"))
    expected = library.build(
        gallery.vectors, two / "expected",
        models={"near": BuildConfig(similarity=["cosine"], max_row=60),
                "far": BuildConfig.from_toml(FAR).model_copy(update={"max_row": 60})},
    )  # fmt: skip
    queries = np.load("queries.npy")
    for name in ("near", "far"):
        np.testing.assert_array_equal(
            index.search(queries, 20, name).positions,
            expected.search(queries, 20, name).positions,
        )


def test_what_wins(kinfold, files):
    """A model's own file over the shared one, single parameters over both."""
    options = ["--model", "a=cas", "--model", "b=far.toml", "--config", "shared.toml"]
    assert kinfold(*BUILD_TWO, *options, "--set", "mass=0.8", "--set", "max_row=50").code == 0
    found = configs_of(files / "data" / "two")
    assert [spec.name for spec in found["a"].similarity] == ["cas"]
    assert [spec.name for spec in found["b"].similarity] == ["cas", "k-reciprocal"]
    assert (found["a"].k_d, found["b"].k_d) == (5, 7)
    assert {(config.mass, config.max_row) for config in found.values()} == {(0.8, 50)}
    assert found["b"].alpha == 0.5
    assert found["a"].alpha == BuildConfig().alpha


def test_a_file_without_a_similarity_has_the_shared_one(kinfold, files):
    (files / "wide.TOML").write_text("k_d = 9\n")
    models = ["--model", "a=wide.TOML", "--model", " b = boundary + cas "]
    assert kinfold(*BUILD_TWO, *models, "--config", "shared.toml").code == 0
    found = configs_of(files / "data" / "two")
    assert configuration.chain_text(found["a"]) == "alpha-qe"
    assert found["a"].k_d == 9
    assert configuration.chain_text(found["b"]) == "boundary+cas"


def test_a_similarity_set_for_all_wins_over_files(kinfold, files):
    models = ["--model", "a=far.toml", "--model", "b=shared.toml"]
    assert kinfold(*BUILD_TWO, *models, "--set", 'similarity=["conaff"]').code == 0
    found = configs_of(files / "data" / "two").values()
    assert {configuration.chain_text(config) for config in found} == {"conaff"}


REFUSED = {
    "no equals sign": (["rdip"], "--model: expected NAME=SIMILARITY, e.g. .*found 'rdip'"),
    "no name": (["=cas"], "--model: expected a name before the '=', found none in '=cas'"),
    "no similarity": (["a= "], "--model: expected a similarity model after the '=', found none"),
    "a gap in a chain": (["a=cas++mean"], "found an empty name in 'a=cas\\+\\+mean'"),
    "a chain without an end": (["a=cas+"], "found an empty name in 'a=cas\\+'"),
    "one name twice": (["a=cas", "a=mean"], "--model: the model 'a' is named twice"),
    "unknown similarity": (["a=cas+x"], "unknown similarity model 'x'; known are: .*superglobal"),
    "a name of plain neighbours": (["knn=cas"], "'knn': this name stands for plain nearest"),
    "a name that is none": (["../a=cas"], "'../a': expected a name of at most 64 letters"),
    "a name with a comma": (["a,b=cas"], "'a,b': expected a name of at most 64 letters"),
    "a long name": (["a" * 65 + "=cas"], "expected a name of at most 64 letters"),
    "different metrics": (["a=cas", "b=l2.toml"], "'b': metric = 'l2', but 'a' has 'cosine'"),
    "different engines": (["a=cas", "b=hnsw.toml"], "'b': neighbors = 'hnsw', but 'a' has 'auto'"),
    "no such file": (["a=none.toml"], "configuration none.toml: cannot be read: .*No such file"),
    "bad TOML": (["a=bad.toml"], "bad.toml: configuration: not valid TOML"),
    "a file that is wrong": (["a=k_e.toml"], "k_e.toml: configuration: k_e: .*found 3"),
    "values that do not go together": (
        ["a=k_m.toml", "--set", "k_d=9"],
        "model 'a': configuration: k_m = 8 is smaller than k_d = 9",
    ),
    "two similarities": (
        ["a=cas", "--set", "similarity=mean"],
        "--model a=cas names its similarity, and so does --set similarity; leave one out",
    ),
    "more neighbours than items": (
        ["a=cas", "--set", "k_d=120", "--query-mask", "is_query"],
        "all.parquet.*: k_d = 120 needs at least 121 items, found 120",
    ),
}


@pytest.mark.parametrize(("given", "match"), REFUSED.values(), ids=REFUSED.keys())
def test_models_that_cannot_be_built(kinfold, here, given, match):
    for name, text in (
        ("l2", 'metric = "l2"'), ("hnsw", 'neighbors = "hnsw"'), ("bad", "k_d = = 3"),
        ("k_m", "k_m = 8\nk_d = 6"), ("k_e", "k_e = 3"),
    ):  # fmt: skip
        (here / f"{name}.toml").write_text(text)
    split = given.index("--set") if "--set" in given else len(given)
    models = [part for text in given[:split] for part in ("--model", text)]
    command = ["build", "all.parquet", *TWO, *models, *given[split:]]
    message = kinfold(*command).error()
    assert re.search(match, message), message
    assert kinfold(*command, "--json").json["error"]["message"] == message
    assert not (here / "data" / "two").exists()


def test_the_list(kinfold, two):
    manifest = library.open(two / "data" / "two").manifest
    outcome = kinfold("models", "list", *TWO, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    values = outcome.json
    assert (values["collection"], values["default"]) == ("two", "near")
    assert values["version"] == live(two / "data" / "two").name
    assert list(values["models"]) == ["near", "far"]
    for name, found in values["models"].items():
        info = manifest.models[name]
        folder = live(two / "data" / "two") / "models" / name
        assert found["default"] == (name == "near")
        assert found["similarity"] == [spec.model_dump() for spec in info.config.similarity]
        assert found["values_a_row"] == info.stored / ITEMS
        assert found["bytes"] == sum(file.stat().st_size for file in folder.iterdir())
        assert found["edges"] == info.edges
    shown = kinfold("models", "list", *TWO).out.splitlines()
    lines = [re.split(r"  +", line.strip()) for line in shown]
    assert lines[0] == ["model", "default", "similarity", "values a row", "size", "edges"]
    assert [line[0] for line in lines[1:]] == ["near", "far"]
    assert lines[1][1:3] == ["yes", "cosine"]
    assert lines[2][1] == "cas+k-reciprocal(k2=4)"


def test_added_taken_chosen_and_removed(kinfold, two):
    """Four changes, each a version that keeps what did not change."""
    path = two / "data" / "people"
    first = live(path).name

    added = kinfold("models", "add", "far=far.toml", *PEOPLE, "--set", "max_row=60", "--json")
    assert (added.code, added.err) == (0, "")
    assert (added.json["change"], added.json["model"]) == ("added", "far")
    assert (added.json["previous"], added.json["version"]) == (first, live(path).name)
    assert added.json["default"] == "default"
    assert list(added.json["models"]) == ["default", "far"]
    before = library.open(path / "versions" / first).manifest.files
    after = library.open(path).manifest.files
    kept = {name: info for name, info in before.items() if after[name] == info}
    assert {"vectors.npy", "ids.arrow", "models/default/indptr.npy"} < set(kept)
    size = sum(info.bytes for info in kept.values())
    assert added.json["kept"] == {"files": len(kept), "bytes": size}
    assert added.json["new"]["files"] == len(after) - len(kept)
    assert added.json["new"]["bytes"] == sum(info.bytes for info in after.values()) - size
    built = library.open(two / "data" / "two").manifest.files
    own = [name for name in after if name.startswith("models/far/")]
    assert {name: after[name] for name in own} == {name: built[name] for name in own}

    taken = kinfold(
        "models", "take", "close", *PEOPLE, "--from", "two", "--from-data", "data",
        "--from-model", "near", "--json",
    )  # fmt: skip
    assert (taken.json["change"], taken.json["previous"]) == ("taken", added.json["version"])
    assert list(taken.json["models"]) == ["default", "close", "far"]
    assert taken.json["models"]["close"]["similarity"][0]["name"] == "cosine"

    chosen = kinfold("models", "default", "close", *PEOPLE, "--json").json
    assert (chosen["change"], chosen["default"]) == ("default", "close")
    assert chosen["new"] == {"files": 0, "bytes": 0}
    again = kinfold("models", "default", "close", *PEOPLE, "--json").json
    assert again["version"] == again["previous"] == chosen["version"]
    said = kinfold("models", "default", "close", *PEOPLE).out
    assert said == f"close is the default of people already; version {chosen['version']} stays\n"

    removed = kinfold("models", "remove", "default", *PEOPLE, "--json").json
    assert list(removed["models"]) == ["close", "far"]
    assert removed["new"] == {"files": 0, "bytes": 0}
    assert library.open(path).models == ["close", "far", "knn"]
    assert library.verify(path).ok
    assert library.open(path / "versions" / first).models == ["default", "knn"]


def test_changes_for_people(kinfold, two):
    path = two / "data" / "people"
    first = live(path).name
    rows = ["--set", "max_iterations=1", "--set", "tolerance=1e-9", "--threads", "1"]
    outcome = kinfold("models", "add", "slow=boundary+cas", *PEOPLE, *rows)
    assert outcome.code == 0
    assert f"{ITEMS}/{ITEMS}" in outcome.err
    assert "✓ diffusion" in outcome.err
    shown = pairs(outcome.out)
    assert shown["version"] == f"{live(path).name}, live"
    assert shown["before"] == f"{first}, still on disk"
    assert re.fullmatch(r"slow: boundary\+cas, [\d.]+ kB", shown["added"])
    assert " values a row (longest " in outcome.out
    assert "rows did not reach the tolerance 1e-09; raise max_iterations" in outcome.out
    assert shown["models"] == "default (the default), slow"
    files, kept = re.match(r"(\d+) of (\d+) files, .* kB of .* kB$", shown["kept"]).groups()
    assert int(files) < int(kept)

    taken = pairs(kinfold("models", "take", "far", *PEOPLE, "--from", "two").out)
    assert taken["taken"].startswith("far: cas+k-reciprocal(k2=4), ")
    chosen = pairs(kinfold("models", "default", "slow", *PEOPLE).out)
    assert chosen["default"].startswith("slow: boundary+cas, ")
    assert chosen["models"] == "slow (the default), default, far"
    removed = pairs(kinfold("models", "remove", "far", *PEOPLE).out)
    assert removed["removed"].startswith("far: cas+k-reciprocal(k2=4), ")
    assert removed["models"] == "slow (the default), default"
    whole = re.match(r"(\d+) of (\d+) files", removed["kept"])
    assert whole[1] == whole[2]


def test_models_of_another_metric_are_added_as_the_collection_has_it(kinfold, here):
    assert kinfold("build", "queries.npy", *TWO, "--set", "metric=l2").code == 0
    assert kinfold("models", "add", "cas=cas", *TWO).code == 0
    assert configs_of(here / "data" / "two")["cas"].metric == "l2"


CHANGES = {
    "add: no equals sign": (["add", "cas"], "InputError", "models add: expected NAME=SIMILARITY"),
    "add: unknown similarity": (["add", "a=b"], "UnknownNameError", "unknown similarity model 'b'"),
    "add: a name that is there": (["add", "near=cas"], "InputError", "has one of that name"),
    "add: plain neighbours": (["add", "knn=cas"], "InputError", "stands for plain nearest"),
    "add: another metric": (
        ["add", "a=cas", "--set", "metric=l2"], "InputError", "compares by 'cosine', found 'l2'",
    ),
    "add: too many neighbours": (
        ["add", "a=cas", "--set", "k_d=120"], "InputError", "k_d = 120 needs at least 121 items",
    ),
    "add: no threads": (["add", "a=cas", "--threads", "0"], "InputError", "threads must be at"),
    "take: no such collection": (
        ["take", "a", "--from", "nobody"], "FormatError", "data/nobody: no kinfold index here",
    ),
    "take: no such folder": (
        ["take", "a", "--from", "two", "--from-data", "else"], "FormatError", "else/two: no kinf",
    ),
    "take: a name that leads outside": (
        ["take", "a", "--from", ".."], "InputError", r"collection: expected .*found '\.\.'",
    ),
    "take: no such model": (
        ["take", "a", "--from", "two", "--from-model", "b"], "UnknownNameError",
        "no model 'b'; it has: far, near",
    ),
    "take: another gallery": (
        ["take", "default", "--from", "people"], "InputError", "made for another gallery",
    ),
    "remove: no such model": (["remove", "a"], "UnknownNameError", "no model 'a' .*: far, near"),
    "remove: the default": (["remove", "near"], "InputError", "is the default .* first: far$"),
    "default: no such model": (["default", "a"], "UnknownNameError", "no model 'a' .*: far, near"),
    "default: plain neighbours": (["default", "knn"], "UnknownNameError", "no model 'knn'"),
}  # fmt: skip


def test_changes_that_are_refused(kinfold, two):
    """One clear line each, and the live version stays."""
    other = ["build", "queries.npy", "--data", "data", "--collection", "people"]
    assert kinfold(*other).code == 0
    version = live(two / "data" / "two").name
    for case, (arguments, kind, match) in CHANGES.items():
        outcome = kinfold("models", *arguments, *TWO)
        message = outcome.error()
        assert outcome.out == "", case
        assert re.search(match, message), (case, message)
        failed = kinfold("models", *arguments, *TWO, "--json")
        assert failed.json == {"error": {"type": kind, "message": message}}, case
        assert live(two / "data" / "two").name == version, case


@pytest.mark.parametrize(
    "arguments", [["list"], ["add", "a=cas"], ["take", "a", "--from", "people"], ["remove", "a"],
                  ["default", "a"]],
)  # fmt: skip
def test_where_there_is_no_collection(kinfold, here, arguments):
    nobody = ["--data", "data", "--collection", "nobody"]
    message = kinfold("models", *arguments, *nobody).error()
    assert message == "data/nobody: no kinfold index here: the folder does not exist"
    assert not (here / "data" / "nobody").exists()
