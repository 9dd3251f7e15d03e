"""`kinfold tune`, and `auto` as the command line shows it."""

from __future__ import annotations

import numpy as np
import pytest

from kinfold import BuildConfig

QUICK = ["--set", 'similarity=["cosine"]', "--set", "alpha=0.9"]
ASKED = ["--label", "person", "--query-mask", "is_query"]


@pytest.fixture
def large(here):
    """Enough items to be judged without labels."""
    random = np.random.default_rng(0)
    points = random.normal(size=(30, 12))[np.arange(240) % 30] + 0.4 * random.normal(size=(240, 12))
    np.save(here / "large.npy", points.astype("f4"))
    return here


def test_by_labels(kinfold, here):
    outcome = kinfold("tune", "all.parquet", *ASKED, *QUICK, "--output", "best.toml")
    assert outcome.code == 0, outcome.err
    assert "default" in outcome.out
    assert "mAP on unseen queries" in outcome.out
    assert "120 items, 24 queries" in outcome.out
    chosen = BuildConfig.from_file(here / "best.toml")
    assert chosen.alpha == 0.9
    collection = ["--data", "data", "--collection", "best"]
    assert kinfold("build", "all.parquet", *collection, "--config", "best.toml").code == 0


def test_by_labels_in_another_file(kinfold, here):
    values = kinfold(
        "tune", "all.parquet", "--queries", "all.parquet", *ASKED, *QUICK, "--json"
    ).json
    # The queries are in the gallery here, which is their file's business.
    assert (values["items"], values["queries"]) == (144, 24)
    assert values["by"] == "labels"
    assert values["cross_validated"] >= values["default_score"]
    assert values["config"]["similarity"] == [{"name": "cosine", "parameters": {}}]
    assert len(values["tried"]) == 3


def test_without_labels(kinfold, large):
    outcome = kinfold("tune", "large.npy", *QUICK)
    assert outcome.code == 0, outcome.err
    assert "192 items, 48 queries" in outcome.out
    assert "the defaults" in outcome.out
    assert "mAP on unseen queries" not in outcome.out


def test_a_build_says_why(kinfold, large):
    collection = ["--data", "data", "--collection", "auto"]
    values = kinfold("build", "large.npy", *collection, *QUICK, "--set", "auto=true", "--json").json
    reason = values["models"]["default"]["tuning"]["reason"]
    shown = kinfold("info", *collection).out
    assert reason in shown
    assert "auto" in shown
    assert values["models"]["default"]["config"]["alpha"] == 0.9


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["all.parquet"], "at least 200 items"),
        (["all.parquet", "--label", "person"], "--queries FILE or --query-mask COLUMN"),
        (["all.parquet", "--queries", "all.parquet"], "--label COLUMN or --ground-truth FILE"),
        (["all.parquet", "--label", "nobody", "--query-mask", "is_query"], "nobody"),
        (["all.parquet", *ASKED, *QUICK, "--set", "k_d=9", "--set", "rank_scale=2"], "nothing is"),
        (["all.parquet", *ASKED, *QUICK, "--output", "no/where.toml"], "cannot be written"),
        (["none.parquet", *ASKED], "none.parquet"),
        (["all.parquet", *ASKED, "--set", "auto=maybe"], "auto"),
    ],
    ids=["few", "no queries", "no label", "no column", "all given", "output", "file", "value"],
)
def test_refusals(kinfold, here, arguments, says):
    assert says in kinfold("tune", *arguments).error()
