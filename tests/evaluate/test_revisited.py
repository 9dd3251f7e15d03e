from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinfold.errors import InputError
from kinfold.evaluate import load_ground_truth, revisited

from .cases import Case, cases, cut

PROTOCOLS = {"easy": ("e", "hj"), "medium": ("eh", "j"), "hard": ("h", "ej")}
KINDS = ("easy", "hard", "junk", "other")
KS = (1, 3, 10)


def ground_truth_of(case: Case) -> list[dict[str, list[int]]]:
    """Share the gallery out, differently for each query."""
    truth: list[dict[str, list[int]]] = []
    for shift in case.query_labels:
        entry: dict[str, list[int]] = {kind: [] for kind in KINDS}
        for item, label in enumerate(case.gallery_labels):
            entry[KINDS[(label + shift) % 4]].append(item)
        truth.append(entry)
    return truth


def slow_protocol(case: Case, truth: list[dict[str, list[int]]], name: str):
    """Delete the junk, walk the curve, count: one query at a time."""
    positive_keys, junk_keys = PROTOCOLS[name]
    scores: list[float] = []
    precisions: dict[int, list[float]] = {k: [] for k in KS}
    for query, entry in enumerate(truth):
        positives = [i for key in KINDS if key[0] in positive_keys for i in entry[key]]
        junk = [i for key in KINDS if key[0] in junk_keys for i in entry[key]]
        if not positives:
            scores.append(math.nan)
            continue
        kept = [item for item in case.row(query) if item not in junk]
        area, found, last_precision, last_rank = 0.0, 0, 1.0, math.inf
        for rank, item in enumerate(kept, start=1):
            hit = item in positives
            found += hit
            if hit:
                area += (last_precision + found / rank) / 2 / len(positives)
            last_precision = found / rank
            if found == len(positives):
                last_rank = min(last_rank, rank)
        scores.append(area)
        for k in KS:
            depth = min(k, last_rank)
            in_reach = [item for item in kept[: int(depth)] if item in positives]
            precisions[k].append(len(in_reach) / depth)
    return scores, precisions


@given(cases())
def test_equals_counting(case: Case):
    truth = ground_truth_of(case)
    for name, scores in revisited(case.rankings, truth, KS).items():
        expected, precisions = slow_protocol(case, truth, name)
        np.testing.assert_allclose(scores.average_precision, expected, rtol=0, atol=1e-12)
        scored = [value for value in expected if not math.isnan(value)]
        assert scores.queries == len(scored)
        mean = sum(scored) / len(scored) if scored else math.nan
        assert scores.mean_average_precision == pytest.approx(mean, nan_ok=True)
        for k in KS:
            mean = sum(precisions[k]) / len(scored) if scored else math.nan
            assert scores.precision_at[k] == pytest.approx(mean, nan_ok=True)


@given(cases(truncated=False), st.integers(1, 14))
def test_a_truncated_ranking_never_scores_more(case: Case, width):
    truth = ground_truth_of(case)
    full = revisited(case.rankings, truth, KS)
    short = revisited(cut(case.rankings, width), truth, KS)
    for name, scores in full.items():
        if scores.queries:
            assert short[name].mean_average_precision <= scores.mean_average_precision + 1e-12
            for k in KS:
                assert short[name].precision_at[k] <= scores.precision_at[k] + 1e-12


