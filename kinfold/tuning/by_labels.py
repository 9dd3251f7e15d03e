"""Choosing by labelled queries: the best mAP, judged by queries that the choice has not seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinfold.arrays import Floats

FOLDS = 10


@dataclass(frozen=True, slots=True)
class Choice:
    """What cross-validation says.

    Attributes
    ----------
    best:
        The setting to take.
    default, cross_validated:
        Mean precision of the first setting, and of what is chosen on nine tenths of the queries,
        each measured on the tenth that is left.
    leads:
        (settings,) mean gain over the first setting, on all queries.
    errors:
        (settings,) standard error of that gain.
    """

    best: int
    default: float
    cross_validated: float
    leads: Floats
    errors: Floats


def choose(precisions: Floats, seed: int = 0) -> Choice:
    """Choose by the average precision of (settings, queries), the first setting by default.

    Another setting is taken only if its gain is larger than the standard error of the gain, and
    if choosing by this rule has not lost on held-out queries.
    """
    count = precisions.shape[1]
    order = np.random.default_rng(seed).permutation(count)
    held_out = np.empty(count)
    for fold in np.array_split(order, min(FOLDS, count)):
        others = np.setdiff1d(order, fold)
        held_out[fold] = precisions[_best(precisions[:, others]), fold]
    default, cross_validated = float(precisions[0].mean()), float(held_out.mean())
    leads, errors = _gains(precisions)
    best = _best(precisions) if cross_validated > default else 0
    return Choice(best, default, cross_validated, leads, errors)


def _gains(precisions: Floats) -> tuple[Floats, Floats]:
    gains = precisions - precisions[:1]
    errors: Floats = gains.std(axis=1, ddof=1) / np.sqrt(gains.shape[1])
    return gains.mean(axis=1), errors


def _best(precisions: Floats) -> int:
    leads, errors = _gains(precisions)
    best = int(leads.argmax())
    return best if leads[best] > errors[best] else 0
