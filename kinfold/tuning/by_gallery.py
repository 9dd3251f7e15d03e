"""Choosing without labels: what one half of the dimensions finds, the other half judges.

A part of the gallery's items is hidden and asked for. Each setting ranks the rest by one half of
the dimensions; its rankings are held against groups that the other half makes of the items. What
both halves agree on is more likely to be the data's structure than a setting's own habit, which
is what one view alone would reward. Groups are not classes, and each way to group favours some
settings; so a setting must be ahead under all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kinfold.arrays import Bools, Float32s, Floats
from kinfold.config import BuildConfig
from kinfold.metric import Measure
from kinfold.progress import Progress, ProgressCallback, silent
from kinfold.tuning.groups import (
    GROUPINGS,
    WIDEST,
    group_items,
    group_queries,
    halves,
    of_length_one,
    precision_by_groups,
)
from kinfold.tuning.trial import Trial, width_of

DEPTH = 300
"""How deep rankings are looked at."""
SPLITS = 2
"""How many times the dimensions are cut into halves; scores are means over them."""
MARGIN = 0.0005
"""By how much a setting must be ahead, as a share, under the grouping that likes it least."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the settings did.

    Attributes
    ----------
    scores:
        (settings,) mean over the groupings.
    leads:
        (settings,) over the first one, under the grouping that likes it least.
    best:
        The setting to take; 0, the first, unless another is ahead under every grouping.
    """

    scores: Floats
    leads: Floats
    best: int


def judge(
    vectors: Float32s,
    hidden: Bools,
    configs: list[BuildConfig],
    threads: int,
    progress: ProgressCallback = silent,
    seed: int = 0,
) -> Verdict:
    """Hold settings against the groups that the gallery falls into.

    Parameters
    ----------
    vectors:
        (s, d) float32; of length one for cosine.
    hidden:
        (s,) items that are asked for.
    configs:
        The first is the one to be improved.
    seed:
        Of the halves of the dimensions, and of ties between groups.
    """
    scores = np.zeros((len(GROUPINGS), len(configs)))
    for split in range(SPLITS):

        def told(done: int, split: int = split) -> None:
            count = len(configs)
            progress(Progress("tuning", split * count + done, SPLITS * count, "settings"))

        scores += _one_split(vectors, hidden, configs, threads, seed + split, told)
    return decide(scores / SPLITS)


def _one_split(
    vectors: Float32s,
    hidden: Bools,
    configs: list[BuildConfig],
    threads: int,
    seed: int,
    told: Callable[[int], None],
) -> Floats:
    """(groupings, settings) scores, the mean of both halves judging each other."""
    metric = configs[0].metric
    rows = int((~hidden).sum())
    width = max(width_of(configs, rows), min(WIDEST, rows - 1))
    trials = []
    for half in halves(vectors, seed):
        view = of_length_one(half) if Measure(metric).normalises else half
        trials.append(Trial(view[~hidden], view[hidden], metric, width, threads))
    answers = []
    for trial in trials:
        groups = [group_items(trial.lists.ids, grouping, seed) for grouping in GROUPINGS]
        answers.append([(group_queries(trial.nearest, group), group) for group in groups])
    scores = np.empty((len(GROUPINGS), len(configs)))
    for place, config in enumerate(configs):
        first, second = (trial.rankings(config, DEPTH) for trial in trials)
        for number in range(len(GROUPINGS)):
            scores[number, place] = (
                precision_by_groups(first, *answers[1][number])
                + precision_by_groups(second, *answers[0][number])
            ) / 2
        told(place + 1)
    return scores


def decide(scores: Floats) -> Verdict:
    """The verdict on (groupings, settings) scores; a grouping that says nothing has NaN."""
    told = scores[np.isfinite(scores).all(axis=1)]
    if not told.size:
        nothing = np.zeros(scores.shape[1])
        return Verdict(nothing, nothing, 0)
    leads: Floats = (told - told[:, :1]).min(axis=0)
    best = int(leads.argmax())
    return Verdict(told.mean(axis=0), leads, best if leads[best] > MARGIN else 0)
