"""`tune`: choose a configuration, from the gallery alone or by labelled queries."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from kinfold.arrays import AnyArray, Floats, Int64s
from kinfold.config import BuildConfig
from kinfold.errors import InputError
from kinfold.evaluate import revisited, score_by_labels
from kinfold.index.manifest import TuningInfo
from kinfold.metric import Measure
from kinfold.progress import Progress, ProgressCallback, silent
from kinfold.threads import limited_threads
from kinfold.tuning.auto import automatic, too_little
from kinfold.tuning.by_labels import Choice, choose
from kinfold.tuning.candidates import candidates, free_parameters
from kinfold.tuning.report import TuningReport, as_text, difference, tried
from kinfold.tuning.sample import around, read_rows
from kinfold.tuning.trial import Trial, width_of
from kinfold.validate import as_gallery, as_queries

LEAST_QUERIES = 10
MOST_ITEMS = 20_000
"""Larger galleries are looked at around the queries only."""
MOST_QUERIES = 1000
DEPTH = 1000


def tune(
    vectors: AnyArray,
    config: BuildConfig | None = None,
    queries: AnyArray | None = None,
    query_labels: npt.ArrayLike | None = None,
    gallery_labels: npt.ArrayLike | None = None,
    *,
    ground_truth: list[dict[str, Any]] | None = None,
    progress: ProgressCallback | None = None,
    threads: int | None = None,
) -> TuningReport:
    """Choose k_d, rank_scale, alpha and the similarity models, those that were not given.

    Parameters
    ----------
    vectors:
        (n, d), the gallery, as for `build`.
    config:
        What is fixed already; None: nothing. Parameters given explicitly are respected.
    queries:
        (m, d), not in the gallery, with labels or ground truth. None: choose from the gallery
        alone, as a build with ``auto=True`` does.
    query_labels, gallery_labels:
        (m,) and (n,): an item is relevant if it has the query's label.
    ground_truth:
        Instead of labels, what `evaluate.revisited` takes; its medium protocol counts.
    threads:
        None: all cores. The result does not depend on it.

    Returns
    -------
    TuningReport
        With labels the scores are of queries that the choice had not seen.

    Raises
    ------
    InputError
        Too few items or queries, labels that do not fit, or nothing left to choose.
    """
    gallery = as_gallery(vectors)
    base = (config or BuildConfig()).model_copy(update={"auto": False})
    given = (query_labels is not None) + (gallery_labels is not None) + (ground_truth is not None)
    with limited_threads(threads) as count:
        if queries is not None:
            scorer = _Scorer(query_labels, gallery_labels, ground_truth)
            return _by_labels(gallery, base, queries, scorer, progress or silent, count)
        if given:
            raise InputError("tune: expected queries with the labels, found none")
        free_parameters(base)
        reason = too_little(gallery)
        if reason is not None:
            raise InputError(f"tune: {reason}; with labelled queries fewer will do")
        return automatic(gallery, base, count, progress or silent)


def _by_labels(
    gallery: AnyArray,
    base: BuildConfig,
    queries: AnyArray,
    scorer: _Scorer,
    progress: ProgressCallback,
    threads: int,
) -> TuningReport:
    start = time.perf_counter()
    free = free_parameters(base)
    metric = Measure(base.metric)
    asked = as_queries(queries, gallery.shape[1], metric.normalises)
    scorer.check(len(asked), gallery.shape[0])
    rows = _items(gallery, metric, asked)
    configs = candidates(base, rows.size)
    if base.k_d >= rows.size:
        raise InputError(
            f"tune: k_d = {base.k_d} needs at least {base.k_d + 1} items, found {rows.size}"
        )
    trial = Trial(
        read_rows(gallery, metric, rows), asked, base.metric, width_of(configs, rows.size), threads
    )
    precisions = np.empty((len(configs), len(asked)))
    for place, config in enumerate(configs):
        found = rows[trial.rankings(config, DEPTH if rows.size > MOST_ITEMS else rows.size)]
        precisions[place] = scorer(found)
        progress(Progress("tuning", place + 1, len(configs), "settings"))
    answered = np.isfinite(precisions).all(axis=0)
    if answered.sum() < LEAST_QUERIES:
        raise InputError(
            f"tune: expected at least {LEAST_QUERIES} queries with a relevant item in the gallery, "
            f"found {int(answered.sum())} of {len(asked)}"
        )
    choice = choose(precisions[:, answered])
    changed = difference(configs[0], configs[choice.best], free)
    return TuningReport(
        configs[choice.best],
        TuningInfo(
            by="labels",
            reason=_reason(choice, changed),
            changed=changed,
            items=rows.size,
            queries=int(answered.sum()),
            seconds=round(time.perf_counter() - start, 3),
            tried=tried(configs, free, precisions[:, answered].mean(axis=1), choice.leads),
        ),
        default_score=choice.default,
        cross_validated=choice.cross_validated if choice.best else choice.default,
    )


def _items(gallery: AnyArray, metric: Measure, queries: AnyArray) -> Int64s:
    """All items, or those around the queries."""
    count = gallery.shape[0]
    if count <= MOST_ITEMS:
        return np.arange(count)
    found = around(gallery, metric, queries, max(100, 2 * MOST_ITEMS // len(queries)))
    # The nearest of every query first, then the second nearest, until there are enough.
    order = np.unique(found.T.ravel(), return_index=True)
    return np.sort(order[0][np.argsort(order[1], kind="stable")][:MOST_ITEMS])


class _Scorer:
    """Average precision of every query, by labels or by ground truth."""

    def __init__(
        self,
        query_labels: npt.ArrayLike | None,
        gallery_labels: npt.ArrayLike | None,
        ground_truth: list[dict[str, Any]] | None,
    ) -> None:
        if ground_truth is not None:
            if query_labels is not None or gallery_labels is not None:
                raise InputError("tune: expected labels or a ground truth, found both")
        elif query_labels is None or gallery_labels is None:
            raise InputError(
                "tune: expected labels of queries and gallery, or a ground truth, found neither "
                "in full"
            )
        self._ground_truth = ground_truth
        self._query_labels = np.asarray([] if query_labels is None else query_labels)
        self._gallery_labels = np.asarray([] if gallery_labels is None else gallery_labels)

    def check(self, queries: int, items: int) -> None:
        """Refuse what does not fit before anything is computed."""
        if not LEAST_QUERIES <= queries <= MOST_QUERIES:
            raise InputError(
                f"tune: expected {LEAST_QUERIES} to {MOST_QUERIES} queries, found {queries}"
            )
        if self._ground_truth is not None:
            found = {"ground_truth": (len(self._ground_truth), queries, "queries")}
        else:
            found = {
                "query_labels": (len(self._query_labels), queries, "queries"),
                "gallery_labels": (len(self._gallery_labels), items, "items"),
            }
        for name, (count, expected, what) in found.items():
            if count != expected:
                raise InputError(
                    f"{name}: expected one for each of {expected} {what}, found {count}"
                )

    def __call__(self, rankings: Int64s) -> Floats:
        if self._ground_truth is not None:
            return revisited(rankings, self._ground_truth)["medium"].average_precision
        labels = self._query_labels, self._gallery_labels
        return score_by_labels(rankings, *labels).average_precision


def _reason(choice: Choice, changed: dict[str, Any]) -> str:
    if choice.best:
        return (
            f"chose {as_text(changed)}: on queries that the choice had not seen, mAP "
            f"{100 * choice.cross_validated:.1f} instead of {100 * choice.default:.1f}"
        )
    return (
        "kept the defaults: no other setting gained more than chance would explain on queries "
        f"that the choice had not seen (mAP {100 * choice.default:.1f})"
    )
