"""A map of the gallery: items in the plane, those that are related beside each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinfold.arrays import Float32s, Floats, Int64s, UInt32s
from kinfold.errors import InputError
from kinfold.search.index import KNN, Index

MOST_ITEMS = 2000
"""Items of a map; of a larger gallery it shows so many, evenly spread over the rows."""
_NEIGHBORS = 8
_SHOWN_EDGES = 3
_ROUNDS = 300
_REPELLED = 5
_PUSH = 6.0
_LARGEST_STEP = 4.0


@dataclass(frozen=True, slots=True)
class Atlas:
    """A map.

    Attributes
    ----------
    positions:
        (m,) uint32: the items, by their place in the gallery, ascending.
    places:
        (m, 2) float32 from 0 to 1.
    edges:
        (e, 2) int64: pairs of the m items that are each other's nearest relatives, the smaller
        first; for drawing.
    """

    positions: UInt32s
    places: Float32s
    edges: Int64s


def make_atlas(index: Index, model: str | None = None, most: int = MOST_ITEMS) -> Atlas:
    """Lay out the gallery graph of a model in the plane.

    Related are items by their entries C_ij, and by their vectors where only a sample of the
    gallery is shown, most of whose relatives are not. Every edge pulls its ends together and
    random pairs push each other away, with the forces of UMAP (McInnes et al. 2018, §3.2, with
    a = b = 1), all at once a round. The result depends on the index alone.

    Raises
    ------
    UnknownNameError
        No such model.
    """
    if most < 2:
        raise InputError(f"most: expected at least 2 items, found {most}")
    rows = len(index)
    count = min(rows, most)
    positions = np.linspace(0, rows - 1, count).astype(np.uint32)
    name = index.manifest.default_model if model is None else model
    whole = count == rows and name != KNN
    relatives = _by_diffusion(index, name) if whole else _by_vectors(index, positions)
    edges = _as_edges(relatives)
    places = _settle(_begin(index.vectors[positions]), edges)
    return Atlas(positions, _inside(places), _as_edges(relatives[:, :_SHOWN_EDGES]))


def _by_diffusion(index: Index, model: str) -> Int64s:
    """(n, 8): the largest entries of every row of C beside its own; -1 where there are fewer."""
    relatives = np.full((len(index), _NEIGHBORS), -1, dtype=np.int64)
    for row, (columns, values) in enumerate(index.iterate_rows(model)):
        others = columns != row
        columns, values = columns[others], values[others]
        best = np.argsort(-values, kind="stable")[:_NEIGHBORS]
        relatives[row, : best.size] = columns[best]
    return relatives


def _by_vectors(index: Index, positions: UInt32s) -> Int64s:
    """(m, 8): the nearest of the others."""
    vectors: Float32s = np.ascontiguousarray(index.vectors[positions])
    # Cosine and inner product by products; for l2 the squares decide.
    near = vectors @ vectors.T
    if index.manifest.metric == "l2":
        near -= 0.5 * np.einsum("ij,ij->i", vectors, vectors)[None, :]
    np.fill_diagonal(near, -np.inf)
    width = min(_NEIGHBORS, positions.size - 1)
    return np.argsort(-near, axis=1, kind="stable")[:, :width]


def _as_edges(relatives: Int64s) -> Int64s:
    """(e, 2): every pair once, the smaller first."""
    rows = np.repeat(np.arange(relatives.shape[0]), relatives.shape[1])
    pairs = np.stack([rows, relatives.reshape(-1)], axis=1)
    pairs = np.sort(pairs[pairs[:, 1] >= 0], axis=1)
    return np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)


def _begin(vectors: Float32s) -> Floats:
    """(m, 2): the first two principal components, which already part what is far apart."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    gram = centred @ centred.T if len(centred) <= centred.shape[1] else centred.T @ centred
    _, directions = np.linalg.eigh(gram)
    top = directions[:, ::-1][:, :2]
    places = top if gram.shape[0] == len(centred) else centred @ top
    if places.shape[1] < 2:
        places = np.column_stack([places, np.zeros(len(places))])
    # Signs are arbitrary: the same every time.
    largest = np.abs(places).argmax(axis=0)
    places = places * np.where(places[largest, [0, 1]] < 0, -1.0, 1.0)
    # Items that are equal must not begin at one place: nothing would ever part them.
    noise = np.random.default_rng(0).normal(size=places.shape)
    result: Floats = 10 * places / (np.abs(places).max() or 1.0) + 1e-2 * noise
    return result


def _settle(places: Floats, edges: Int64s) -> Floats:
    """Let the forces move the items, less and less."""
    rng, count = np.random.default_rng(1), places.shape[0]
    first, second = edges[:, 0], edges[:, 1]
    all_items = np.repeat(np.arange(count), _REPELLED)
    degree = np.maximum(1, np.bincount(edges.reshape(-1), minlength=count))[:, None]
    for number in range(_ROUNDS):
        apart = places[first] - places[second]
        pull = -2 * apart / (1 + np.einsum("ij,ij->i", apart, apart))[:, None]
        moved = (_summed(first, pull, count) - _summed(second, pull, count)) / degree
        others = rng.integers(0, count, all_items.size)
        apart = places[all_items] - places[others]
        square = np.einsum("ij,ij->i", apart, apart)[:, None]
        push = 2 * apart / ((0.01 + square) * (1 + square))
        moved += _PUSH * _summed(all_items, push, count) / _REPELLED
        places = places + (1 - number / _ROUNDS) * np.clip(moved, -_LARGEST_STEP, _LARGEST_STEP)
    return places


def _summed(items: Int64s, forces: Floats, count: int) -> Floats:
    """(count, 2): the forces on every item."""
    return np.stack([np.bincount(items, forces[:, axis], count) for axis in (0, 1)], axis=1)


def _inside(places: Floats) -> Float32s:
    """Into the unit square; what lies far out is drawn to its edge."""
    low, high = np.percentile(places, [1, 99], axis=0)
    width = max(float((high - low).max()), 1e-9)
    middle = (low + high) / 2
    result: Float32s = np.clip(0.5 + 0.92 * (places - middle) / width, 0, 1).astype(np.float32)
    return result
