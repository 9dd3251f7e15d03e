"""Measuring methods on a sample: quality, time of a query, memory, preparation.

Queries get one thread, whatever answers them: what a service has left for each under load, and
the only way in which milliseconds of small and of large matrices compare. Preparation gets all.
"""

from __future__ import annotations

import tempfile
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import kinfold
from cli.compare_data import Sample
from kinfold.arrays import NOTHING, AnyArray, Float32s, Int64s
from kinfold.errors import InputError
from kinfold.evaluate import score_by_labels
from kinfold.evaluate.baselines import Baseline, Prepared, best_first
from kinfold.threads import limited_threads

HITS = 10
"""A query's time ends when its ten best items are known."""
FULL_RANKING = 20_000
"""Galleries up to this size are ranked whole, larger ones down to `DEPTH`."""
DEPTH = 1000
KINFOLD, METHOD = "kinfold", "method"

_TIMED = 100
_LEAST_TIMED = 5
_BATCHES = 3
_SECONDS = 2.0
_AT_ONCE = 64
_WARM_ROWS = 256


@dataclass(frozen=True, slots=True)
class Row:
    """One method on one sample.

    Attributes
    ----------
    name, title:
        For machines, and for people.
    kind:
        `KINFOLD` for what an index answers, `METHOD` for a published method.
    transductive:
        Whether all queries were answered together; milliseconds are then the batch's by their
        number.
    milliseconds:
        Median time of a query.
    memory:
        Bytes kept between queries, the gallery among them, and the most allocated during one
        (all, where the method is transductive).
    preparation:
        Seconds of offline work; None where it was not timed by itself.
    """

    name: str
    title: str
    kind: str
    source: str
    transductive: bool
    parameters: dict[str, Any]
    mean_average_precision: float
    precision_at_1: float
    milliseconds: float
    memory: int
    preparation: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """All methods on one sample, best mAP first, and those that could not be measured."""

    sample: Sample
    rows: list[Row]
    left_out: dict[str, str] = field(default_factory=dict)


def depth_of(sample: Sample) -> int:
    """How deep rankings go."""
    n = sample.gallery.shape[0]
    return n if n <= FULL_RANKING else DEPTH


def measure_method(title: str, method: Baseline, sample: Sample) -> Row:
    """A published method, called `title` in tables, as `kinfold.evaluate.baselines` computes it."""
    _warm_up(method, sample)
    start = time.perf_counter()
    prepared = method.prepare(sample.gallery)
    preparation = time.perf_counter() - start
    queries = sample.queries if method.transductive else sample.queries[:1]
    with limited_threads(1):
        working = _peak(lambda: prepared.scores(queries))
        rankings, seconds = _rank(prepared, method.transductive, sample)
        if not method.transductive:
            seconds = _median(
                lambda row: _ten_best(prepared, sample.queries[row : row + 1]), sample
            )
    return _row(
        sample,
        rankings,
        name=method.name,
        title=title,
        kind=METHOD,
        source=method.source,
        transductive=method.transductive,
        parameters=method.model_dump(mode="json"),
        milliseconds=1000 * seconds,
        memory=held_bytes(prepared) + working,
        preparation=preparation,
    )


def measure_index(
    name: str, config: kinfold.BuildConfig, sample: Sample, with_knn: bool
) -> list[Row]:
    """An index with one similarity chain; with its plain neighbours too where that is wanted."""
    chain = " + ".join(spec.name for spec in config.similarity)
    title = f"Kinfold, {name} ({chain})" if name == "default" else f"Kinfold, {chain}"
    with tempfile.TemporaryDirectory() as folder:
        _warm_build(config, sample, Path(folder) / "warm")
        start = time.perf_counter()
        index = kinfold.build(sample.gallery, Path(folder) / "index", config=config)
        preparation = time.perf_counter() - start
        rows = [_index_row(index, None, f"kinfold:{name}", title, config, preparation, sample)]
        if with_knn:
            rows.append(
                _index_row(index, "knn", "kinfold:knn", "Kinfold, kNN only", None, None, sample)
            )
        # Its files are mapped; let go of them before the folder is removed.
        del index
    return rows