@pytest.mark.parametrize("dataset", ["roxford5k", "rparis6k"])
@pytest.mark.parametrize("level", ["noise", "fair", "good"])
def test_reproduces_the_published_evaluation(shared_data, dataset, level):
    reference = json.loads((shared_data / "revisitop_reference.json").read_text())
    expected = reference["expected_by_the_published_evaluation"][dataset][level]
    file = shared_data / f"gnd_{dataset}.json"
    truth = load_ground_truth(file)
    gallery_size = len(json.loads(file.read_text())["imlist"])
    similarities = np.random.default_rng(7).standard_normal((70, gallery_size))
    for row, entry in zip(similarities, truth, strict=True):
        for key, share in (("easy", 1.0), ("hard", 0.6), ("junk", 0.5)):
            row[entry[key]] += share * expected["signal"]
    results = revisited(np.argsort(-similarities, axis=1, kind="stable"), truth)
    for name, scores in results.items():
        assert round(100 * scores.mean_average_precision, 4) == expected[name]["mAP"]
        found = [round(100 * scores.precision_at[k], 4) for k in (1, 5, 10)]
        assert found == expected[name]["mP@1,5,10"]


def test_by_hand():
    truth = [{"easy": [4, 0], "hard": [1], "junk": [2]}]
    results = revisited([[4, 2, 1, 0, 3]], truth)
    assert results["easy"].mean_average_precision == 1
    assert results["easy"].precision_at == {1: 1.0, 5: 1.0, 10: 1.0}
    assert results["medium"].mean_average_precision == 1
    assert results["hard"].average_precision.tolist() == [1.0]
    late = revisited([[4, 2, 3, 0, 1]], truth)
    assert late["easy"].mean_average_precision == pytest.approx(0.7917, abs=5e-5)
    assert late["easy"].precision_at == {1: 1.0, 5: 2 / 3, 10: 2 / 3}


def test_a_truncated_ranking_does_not_pretend_that_its_last_hit_was_the_last():
    truth = [{"easy": [0, 9], "hard": [], "junk": []}]
    scores = revisited([[0, 1, 2, 3, 4, 5, 6, 7, 8, 10]], truth)["easy"]
    assert scores.precision_at == {1: 1.0, 5: 0.2, 10: 0.1}


def test_queries_without_positives_are_left_out():
    truth = [
        {"easy": [], "hard": [1], "junk": []},
        {"easy": [0], "hard": [], "junk": []},
    ]
    results = revisited([[0, 1], [0, 1]], truth)
    np.testing.assert_array_equal(results["easy"].average_precision, [np.nan, 1])
    assert [results[name].queries for name in ("easy", "medium", "hard")] == [1, 2, 1]
    nothing = revisited([[0, 1]], truth[1:])["hard"]
    assert nothing.queries == 0
    assert math.isnan(nothing.mean_average_precision)
    assert math.isnan(nothing.precision_at[1])


EMPTY = {"easy": [], "hard": [], "junk": []}


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        ([], "one entry for each of the 1 rows of rankings, found 0"),
        ([EMPTY, EMPTY], "one entry for each of the 1 rows of rankings, found 2"),
        ([[0]], r"ground_truth\[0\]: expected a mapping .* found list"),
        ([{"easy": []}], r"ground_truth\[0\]: expected the keys .* found no hard, junk"),
        ([EMPTY | {"hard": [3, 3]}], r"ground_truth\[0\]\['hard'\]: .* found 3 more than once"),
        ([EMPTY | {"hard": [-3]}], r"\['hard'\]: expected positions from 0, found -3"),
        ([EMPTY | {"junk": "no"}], r"\['junk'\]: expected a list of gallery positions"),
        ([EMPTY | {"easy": [1], "junk": [1]}], r"\['easy'\] and \['junk'\]: .* found 1"),
    ],
)
def test_what_is_refused(truth, message):
    with pytest.raises(InputError, match=message):
        revisited([[0, 1, 2]], truth)


@pytest.mark.parametrize(
    ("rankings", "ks", "message"),
    [
        ([[0, 0]], (1,), "found 0 for query 0 at ranks 1 and 2"),
        ([0, 1], (1,), r"found shape \(2,\)"),
        ([[0, 1]], (0,), "ks: expected integers from 1"),
    ],
)
def test_rankings_that_are_refused(rankings, ks, message):
    with pytest.raises(InputError, match=message):
        revisited(rankings, [EMPTY], ks)
