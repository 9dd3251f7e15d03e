"""`auto` in a build: what it chooses, what it leaves alone, and what it writes down."""

from __future__ import annotations

import numpy as np
import pytest

import kinfold
from benchmarks.quality import digits, quality
from kinfold import BuildConfig, InputError
from kinfold.index import open_stored
from kinfold.index.manifest import ModelInfo
from kinfold.tuning.by_gallery import Verdict
from kinfold.tuning.candidates import ALPHAS, RANK_SCALES, SIMILARITIES, TUNED, candidates

from .support import clusters

QUICK = {"similarity": ["cosine"], "alpha": 0.9}
"""Leaves rank_scale and k_d to be chosen: three settings."""


def built(folder, vectors=None, **values) -> ModelInfo:
    index = kinfold.build(
        clusters().vectors if vectors is None else vectors,
        folder,
        config=BuildConfig.checked({"auto": True, **values}),
    )
    return index.manifest.models["default"]


def force(monkeypatch, place: int) -> None:
    """Make `auto` choose the setting at a place in the order they are tried."""

    def judge(vectors, hidden, configs, *_):
        scores = np.linspace(0.5, 0.6, len(configs))
        return Verdict(scores, scores - scores[0], place)

    monkeypatch.setattr("kinfold.tuning.auto.judge", judge)


def test_the_grid():
    configs = candidates(BuildConfig(), 1000)
    assert configs[0] == BuildConfig()
    assert len(configs) == len(SIMILARITIES) * len(RANK_SCALES) * len(ALPHAS)
    assert all(config.k_d == 5 * config.rank_scale for config in configs)


@pytest.mark.parametrize(
    ("given", "count"),
    [
        ({"alpha": 0.5}, 12),
        ({"similarity": ["rdp"]}, 9),
        ({"k_d": 7}, 36),
        ({"rank_scale": 0}, 12),
        ({"rank_scale": 0, "alpha": 0.5, "similarity": ["cosine"]}, 1),
    ],
    ids=str,
)
def test_what_is_given_stays(given, count):
    base = BuildConfig.checked(given)
    configs = candidates(base, 1000)
    assert configs[0] is base
    assert len(configs) - count in (0, 1)
    for config in configs:
        for name in given:
            assert getattr(config, name) == getattr(base, name)


def test_settings_that_cannot_be_are_left_out():
    assert {config.k_d for config in candidates(BuildConfig(min_degree=12), 1000)} == {15, 20}
    assert {config.k_d for config in candidates(BuildConfig(k_m=17), 1000)} == {10, 15}
    assert {config.k_d for config in candidates(BuildConfig(), 18)} == {10, 15}


def test_the_choice_and_its_reason_are_in_the_manifest(tmp_path, monkeypatch):
    force(monkeypatch, 5)
    info = built(tmp_path)
    chosen = candidates(BuildConfig(), 300)[5]
    assert info.config == chosen.model_copy(update={"auto": True})
    assert info.tuning is not None
    assert info.tuning.by == "gallery"
    # The first is the default, then come the combinations of the grid.
    assert (chosen.rank_scale, chosen.alpha) == (3, 0.98)
    assert info.tuning.changed == {"similarity": ["cosine"]}
    assert info.tuning.reason.startswith("chose similarity cosine: ahead of the defaults")
    assert len(info.tuning.tried) == 36
    assert set(info.tuning.tried[0].parameters) == set(TUNED)
    assert (info.tuning.items, info.tuning.queries) == (240, 60)
    assert open_stored(tmp_path).manifest.models["default"] == info
    kinfold.take_model(tmp_path, "again", tmp_path, "default")
    assert open_stored(tmp_path).manifest.models["again"].tuning == info.tuning


def test_the_same_gallery_gets_the_same_choice(tmp_path):
    first, second = (built(tmp_path / name, **QUICK).tuning for name in "ab")
    assert first.model_copy(update={"seconds": 0}) == second.model_copy(update={"seconds": 0})
    assert len(first.tried) == 3
    assert "groups" in first.reason or "group the items" in first.reason


@pytest.mark.parametrize("metric", ["l2", "inner_product"])
def test_other_metrics(tmp_path, metric):
    info = built(tmp_path, metric=metric, **QUICK)
    assert info.config.metric == metric
    assert info.tuning.items == 240
    assert all(0 < one.score < 1 for one in info.tuning.tried)


@pytest.mark.parametrize(
    ("vectors", "values", "says"),
    [
        (clusters().vectors[:150], {}, "at least 200 items"),
        (clusters().vectors[:9], {}, "at least 200 items"),
        (clusters().vectors[:, :5], {}, "at least 8 dimensions"),
        (None, {"k_d": 260}, "no other setting fits"),
        (None, {"rank_scale": 3, "alpha": 0.98, "similarity": ["mean"]}, "no other setting fits"),
    ],
    ids=["few", "tiny", "flat", "k_d", "one"],
)
def test_where_nothing_can_be_told_the_defaults_stay(tmp_path, vectors, values, says):
    info = built(tmp_path, vectors, **values)
    assert says in info.tuning.reason
    assert info.tuning.reason.startswith("kept the defaults")
    assert info.tuning.tried == []
    assert info.config.alpha == 0.98


def test_nothing_left_to_choose_is_refused_before_anything_is_done(tmp_path):
    values = {"similarity": ["cosine"], "rank_scale": 2, "k_d": 10, "alpha": 0.9}
    with pytest.raises(InputError, match="nothing is left to be chosen"):
        built(tmp_path / "index", **values)
    assert not (tmp_path / "index").exists()


def test_a_bad_vector_is_named(tmp_path):
    vectors = clusters().vectors
    vectors[123, 4] = np.inf
    with pytest.raises(InputError, match="row 123, column 4"):
        built(tmp_path, vectors)


def test_every_model_chooses_for_itself(tmp_path, monkeypatch):
    force(monkeypatch, 1)
    models = {"plain": BuildConfig(), "own": BuildConfig(auto=True, similarity=["cosine"])}
    kinfold.build(clusters().vectors, tmp_path, models=models)
    kinfold.add_model(tmp_path, "later", BuildConfig(auto=True, k_d=12))
    found = kinfold.open(tmp_path).manifest.models
    assert found["plain"].tuning is None
    assert found["own"].tuning.changed == {"rank_scale": 2.0, "k_d": 10, "alpha": 0.9}
    assert found["later"].config.k_d == 12
    assert found["later"].tuning.changed == {
        "similarity": ["cosine"],
        "rank_scale": 2.0,
        "alpha": 0.9,
    }


def test_progress_is_told(tmp_path):
    events = []
    kinfold.build(
        clusters().vectors,
        tmp_path,
        config=BuildConfig(auto=True, **QUICK),
        progress=events.append,
    )
    tuning = [event for event in events if event.phase == "tuning"]
    assert [event.done for event in tuning] == list(range(1, tuning[0].total + 1))


def test_digits_do_not_lose(tmp_path):
    gallery = digits()
    chosen = built(tmp_path, gallery.vectors, similarity=["mean"]).config
    values = chosen.model_dump(include=set(TUNED))
    assert quality(gallery, values, None)[0] > quality(gallery, {}, None)[0] - 0.01