def _index_row(
    index: kinfold.Index,
    model: str | None,
    name: str,
    title: str,
    config: kinfold.BuildConfig | None,
    preparation: float | None,
    sample: Sample,
) -> Row:
    single = sample.queries[0]
    ten = min(HITS, len(index))
    with limited_threads(1):
        # The first search loads compiled code, which is not a query's memory.
        index.search(single, ten, model)
        working = _peak(lambda: index.search(single, ten, model))
        seconds = _median(lambda row: index.search(sample.queries[row], ten, model), sample)
        starts = range(0, sample.queries.shape[0], _AT_ONCE)
        batches = [sample.queries[start : start + _AT_ONCE] for start in starts]
        depth = depth_of(sample)
        rankings = np.concatenate([_positions(index.search(b, depth, model)) for b in batches])
    return _row(
        sample,
        rankings,
        name=name,
        title=title,
        kind=KINFOLD,
        source="pre-computed" if config else "exact or approximate search",
        transductive=False,
        parameters={} if config is None else config.model_dump(mode="json"),
        milliseconds=1000 * seconds,
        memory=_file_bytes(index.version, without_models=config is None) + working,
        preparation=preparation,
    )


def _row(sample: Sample, rankings: Int64s, **facts: Any) -> Row:
    scores = score_by_labels(rankings, sample.query_labels, sample.labels, ks=(1,))
    return Row(
        mean_average_precision=scores.mean_average_precision,
        precision_at_1=scores.precision_at[1],
        **facts,
    )


def _rank(prepared: Prepared, together: bool, sample: Sample) -> tuple[Int64s, float]:
    """(m, depth) rankings, and the seconds a query of the batches that had all queries."""
    queries, depth = sample.queries, depth_of(sample)
    m = queries.shape[0]
    if not together:
        parts = [
            _best(prepared.scores(queries[start : start + _AT_ONCE]), depth)
            for start in range(0, m, _AT_ONCE)
        ]
        return np.concatenate(parts), float("nan")
    times: list[float] = []
    while not times or (len(times) < _BATCHES and sum(times) < _SECONDS):
        start_time = time.perf_counter()
        scores = prepared.scores(queries)
        _best(scores, HITS)
        times.append(time.perf_counter() - start_time)
    return _best(scores, depth), float(np.median(times)) / m


def _best(scores: Float32s, k: int) -> Int64s:
    return np.stack([best_first(row, k) for row in scores])


def _ten_best(prepared: Prepared, query: Float32s) -> Int64s:
    return best_first(prepared.scores(query)[0], HITS)


def _positions(hits: kinfold.Hits) -> Int64s:
    positions = hits.positions.astype(np.int64)
    positions[hits.positions == NOTHING] = -1
    return positions


def _median(ask: Callable[[int], object], sample: Sample) -> float:
    """Median seconds of single queries, after one that is not counted; slow ones are fewer."""
    ask(0)
    times: list[float] = []
    for row in range(min(_TIMED, sample.queries.shape[0])):
        start = time.perf_counter()
        ask(row)
        times.append(time.perf_counter() - start)
        if len(times) >= _LEAST_TIMED and sum(times) > _SECONDS:
            break
    return float(np.median(times))


def _warm_up(method: Baseline, sample: Sample) -> None:
    """Let what is compiled or loaded at first use be there before anything is timed."""
    try:
        prepared = method.prepare(sample.gallery[:_WARM_ROWS])
        prepared.scores(sample.queries[:2])
    except InputError:
        # Parameters that are too large for so few items say nothing about the whole.
        return


def _warm_build(config: kinfold.BuildConfig, sample: Sample, folder: Path) -> None:
    try:
        kinfold.build(sample.gallery[:_WARM_ROWS], folder, config=config)
    except InputError:
        return


def _peak(work: Callable[[], object]) -> int:
    """The most bytes that NumPy and Python hold at once during some work, beyond those before."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        work()
        return max(0, tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()


def held_bytes(thing: object) -> int:
    """Bytes of all arrays that an object holds, in attributes and containers, each counted once."""
    seen: set[int] = set()
    waiting: list[object] = [thing]
    total = 0
    while waiting:
        one = waiting.pop()
        if isinstance(one, np.ndarray):
            one = _owner(one)
        if id(one) in seen or isinstance(one, (type, ModuleType)):
            continue
        seen.add(id(one))
        if isinstance(one, np.ndarray):
            total += one.nbytes
        elif isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, (list, tuple, set, frozenset)):
            waiting.extend(one)
        elif not callable(one):
            waiting.extend(vars(one).values() if hasattr(one, "__dict__") else ())
            slots = (name for kind in type(one).__mro__ for name in getattr(kind, "__slots__", ()))
            waiting.extend(getattr(one, name) for name in slots if hasattr(one, name))
    return total


def _owner(array: AnyArray) -> AnyArray:
    """The array that holds the values of a view."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _file_bytes(version: Path, without_models: bool) -> int:
    """Bytes of an index's files, all of which are mapped; plain neighbours need no model."""
    files = (file for file in version.rglob("*") if file.is_file())
    return sum(
        file.stat().st_size
        for file in files
        if not (without_models and "models" in file.relative_to(version).parts)
    )
