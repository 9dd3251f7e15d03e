"""Measuring a collection's models on queries: rankings, scores, milliseconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kinfold.arrays import AnyArray, Float32s, Floats, Int64s
from kinfold.errors import InputError
from kinfold.evaluate import (
    LabelScores,
    ProtocolScores,
    ReidScores,
    reid,
    revisited,
    score_by_labels,
)
from kinfold.progress import Progress, ProgressCallback
from kinfold.search import Index
from kinfold.search.fusion import Fusion

FULL_RANKING = 20_000
"""Galleries up to this size are ranked whole."""
DEPTH = 1000
"""How deep larger ones are ranked."""
TIMED_QUERIES = 200
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Measured:
    """One model on all queries.

    Attributes
    ----------
    model:
        Its name; ``knn`` is plain neighbours.
    figures:
        Name of a figure to its value: mAP, P@k, …, as the table shows them.
    average_precision:
        (m,) AP of every query under the first protocol; NaN where a query has no relevant item.
    milliseconds:
        Median time of one query alone, k = 10.
    precision_curve:
        (10,) mean precision at 1 to 10, where the protocol has one.
    """

    model: str
    figures: dict[str, float]
    average_precision: Floats
    milliseconds: float
    precision_curve: Floats | None = None


Scorer = Callable[[Int64s], tuple[dict[str, float], Floats, Floats | None]]


def depth_of(index: Index) -> int:
    """How deep rankings go in this gallery."""
    return len(index) if len(index) <= FULL_RANKING else DEPTH


def check_queries(index: Index, queries: AnyArray, name: str) -> None:
    """Refuse queries that cannot be searched, all at once: by file, and by row in the file."""
    if queries.shape[0] == 0:
        raise InputError(f"{name}: expected at least one query, found none")
    try:
        index.checked(queries)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def measure(
    index: Index,
    queries: AnyArray,
    scorer: Scorer,
    progress: ProgressCallback,
    fused: Sequence[str] = (),
    fusion: Fusion | None = None,
) -> list[Measured]:
    """Every model of the index, plain kNN first; then what `fused` models give together."""
    results = []
    asked: list[str | Sequence[str]] = ["knn", *(name for name in index.models if name != "knn")]
    for model in [*asked, fused] if fused else asked:
        rankings = rank(index, queries, model, depth_of(index), progress, fusion)
        figures, precisions, curve = scorer(rankings)
        median = milliseconds(index, queries, model, fusion)
        results.append(Measured(_label(model), figures, precisions, median, curve))
    return results


def _label(model: str | Sequence[str]) -> str:
    return model if isinstance(model, str) else ",".join(model)


def rank(
    index: Index,
    queries: AnyArray,
    model: str | Sequence[str],
    depth: int,
    progress: ProgressCallback,
    fusion: Fusion | None = None,
) -> Int64s:
    """(m, depth) gallery positions, best first."""
    rankings = np.empty((queries.shape[0], depth), dtype=np.int64)
    for start in range(0, queries.shape[0], _BATCH):
        end = min(start + _BATCH, queries.shape[0])
        hits = index.search(queries[start:end], depth, model, fusion=fusion)
        rankings[start:end] = hits.positions
        progress(Progress(_label(model), end, queries.shape[0], "queries"))
    return rankings


def milliseconds(
    index: Index, queries: AnyArray, model: str | Sequence[str], fusion: Fusion | None = None
) -> float:
    """Median wall time of single queries, k = 10, after one that is not counted."""
    k = min(10, len(index))
    singles: Float32s = np.asarray(queries[:TIMED_QUERIES], dtype=np.float32)
    index.search(singles[0], k, model, fusion=fusion)
    times = []
    for query in singles:
        start = time.perf_counter()
        index.search(query, k, model, fusion=fusion)
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times))


def by_labels(query_labels: AnyArray, gallery_labels: AnyArray) -> Scorer:
    """Relevant is what has the query's label."""

    def score(rankings: Int64s) -> tuple[dict[str, float], Floats, Floats | None]:
        scores: LabelScores = score_by_labels(rankings, query_labels, gallery_labels)
        figures = {"mAP": scores.mean_average_precision}
        figures |= {f"P@{k}": value for k, value in scores.precision_at.items()}
        figures |= {f"R@{k}": value for k, value in scores.recall_at.items() if k == 10}
        curve = scores.precision_curve(min(10, rankings.shape[1]))
        return figures, scores.average_precision, curve

    return score


def by_ground_truth(ground_truth: list[dict[str, Any]]) -> Scorer:
    """The ROxford and RParis protocol: easy, medium and hard."""

    def score(rankings: Int64s) -> tuple[dict[str, float], Floats, Floats | None]:
        figures: dict[str, float] = {}
        protocols: dict[str, ProtocolScores] = revisited(rankings, ground_truth)
        for name, scores in protocols.items():
            figures[f"{name} mAP"] = scores.mean_average_precision
            figures[f"{name} mP@10"] = scores.precision_at[10]
        return figures, protocols["medium"].average_precision, None

    return score


def by_camera(
    query_people: AnyArray, query_cameras: AnyArray, people: AnyArray, cameras: AnyArray
) -> Scorer:
    """The re-identification protocol: same person seen by the same camera does not count."""
    query_people, people = _numbered(query_people, people)

    def score(rankings: Int64s) -> tuple[dict[str, float], Floats, Floats | None]:
        scores: ReidScores = reid(rankings, query_people, query_cameras, people, cameras)
        figures = {"mAP": scores.mean_average_precision}
        figures |= {f"rank-{rank}": value for rank, value in scores.cmc.items()}
        figures["mINP"] = scores.mean_inverse_negative_penalty
        return figures, scores.average_precision, None

    return score


def _numbered(query_names: AnyArray, names: AnyArray) -> tuple[AnyArray, AnyArray]:
    """Names as whole numbers, which the protocol wants; what is a number already stays."""
    if query_names.dtype.kind != "U" or names.dtype.kind != "U":
        return query_names, names
    _, numbers = np.unique(np.concatenate([query_names, names]), return_inverse=True)
    return numbers[: query_names.size], numbers[query_names.size :]
