"""A trial in memory ranks as an index would."""

from __future__ import annotations

import numpy as np
import pytest

import kinfold
from kinfold import BuildConfig
from kinfold.arrays import Int64s
from kinfold.evaluate import score_by_labels
from kinfold.metric import Measure
from kinfold.tuning.candidates import candidates
from kinfold.tuning.sample import (
    HIDDEN_SHARE,
    INNER,
    MOST_ITEMS,
    around,
    closeness_of,
    draw,
    read_rows,
)
from kinfold.tuning.trial import Trial, width_of

from .support import clusters

SETTINGS = [
    {},
    {"similarity": ["cosine"], "k_d": 8, "alpha": 0.9},
    {"metric": "l2"},
    {"metric": "inner_product", "seeds": "reciprocal"},
    {"truncation": "nearest", "max_row": 40, "unit_diagonal": False},
    {"seeds": "plain", "k_q": 3, "similarity": ["lhrr"], "rank_scale": 0},
]


def ranked(config: BuildConfig) -> Int64s:
    gallery = clusters()
    rows = np.arange(len(gallery.vectors))
    vectors = read_rows(gallery.vectors, Measure(config.metric), rows)
    asked = read_rows(gallery.queries, Measure(config.metric), np.arange(len(gallery.queries)))
    trial = Trial(vectors, asked, config.metric, width_of([config], rows.size), threads=2)
    return trial.rankings(config, rows.size)


@pytest.mark.parametrize("values", SETTINGS, ids=str)
def test_rankings_are_those_of_an_index(values, tmp_path):
    # Of sixteen bits: what eight are worth is another question.
    config, gallery = BuildConfig.checked({"dtype": "float16"} | values), clusters()
    index = kinfold.build(gallery.vectors, tmp_path, config=config)
    expected = index.search(gallery.queries, len(index)).positions.astype(np.int64)
    found = ranked(config)
    assert (np.sort(found, axis=1) == np.arange(len(index))).all()
    # Coarser solutions and no rounding to float16: neighbours in a ranking may change places.
    assert (
        np.mean([np.isin(a[:10], b[:10]).mean() for a, b in zip(found, expected, strict=True)])
        > 0.99
    )
    scores = [
        score_by_labels(ranking, gallery.query_labels, gallery.labels).mean_average_precision
        for ranking in (found, expected)
    ]
    assert scores[0] == pytest.approx(scores[1], abs=0.002)


def test_a_trial_shares_what_settings_share():
    gallery = clusters()
    configs = candidates(BuildConfig(similarity=["cosine"]), len(gallery.vectors))
    vectors = read_rows(gallery.vectors, Measure("cosine"), np.arange(len(gallery.vectors)))
    trial = Trial(vectors, vectors[:5], "cosine", width_of(configs, len(vectors)), threads=1)
    alone = [
        Trial(vectors, vectors[:5], "cosine", width_of(configs, len(vectors)), 1).rankings(one, 30)
        for one in configs
    ]
    for config, expected in zip(configs, alone, strict=True):
        np.testing.assert_array_equal(trial.rankings(config, 30), expected)


def test_a_small_gallery_is_looked_at_whole():
    vectors = clusters().vectors
    sample = draw(vectors, Measure("cosine"))
    np.testing.assert_array_equal(sample.rows, np.arange(len(vectors)))
    assert sample.hidden.sum() == int(HIDDEN_SHARE * len(vectors))


@pytest.mark.parametrize("metric", ["cosine", "l2", "inner_product"])
def test_a_large_gallery_is_looked_at_in_whole_regions(metric):
    random = np.random.default_rng(0)
    vectors = random.normal(size=(MOST_ITEMS + 2000, 6)).astype("f4")
    measure = Measure(metric)
    sample = draw(vectors, measure)
    assert sample.rows.size <= MOST_ITEMS
    assert (np.diff(sample.rows) > 0).all()
    every = read_rows(vectors, measure, np.arange(len(vectors)))
    hidden = sample.rows[sample.hidden]
    assert 100 <= hidden.size <= 200
    inside = around(vectors, measure, every[hidden], INNER)
    assert np.isin(inside, sample.rows).mean() > (0.5 if metric == "cosine" else 0.3)
    assert np.isin(inside, sample.rows).mean() > 2 * sample.rows.size / len(vectors) - 1


@pytest.mark.parametrize("metric", ["cosine", "l2", "inner_product"])
def test_around_is_a_search(metric, monkeypatch):
    vectors, measure = clusters().vectors, Measure(metric)
    every = read_rows(vectors, measure, np.arange(len(vectors)))
    expected = np.argsort(-closeness_of(every[:7], every, measure), axis=1, kind="stable")[:, :12]
    np.testing.assert_array_equal(around(vectors, measure, every[:7], 12), expected)
    monkeypatch.setattr("kinfold.validate._CHUNK_VALUES", 300)
    np.testing.assert_array_equal(around(vectors, measure, every[:7], 12), expected)


def test_a_bad_row_is_named():
    vectors = clusters().vectors
    vectors[77, 3] = np.nan
    with pytest.raises(kinfold.InputError, match="row 77, column 3"):
        read_rows(vectors, Measure("l2"), np.array([5, 77]))
