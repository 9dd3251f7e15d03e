"""`tune`: by labelled queries, without an optimistic number."""

from __future__ import annotations

import numpy as np
import pytest

from kinfold import BuildConfig, InputError
from kinfold.tuning import tune
from kinfold.tuning.by_labels import choose

from .support import clusters

GALLERY = clusters()
GIVEN = {
    "queries": GALLERY.queries,
    "query_labels": GALLERY.query_labels,
    "gallery_labels": GALLERY.labels,
}
QUICK = BuildConfig(similarity=["cosine"], alpha=0.9)


def truth(queries: int = 60) -> list[dict[str, list[int]]]:
    return [
        {"easy": np.flatnonzero(GALLERY.labels == label).tolist(), "hard": [], "junk": []}
        for label in GALLERY.query_labels[:queries]
    ]


def test_by_labels():
    report = tune(GALLERY.vectors, **GIVEN)
    assert report.info.by == "labels"
    assert (report.info.items, report.info.queries) == (300, 60)
    assert len(report.info.tried) == 36
    assert report.info.tried[0].lead == 0
    assert report.default_score == pytest.approx(report.info.tried[0].score, abs=1e-5)
    assert report.cross_validated >= report.default_score
    assert not report.config.auto
    best = max(report.info.tried, key=lambda one: one.score)
    assert report.cross_validated <= best.score + 1e-5
    assert report.changed == (report.config != BuildConfig())
    again = tune(GALLERY.vectors, **GIVEN, threads=1)
    assert again.config == report.config
    assert again.info.tried == report.info.tried


def test_ground_truth_is_labels_in_other_words():
    labels = tune(GALLERY.vectors, QUICK, **GIVEN)
    lists = tune(GALLERY.vectors, QUICK, GALLERY.queries, ground_truth=truth())
    assert lists.config == labels.config
    # Its average precision is the area under trapezoids.
    assert lists.default_score == pytest.approx(labels.default_score, abs=0.02)


def test_without_labels_as_a_build_does():
    report = tune(GALLERY.vectors, QUICK)
    assert report.info.by == "gallery"
    assert report.default_score is report.cross_validated is None
    assert report.config.similarity == QUICK.similarity
    assert report.config.alpha == 0.9
    assert BuildConfig.from_toml(report.config.to_toml()) == report.config


def test_a_large_gallery_is_looked_at_around_the_queries(monkeypatch):
    monkeypatch.setattr("kinfold.tuning.run.MOST_ITEMS", 150)
    report = tune(GALLERY.vectors, QUICK, **GIVEN)
    assert report.info.items == 150


def test_queries_without_an_answer_do_not_count():
    names = np.where(GALLERY.query_labels < 15, GALLERY.query_labels, 99)
    report = tune(GALLERY.vectors, QUICK, **GIVEN | {"query_labels": names})
    assert report.info.queries == 45


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"queries": None}, "expected queries with the labels"),
        ({"query_labels": None}, "labels of queries and gallery"),
        ({"gallery_labels": None}, "labels of queries and gallery"),
        ({"ground_truth": truth()}, "labels or a ground truth, found both"),
        ({"query_labels": GALLERY.query_labels[:-1]}, "query_labels: expected one for each of 60"),
        ({"gallery_labels": GALLERY.labels[:-1]}, "gallery_labels: expected one for each of 300"),
        ({"queries": GALLERY.queries[:9]}, "expected 10 to 1000 queries, found 9"),
        ({"queries": GALLERY.queries[:, :-1]}, "dimension"),
        ({"query_labels": GALLERY.query_labels + 17}, "at least 10 queries with a relevant item"),
        ({"query_labels": GALLERY.query_labels.astype(str)}, "labels of one type"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_refusals(changes, says):
    with pytest.raises(InputError, match=says):
        tune(GALLERY.vectors, QUICK, **GIVEN | changes)


def test_refusals_of_ground_truth_and_galleries():
    with pytest.raises(InputError, match="ground_truth: expected one for each of 60 queries"):
        tune(GALLERY.vectors, QUICK, GALLERY.queries, ground_truth=truth(59))
    with pytest.raises(InputError, match=r"at least 200 items.*with labelled queries"):
        tune(GALLERY.vectors[:100], QUICK)
    with pytest.raises(InputError, match="k_d = 300 needs at least 301 items"):
        tune(GALLERY.vectors, BuildConfig(k_d=300), **GIVEN)
    fixed = BuildConfig(similarity=["cosine"], alpha=0.9, k_d=10, rank_scale=2)
    with pytest.raises(InputError, match="nothing is left to be chosen"):
        tune(GALLERY.vectors, fixed, **GIVEN)


def test_a_clear_gain_is_taken():
    random = np.random.default_rng(0)
    default = random.uniform(0.3, 0.9, 100)
    choice = choose(
        np.array([default, default + 0.05 + 0.02 * random.normal(size=100), default - 0.1])
    )
    assert choice.best == 1
    assert choice.cross_validated == pytest.approx(choice.default + 0.05, abs=0.01)


def test_chance_is_not_taken_for_a_gain():
    """Of many settings that are as good as the default, some look better."""
    random = np.random.default_rng(1)
    default = random.uniform(0.3, 0.9, 60)
    taken, told, best = 0, [], []
    for _ in range(40):
        noise = 0.1 * random.normal(size=(30, 60))
        precisions = np.vstack([default, default + noise])
        choice = choose(precisions)
        taken += choice.best > 0
        told.append(choice.cross_validated - choice.default)
        best.append(choice.leads.max())
    assert np.mean(best) > 0.02
    assert abs(np.mean(told)) < 0.005
    assert taken < 25
