"""Fusion: one ranking from the rankings of several models.

    rrf    sum over the models of 1 / (60 + rank), rank from 1   (Cormack et al., SIGIR 2009)
    score  sum over the models of score / best score of the model

A model counts with everything it reaches; plain kNN, which reaches all, with its 1,000 nearest.
Neither depends on how many hits are asked for.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from kinfold.arrays import NOTHING, Float32s, UInt32s

Fusion = Literal["rrf", "score"]
FUSIONS: tuple[Fusion, ...] = ("rrf", "score")

RRF_CONSTANT = 60
KNN_DEPTH = 1000
"""Nearest neighbours that plain kNN contributes."""


def contributions(positions: UInt32s, scores: Float32s, fusion: Fusion) -> tuple[UInt32s, Float32s]:
    """What one model's ranking, (r,) positions best first with their scores, gives each item.

    Ties in the scores share the better rank: their order by position is no opinion of the model.
    """
    known = (positions != NOTHING) & (scores > 0)
    positions, scores = positions[known], scores[known]
    if fusion == "score":
        best = scores[0] if scores.size else np.float32(1)
        return positions, scores / best
    rank = np.searchsorted(-scores, -scores, side="left") + 1
    return positions, (1.0 / (RRF_CONSTANT + rank)).astype(np.float32)
