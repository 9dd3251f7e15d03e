"""From feature maps to vectors."""

from __future__ import annotations

import numpy as np

from kinfold.arrays import Float32s
from kinfold.encoders.spec import EncoderSpec

_SMALLEST = 1e-6
_LEVELS = 3
_OVERLAP = 0.4


def pool(maps: Float32s, spec: EncoderSpec) -> Float32s:
    """(n, d) of feature maps (n, d, h, w), as the spec says; not normalised."""
    match spec.pooling:
        case "average":
            average: Float32s = maps.mean(axis=(2, 3))
            return average
        case "gem":
            return gem(maps, spec.gem_p)
        case "rmac":
            return rmac(maps)
    return maps


def gem(maps: Float32s, p: float) -> Float32s:
    """Generalised mean (Radenović et al. 2018, eq. 3): (1/hw Σ max(x, 1e-6)^p)^(1/p)."""
    positive = np.maximum(maps, np.float32(_SMALLEST))
    if p == 3:
        cells = positive.reshape(*maps.shape[:2], -1)
        mean = np.einsum("ndc,ndc,ndc->nd", cells, cells, cells) / np.float32(cells.shape[2])
    else:
        mean = (positive**p).mean(axis=(2, 3))
    result: Float32s = mean ** np.float32(1 / p)
    return result


def rmac(maps: Float32s) -> Float32s:
    """Regional maxima (Tolias et al. 2016): of square regions at three scales, each of length one.

    At scale l the regions have the side 2 min(h, w) / (l + 1); neighbours overlap by about 40 %.
    """
    count, dimension, height, width = maps.shape
    total = np.zeros((count, dimension), dtype=np.float32)
    for top, left, side in regions(height, width):
        best = maps[:, :, top : top + side, left : left + side].max(axis=(2, 3))
        length = np.linalg.norm(best, axis=1, keepdims=True)
        total += best / np.maximum(length, np.float32(_SMALLEST))
    return total


def regions(height: int, width: int) -> list[tuple[int, int, int]]:
    """Top, left and side of every region of a map."""
    short, long = min(height, width), max(height, width)
    # So many more along the longer side that overlap is nearest to 40 %.
    more = 0
    if long > short:
        steps = np.arange(1, 7)
        overlap = (short**2 - short * (long - short) / steps) / short**2
        more = int(np.abs(overlap - _OVERLAP).argmin()) + 1
    found = []
    for level in range(1, _LEVELS + 1):
        side = int(2 * short / (level + 1))
        if side < 1:
            continue
        down = level + (more if height > width else 0)
        across = level + (more if width > height else 0)
        found += [
            (top, left, side)
            for top in _starts(height, side, down)
            for left in _starts(width, side, across)
        ]
    return found


def _starts(length: int, side: int, count: int) -> list[int]:
    """Where `count` regions begin, spread from one end to the other."""
    if count == 1:
        return [(length - side) // 2]
    return [int(number * (length - side) / (count - 1)) for number in range(count)]
