"""Reduction of dimension: principal components of the gallery, which queries then share.

Descriptors of networks are long and their directions far from equally important; projected to
their first components, and whitened, they search quicker and often better (Jégou and Chum 2012).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from indexer.estimate import available_memory, readable
from indexer.sources.source import Source
from kinfold.arrays import AnyArray, Float32s, Floats
from kinfold.errors import CapacityError, InputError
from kinfold.index.extras import Projection
from kinfold.progress import Progress, ProgressCallback, silent
from kinfold.validate import as_float32, as_gallery, normalised, row_chunks

_SAMPLE = 100_000
_LEAST_VARIANCE = 1e-6
"""Of the largest one: directions below it are noise, and whitening must not blow them up."""


def reduce_source(
    source: Source,
    dimension: int,
    *,
    whiten: bool = False,
    normalise: bool = True,
    progress: ProgressCallback = silent,
) -> Source:
    """A source whose vectors are the first principal components of the ones it had.

    Parameters
    ----------
    dimension:
        Components that are kept, d.
    whiten:
        Give every component the same variance.
    normalise:
        Bring vectors to length one first, as the metric cosine means them. The index does the
        same to queries.

    Returns
    -------
    The source with (n, d) float32 vectors, and the projection among its extras.

    Raises
    ------
    InputError
        d below 1, or more than the vectors have dimensions or directions that vary.
    CapacityError
        The new vectors do not fit into memory.
    """
    vectors = as_gallery(source.vectors, source.name)
    rows, long = vectors.shape
    if source.extras.projection is not None:
        raise InputError(f"{source.name}: its vectors are reduced already")
    if not 1 <= dimension <= long:
        raise InputError(
            f"reduce: expected a dimension from 1 to {long}, that of the vectors, found {dimension}"
        )
    if 4 * rows * dimension > available_memory():
        raise CapacityError(
            f"reduce: {readable(4 * rows * dimension)} of memory are needed for the new vectors"
        )
    matrix = _learn(vectors, dimension, source.name, whiten=whiten, normalise=normalise)
    projection = Projection(matrix)
    reduced = np.empty((rows, dimension), dtype=np.float32)
    for piece in row_chunks(rows, long):
        reduced[piece] = projection.apply(_prepared(vectors, piece, source.name, normalise))
        progress(Progress("reducing", piece.stop, rows))
    extras = replace(source.extras, projection=projection)
    return replace(source, vectors=reduced, extras=extras)


def _learn(
    vectors: AnyArray, dimension: int, name: str, *, whiten: bool, normalise: bool
) -> Float32s:
    """(d' + 1, d): the components of a sample that is spread evenly over the gallery."""
    rows, long = vectors.shape
    chosen = np.linspace(0, rows - 1, min(rows, _SAMPLE)).astype(np.int64)
    total, products = np.zeros(long), np.zeros((long, long))
    for piece in row_chunks(chosen.size, long):
        chunk = _prepared(vectors[chosen[piece]], slice(None), name, normalise).astype(np.float64)
        total += chunk.sum(axis=0)
        products += chunk.T @ chunk
    mean = total / chosen.size
    variances, directions = np.linalg.eigh(products / chosen.size - np.outer(mean, mean))
    variances, directions = variances[::-1], directions[:, ::-1]
    usable = int((variances > _LEAST_VARIANCE * variances[0]).sum()) if variances[0] > 0 else 0
    if dimension > usable:
        raise InputError(
            f"reduce: expected a dimension of at most {usable}: the {rows} vectors vary in no "
            f"more directions, found {dimension}"
        )
    kept: Floats = directions[:, :dimension]
    # Signs are arbitrary: the largest part of each is positive, whatever the library.
    largest = np.abs(kept).argmax(axis=0)
    kept = kept * np.where(kept[largest, np.arange(dimension)] < 0, -1.0, 1.0)
    if whiten:
        kept = kept / np.sqrt(variances[:dimension])
    return np.vstack([kept, -mean @ kept]).astype(np.float32)


def _prepared(vectors: AnyArray, piece: slice, name: str, normalise: bool) -> Float32s:
    first = piece.start or 0
    chunk = as_float32(vectors[piece], name, first)
    return normalised(chunk, name, first) if normalise else chunk
