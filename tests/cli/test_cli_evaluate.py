"""`kinfold evaluate`: the figures of every protocol, held against the library's own scores."""

from __future__ import annotations

import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest
from cli_support import ITEMS, QUERIES
from PIL import Image

import kinfold as library
from indexer import read_source
from kinfold.evaluate import reid, revisited, score_by_labels

MASK = ["--query-mask", "is_query"]
LABEL = ["--label", "person"]
MODELS = ["knn", "default"]


@pytest.fixture(scope="module")
def queries(folder):
    source = read_source(folder / "all.parquet")
    return source.where(source.mask("is_query"))


@pytest.fixture(scope="module")
def index(folder):
    return library.open(folder / "data" / "people")


@pytest.fixture(scope="module")
def payload(index):
    rows = index.payload(np.arange(ITEMS))
    return {name: np.array([row[name] for row in rows]) for name in ("person", "camera")}


@pytest.fixture(scope="module")
def rankings(index, queries):
    return {
        model: index.search(queries.vectors, ITEMS, model).positions.astype(np.int64)
        for model in MODELS
    }


def precisions(values):
    return [None if np.isnan(value) else value for value in values]


def test_by_labels(kinfold, people, queries, rankings, payload):
    outcome = kinfold("evaluate", "all.parquet", *people, *MASK, *LABEL, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    values = outcome.json
    assert (values["items"], values["queries"], values["depth"]) == (ITEMS, QUERIES, ITEMS)
    assert list(values["models"]) == MODELS
    for model, found in values["models"].items():
        scores = score_by_labels(rankings[model], queries.column("person"), payload["person"])
        assert found["mAP"] == scores.mean_average_precision
        assert found["P@1"] == scores.precision_at[1]
        assert found["P@10"] == scores.precision_at[10]
        assert found["R@10"] == scores.recall_at[10]
        assert found["average_precision"] == scores.average_precision.tolist()
        assert found["ms_per_query"] > 0


def test_wins_and_losses(kinfold, people):
    models = kinfold("evaluate", "all.parquet", *people, *MASK, *LABEL, "--json").json["models"]
    plain, other = (np.array(models[model]["average_precision"]) for model in MODELS)
    won, lost = int((other - plain > 0.01).sum()), int((plain - other > 0.01).sum())
    assert (models["default"]["wins"], models["default"]["losses"]) == (won, lost)
    assert (models["knn"]["wins"], models["knn"]["losses"]) == (0, 0)
    assert won > 0
    assert lost > 0

    shown = kinfold("evaluate", "all.parquet", *people, *MASK, *LABEL).out
    same = QUERIES - won - lost
    assert f"default: {won} queries better, {lost} worse, {same} as before" in shown
    gain = other - plain
    for title, order in (("most gained", np.argsort(-gain)), ("most lost", np.argsort(gain))):
        line = next(line for line in shown.splitlines() if title in line)
        best = order[0]
        before, after = (round(100 * values[best]) for values in (plain, other))
        assert re.search(rf"{title}: \[/i\d+\] {before}→{after}(,|$)", line)


def test_the_table(kinfold, people):
    models = kinfold("evaluate", "all.parquet", *people, *MASK, *LABEL, "--json").json["models"]
    outcome = kinfold("evaluate", "all.parquet", *people, *MASK, *LABEL)
    lines = outcome.out.splitlines()
    assert lines[0].split() == ["model", "mAP", "P@1", "P@5", "P@10", "R@10", "ms/query"]
    for model, line in zip(MODELS, lines[1:], strict=False):
        name, *shown = line.split()
        expected = [f"{100 * models[model][figure]:.1f}" for figure in lines[0].split()[1:-1]]
        assert (name, shown[:-1]) == (model, expected)
        assert float(shown[-1]) > 0
    for model in MODELS:
        assert f"✓ {model}" in outcome.err
    assert f"{QUERIES}/{QUERIES}" in outcome.err
    assert "rankings cut" not in outcome.out


def numbered(names):
    return np.array([int(name.split()[1]) for name in names])


def test_by_people_and_cameras(kinfold, people, queries, rankings, payload):
    """The protocol counts people by number; names will do on the command line."""
    options = [*MASK, *LABEL, "--camera", "camera"]
    models = kinfold("evaluate", "all.parquet", *people, *options, "--json").json["models"]
    for model, found in models.items():
        scores = reid(
            rankings[model],
            numbered(queries.column("person")),
            queries.column("camera"),
            numbered(payload["person"]),
            payload["camera"],
        )
        assert found["mAP"] == scores.mean_average_precision
        assert found["mINP"] == scores.mean_inverse_negative_penalty
        assert {rank: found[f"rank-{rank}"] for rank in (1, 5, 10)} == scores.cmc
        assert found["average_precision"] == precisions(scores.average_precision)
    shown = kinfold("evaluate", "all.parquet", *people, *options).out.splitlines()[0].split()
    assert shown == ["model", "mAP", "rank-1", "rank-5", "rank-10", "mINP", "ms/query"]


def test_people_by_number_may_be_distractors(kinfold, here):
    """-1 stands for nobody, as in Market-1501, and stays what it is."""
    table = pq.read_table("all.parquet")
    numbers = numbered(table["person"].to_pylist())
    numbers[: len(numbers) // 2][numbers[: len(numbers) // 2] == 0] = -1
    pq.write_table(table.set_column(2, "person", [numbers]), "numbers.parquet")
    options = ["numbers.parquet", "--data", "d", "--collection", "c", *MASK, "--json"]
    assert kinfold("build", *options).code == 0
    found = kinfold("evaluate", *options, *LABEL, "--camera", "camera").json["models"]["knn"]
    source = read_source("numbers.parquet")
    asked = source.mask("is_query")
    index = library.open(here / "d" / "c")
    scores = reid(
        index.search(source.vectors[asked], ITEMS, "knn").positions.astype(np.int64),
        numbers[asked],
        source.column("camera")[asked],
        numbers[~asked],
        source.column("camera")[~asked],
    )
    assert found["mAP"] == scores.mean_average_precision
    assert (numbers == -1).any()


@pytest.fixture
def truth(tmp_path):
    random = np.random.default_rng(3)
    entries = []
    for _ in range(QUERIES):
        chosen = random.permutation(ITEMS)[:14].tolist()
        entries.append({"easy": chosen[:6], "hard": chosen[6:11], "junk": chosen[11:]})
    entries[5] = {"easy": [], "hard": [], "junk": [3]}
    (tmp_path / "truth.json").write_text(json.dumps({"gnd": entries}))
    return tmp_path / "truth.json", entries


def test_by_ground_truth(kinfold, people, rankings, truth):
    """A query without any answer has no precision: null, which JSON knows."""
    path, entries = truth
    options = [*people, "--ground-truth", path]
    models = kinfold("evaluate", "queries.npy", *options, "--json").json["models"]
    for model, found in models.items():
        for name, scores in revisited(rankings[model], entries).items():
            assert found[f"{name} mAP"] == scores.mean_average_precision
            assert found[f"{name} mP@10"] == scores.precision_at[10]
            if name == "medium":
                assert found["average_precision"] == precisions(scores.average_precision)
        assert found["average_precision"][5] is None
    shown = kinfold("evaluate", "queries.npy", *options).out
    assert "medium mAP" in shown
    assert "nan" not in shown
    assert re.search(r"most gained: row \d+ ", shown)


def test_ground_truth_of_other_queries(kinfold, people, truth):
    path, entries = truth
    path.write_text(json.dumps({"gnd": entries[:-1]}))
    message = kinfold("evaluate", "queries.npy", *people, "--ground-truth", path).error()
    assert message == f"{path}: expected one entry a query, 24, found 23"


def test_ground_truth_that_answers_nothing_is_null_and_not_nan(kinfold, people, truth):
    path, _ = truth
    path.write_text(json.dumps({"gnd": [{"easy": [], "hard": [], "junk": []}] * QUERIES}))
    options = ["evaluate", "queries.npy", *people, "--ground-truth", path]
    outcome = kinfold(*options, "--json")
    assert outcome.code == 0
    assert outcome.json["models"]["default"]["hard mAP"] is None
    assert kinfold(*options, "--plot", path.with_suffix(".png")).code == 0


@pytest.mark.parametrize("protocol", ["labels", "ground truth"])
@pytest.mark.parametrize("ending", [".png", ".PNG", ".svg"])
def test_plots(kinfold, people, truth, tmp_path, protocol, ending):
    path = tmp_path / "new" / f"plot{ending}"
    asked = ["all.parquet", *MASK, *LABEL] if protocol == "labels" else ["queries.npy"]
    given = [] if protocol == "labels" else ["--ground-truth", truth[0]]
    outcome = kinfold("evaluate", *asked, *people, *given, "--plot", path)
    assert outcome.code == 0
    assert outcome.err.endswith(f"plot: {path}\n")
    if ending == ".svg":
        drawn = path.read_text()
        assert drawn.count("<svg") == 1
        assert ("precision@k" in drawn or "<!-- precision" in drawn) == (protocol == "labels")
    else:
        with Image.open(path) as picture:
            picture.load()
            width, height = picture.size
        assert (width > 2 * height) == (protocol == "labels")
        colors = {color for _, color in picture.convert("RGB").getcolors(1 << 20)}
        assert (0x1F, 0x6F, 0xEB) in colors  # the bars of the default model


def test_a_plot_beside_json_says_nothing_more(kinfold, people, tmp_path):
    options = [*MASK, *LABEL, "--plot", tmp_path / "plot.svg", "--json"]
    outcome = kinfold("evaluate", "all.parquet", *people, *options)
    assert outcome.json["queries"] == QUERIES
    assert outcome.err == ""
    assert (tmp_path / "plot.svg").stat().st_size > 1000


def test_large_galleries_are_ranked_in_part_and_it_is_said(kinfold, people, monkeypatch):
    monkeypatch.setattr("cli.measure.FULL_RANKING", ITEMS - 1)
    monkeypatch.setattr("cli.measure.DEPTH", 30)
    options = ["evaluate", "all.parquet", *people, *MASK, *LABEL]
    assert f"rankings cut at 30 of {ITEMS} items" in kinfold(*options).out
    assert kinfold(*options, "--json").json["depth"] == 30
