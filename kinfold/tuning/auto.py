"""`auto`: what a build asks before it starts."""

from __future__ import annotations

import time

import numpy as np

from kinfold.arrays import AnyArray
from kinfold.config import BuildConfig
from kinfold.index.manifest import TuningInfo
from kinfold.metric import Measure
from kinfold.progress import ProgressCallback, silent
from kinfold.tuning.by_gallery import MARGIN, Verdict, judge
from kinfold.tuning.candidates import candidates, free_parameters
from kinfold.tuning.groups import GROUPINGS
from kinfold.tuning.report import TuningReport, as_text, difference, tried
from kinfold.tuning.sample import MOST_ITEMS, draw, read_rows

LEAST_ITEMS = 200
LEAST_DIMENSION = 8


def choosing_seconds(rows: int) -> float:
    """Roughly what choosing takes on two cores, which does not grow beyond the sample."""
    return 30.0 * min(rows, MOST_ITEMS) / MOST_ITEMS if rows >= LEAST_ITEMS else 0.0


def too_little(vectors: AnyArray) -> str | None:
    """Why a gallery cannot be judged by itself, if so."""
    rows, dimension = vectors.shape
    if rows < LEAST_ITEMS:
        return f"expected at least {LEAST_ITEMS} items to judge settings by, found {rows}"
    if dimension < LEAST_DIMENSION:
        return (
            f"expected at least {LEAST_DIMENSION} dimensions, of which one half can judge the "
            f"other, found {dimension}"
        )
    return None


def automatic(
    vectors: AnyArray,
    config: BuildConfig,
    threads: int,
    progress: ProgressCallback = silent,
) -> TuningReport:
    """Choose what the configuration leaves open, from the gallery alone.

    Where the gallery cannot tell, the configuration stays, and the report says why. The result
    depends on the vectors and the configuration only.

    Parameters
    ----------
    vectors:
        (n, d), checked.
    config:
        Parameters that were given explicitly stay as they are.

    Raises
    ------
    InputError
        The configuration leaves nothing open.
    """
    start = time.perf_counter()
    free = free_parameters(config)
    reason = too_little(vectors)
    if reason is not None:
        return kept(config, f"kept the defaults: {reason}")
    metric = Measure(config.metric)
    sample = draw(vectors, metric)
    shown = int((~sample.hidden).sum())
    configs = candidates(config, shown)
    if config.k_d >= shown or len(configs) == 1:
        return kept(config, "kept the defaults: no other setting fits the gallery")
    verdict = judge(
        read_rows(vectors, metric, sample.rows), sample.hidden, configs, threads, progress
    )
    chosen = configs[verdict.best]
    return TuningReport(
        chosen,
        TuningInfo(
            by="gallery",
            reason=_reason(verdict, configs, free),
            changed=difference(configs[0], chosen, free),
            items=shown,
            queries=int(sample.hidden.sum()),
            seconds=round(time.perf_counter() - start, 3),
            tried=tried(configs, free, verdict.scores, verdict.leads),
        ),
    )


def kept(config: BuildConfig, reason: str) -> TuningReport:
    """Nothing was tried."""
    info = TuningInfo(by="gallery", reason=reason, changed={}, items=0, queries=0, seconds=0)
    return TuningReport(config, info)


def _reason(verdict: Verdict, configs: list[BuildConfig], free: tuple[str, ...]) -> str:
    ways = f"all {len(GROUPINGS)} ways to group the items"
    if verdict.best:
        changes = difference(configs[0], configs[verdict.best], free)
        return (
            f"chose {as_text(changes)}: ahead of the defaults under {ways}, by at least "
            f"{100 * verdict.leads[verdict.best]:.2f} points of mAP against these groups"
        )
    closest = 1 + int(np.argmax(verdict.leads[1:]))
    changes = difference(configs[0], configs[closest], free)
    return (
        f"kept the defaults: none of {len(configs) - 1} other settings was ahead under {ways} by "
        f"at least {100 * MARGIN:.2f} points of mAP against these groups; closest was "
        f"{as_text(changes)} with {100 * verdict.leads[closest]:+.2f}"
    )
