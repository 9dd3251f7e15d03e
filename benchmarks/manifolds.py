"""Galleries as difficult as deep image descriptors, of any size: the official generator.

Everything lives in a latent space of `latent` dimensions. In it lie curved patches of unequal
sizes, each of one to four dimensions of its own and thickened by noise in all of them, among items
that belong to no patch. A fixed random map, sines of random directions and then a matrix, bends
the whole space into the ambient one. So near an item the gallery looks `latent`-dimensional, as
descriptors do, and a patch is a thin thread in a crowd: its neighbouring items are near, its far
ends are farther than strangers.

A patch keeps its size and density whatever the gallery's size. A larger gallery has more patches,
and is more crowded: strangers come nearer, see `Recipe.crowding`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.galleries import Gallery
from kinfold.arrays import AnyArray, Float32s, Int64s

CHUNK_ROWS = 1 << 14
"""Items that are made at a time; part of what a seed means."""

# Mostly threads and sheets: kin that is near along them and far across.
_OWN_DIMENSIONS = np.array([1, 2, 3, 4])
_SHARES = np.array([0.55, 0.3, 0.1, 0.05])
_MOST_OWN_DIMENSIONS = 4
_HARMONICS = 6
# M. Roberts' R-sequences: multiples of these, without their whole part, fill a cube of one,
# two, … dimensions evenly. Each is 1 / g, 1 / g², … of the root g of x^(p + 1) = x + 1.
_ROOTS = np.array([1.618033988749895, 1.324717957244746, 1.2207440846057596, 1.1673039782614187])
_STEPS = 1.0 / _ROOTS[:, None] ** np.arange(1, 5)
_FEATURES = 256
_REGIONS = 48
_ROWS = 20_000
"""Items of the gallery whose space has the spread that the recipe's lengths are told in."""

_LEAST_SPREAD = 0.1
_ITEMS_A_QUERY = 4


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a gallery is like. Lengths are in units of the latent space, whose spread is about one.

    Attributes
    ----------
    latent:
        Dimensions of the space in which everything lies; what an estimate of the gallery's
        intrinsic dimension comes to, but for the patches' own part in it.
    distractors:
        Share of the gallery that lies on no patch; each has a label of its own. They are made as
        patches of one item, so they are where patches are.
    smallest, largest, tail:
        Items of a patch: Pareto, P(size > s) ~ s^-tail, between the two.
    bend:
        How far a patch wanders from its centre, a latent coordinate, and about the radius at which
        it is bent. The spread of the centres is one.
    spacing:
        Distance of neighbouring items on a patch, on average over patches; a patch's own is
        between 1 / `unevenness` and `unevenness` times it.
    thickness:
        Deviation from the patch, in all latent dimensions together.
    unevenness:
        How much density differs from place to place: the widest of the regions in which centres
        lie is this squared times as wide as the narrowest.
    gain:
        How strongly the map into the ambient space bends: radians that a feature turns, a unit.
    noise:
        Deviation in the ambient space, in all its dimensions together; vectors are of length one.
    crowding:
        1: galleries of all sizes lie in the same space, and distances to strangers shrink by
        rows^(-1/latent). 0: the space widens so that they stay as in one of 20,000 items. Between:
        so much of that shrinking.
    """

    latent: int = 16
    distractors: float = 0.55
    smallest: int = 8
    largest: int = 300
    tail: float = 1.0
    bend: float = 1.5
    spacing: float = 1.0
    thickness: float = 1.1
    unevenness: float = 1.3
    gain: float = 1.0
    noise: float = 0.1
    crowding: float = 0.5


DEFAULT = Recipe()


def manifolds(
    rows: int,
    dimension: int = 128,
    recipe: Recipe = DEFAULT,
    *,
    queries: int = 500,
    seed: int = 0,
    file: str | Path | None = None,
) -> Gallery:
    """Make a gallery, in an array or straight into a file.

    Items lie in random order: neighbours on a patch are not neighbours in the file. Galleries of
    one seed but different sizes have no items in common.

    Parameters
    ----------
    rows:
        Gallery items, distractors included.
    dimension:
        Of the ambient space.
    queries:
        At most so many: items of patches, taken out of the gallery, one of every patch before a
        second of any, and no more than a quarter of a patch. Large patches are asked for no more
        often than small ones, or a small gallery, with fewer patches than there are queries, would
        be asked easier questions than a large one.
    file:
        A .npy that is written through a memory map, so that memory does not grow with `rows` by
        more than the labels (16 bytes an item). The gallery's vectors are then mapped, read-only.
    """
    generator = np.random.default_rng([seed, rows])
    structured = rows - round(rows * recipe.distractors)
    sizes = _sizes(structured, queries, recipe, generator)
    asked = _asked(sizes, queries, generator)
    every = np.concatenate([sizes, np.ones(rows + asked.size - sizes.sum(), dtype=np.int64)])
    # Where each item goes: a row of the gallery, or -1 - a row of the queries.
    target = np.empty(rows + asked.size, dtype=np.int64)
    kept = np.ones(target.size, dtype=bool)
    kept[asked] = False
    target[asked] = -1 - np.arange(asked.size)
    target[kept] = generator.permutation(rows)
    vectors: Float32s
    if file is None:
        vectors = np.empty((rows, dimension), dtype=np.float32)
    else:
        vectors = np.lib.format.open_memmap(file, "w+", np.float32, (rows, dimension))
    labels = np.empty(rows, dtype=np.int64)
    held = np.empty((asked.size, dimension), dtype=np.float32)
    held_labels = np.empty(asked.size, dtype=np.int64)
    world = _World(recipe, dimension, rows, seed)
    begin = 0
    for number, (first, last) in enumerate(_groups(every)):
        made = world.items(every[first:last], np.random.default_rng([seed, rows, number]))
        end = begin + made.shape[0]
        whose = np.repeat(np.arange(first, last), every[first:last])
        where = target[begin:end]
        inside = where >= 0
        vectors[where[inside]], labels[where[inside]] = made[inside], whose[inside]
        out = -1 - where[~inside]
        held[out], held_labels[out] = made[~inside], whose[~inside]
        begin = end
    if file is not None:
        vectors.flush()  # type: ignore[attr-defined]
        vectors = np.load(file, mmap_mode="r")
    return Gallery(vectors, labels, held, held_labels)


def _sizes(structured: int, queries: int, recipe: Recipe, generator: np.random.Generator) -> Int64s:
    """Sizes of the patches; together `structured` items and the queries'."""
    wanted = structured + queries
    # Inverse of the distribution function of a Pareto that ends at `largest`.
    share = (recipe.smallest / (recipe.largest + 1)) ** recipe.tail
    uniform = generator.random(wanted // recipe.smallest + 1)
    drawn = recipe.smallest * (1 - uniform * (1 - share)) ** (-1 / recipe.tail)
    sizes = drawn.astype(np.int64)
    count = int(np.searchsorted(np.cumsum(sizes), wanted))
    found = sizes[: count + 1].copy()
    # The last one is what is left, or what is left is no patch of its own.
    found[-1] -= found.sum() - wanted
    if found[-1] < recipe.smallest and found.size > 1:
        found[-2] += found[-1]
        found = found[:-1]
    return found


def _asked(sizes: Int64s, queries: int, generator: np.random.Generator) -> Int64s:
    """Items that are queries, ascending: one of every patch before a second of any."""
    most = np.minimum(-(-queries // sizes.size), sizes // _ITEMS_A_QUERY)
    starts = np.cumsum(sizes) - sizes
    first = (generator.random(sizes.size) * sizes).astype(np.int64)
    found: list[Int64s] = []
    for number in range(int(most.max())):
        patches = generator.permutation(np.flatnonzero(most > number))
        # Apart from each other by as much as so many can be.
        within = (first[patches] + number * (sizes[patches] // most[patches])) % sizes[patches]
        found.append(starts[patches] + within)
    return np.sort(np.concatenate(found)[:queries] if found else np.empty(0, dtype=np.int64))


def _groups(sizes: Int64s) -> Iterator[tuple[int, int]]:
    """Whole patches that together have about `CHUNK_ROWS` items: (first, behind the last)."""
    ends = np.cumsum(sizes)
    first = 0
    while first < sizes.size:
        begun = ends[first] - sizes[first]
        last = max(first + 1, int(np.searchsorted(ends, begun + CHUNK_ROWS, side="right")))
        yield first, last
        first = last


class _World:
    """What all items of a gallery share: where centres lie, and the map into the ambient space."""

    def __init__(self, recipe: Recipe, dimension: int, rows: int, seed: int) -> None:
        generator = np.random.default_rng([seed, recipe.latent, dimension])
        self._recipe = recipe
        latent = recipe.latent
        # Centres and patches together spread so wide; patches are no larger in a larger gallery.
        grown = (rows / _ROWS) ** ((1 - recipe.crowding) / latent)
        centres = np.maximum((1 + recipe.bend**2) * grown**2 - recipe.bend**2, _LEAST_SPREAD)
        spread = np.sqrt(0.5 * centres)
        self._regions = _normal(generator, (_REGIONS, latent)) * np.float32(spread)
        widths = recipe.unevenness ** generator.uniform(-1, 1, _REGIONS)
        self._widths = (spread * widths).astype(np.float32)
        self._turns = _normal(generator, (latent, _FEATURES)) * np.float32(
            recipe.gain / np.sqrt(latent)
        )
        self._phases = generator.uniform(0, 2 * np.pi, _FEATURES).astype(np.float32)
        # So that a vector is of length one before noise, on average.
        self._mix = _normal(generator, (_FEATURES, dimension)) * np.float32(
            np.sqrt(2 / (_FEATURES * dimension))
        )

    def items(self, sizes: Int64s, generator: np.random.Generator) -> Float32s:
        """The items of some patches, one patch behind the other: (items, dimension), length 1."""
        recipe, latent = self._recipe, self._recipe.latent
        patches, items = sizes.size, int(sizes.sum())
        whose = np.repeat(np.arange(patches), sizes)
        region = generator.integers(0, _REGIONS, patches)
        centres = self._regions[region] + self._widths[region, None] * _normal(
            generator, (patches, latent)
        )
        # A patch is a sum of waves over its own coordinates: smooth, never straight, and as wide
        # after a thousand items as after fifty.
        own = generator.choice(_OWN_DIMENSIONS, size=patches, p=_SHARES)
        waves = _normal(generator, (patches, _HARMONICS, _MOST_OWN_DIMENSIONS))
        phases = generator.uniform(0, 2 * np.pi, (patches, _HARMONICS)).astype(np.float32)
        swing = _normal(generator, (patches, _HARMONICS, latent)) * np.float32(
            recipe.bend * np.sqrt(2 / _HARMONICS)
        )
        # A step of one along an own coordinate moves a point by bend √latent: unit speed by that.
        pace = recipe.spacing * recipe.unevenness ** generator.uniform(-1, 1, patches)
        side = pace * sizes ** (1 / own) / (recipe.bend * np.sqrt(latent))
        # Evenly spread, for random places leave gaps that nothing gets across.
        nth = np.arange(items) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        place = np.mod(
            generator.random((patches, _MOST_OWN_DIMENSIONS))[whose]
            + nth[:, None] * _STEPS[own - 1][whose],
            1.0,
        )
        place *= (side[:, None] * (np.arange(_MOST_OWN_DIMENSIONS) < own[:, None]))[whose]
        turned = np.einsum("ij,ihj->ih", place, waves[whose]) + phases[whose]
        points = np.einsum("ih,ihl->il", np.cos(turned), swing[whose]) + centres[whose]
        points += np.float32(recipe.thickness / np.sqrt(latent)) * _normal(
            generator, (items, latent)
        )
        return self._mapped(points.astype(np.float32), generator)

    def _mapped(self, points: Float32s, generator: np.random.Generator) -> Float32s:
        features = points @ self._turns
        features += self._phases
        np.sin(features, out=features)
        vectors: Float32s = features @ self._mix
        dimension = vectors.shape[1]
        vectors += np.float32(self._recipe.noise / np.sqrt(dimension)) * _normal(
            generator, vectors.shape
        )
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors


def _normal(generator: np.random.Generator, shape: tuple[int, ...]) -> Float32s:
    return generator.standard_normal(shape, dtype=np.float32)


def intrinsic_dimension(
    vectors: AnyArray, k: int = 20, sample: int = 1000, seed: int = 0, among: AnyArray | None = None
) -> float:
    """Intrinsic dimension by maximum likelihood (Levina & Bickel, 2004).

    From distances to the k nearest others, of a random sample of items, among all of them. Each
    item's estimate is of its own neighbourhood; this is their mean, as published. Where dimension
    differs from place to place, the threads of a gallery and the crowd around them, that is the
    dimension that an item meets on average.

    Parameters
    ----------
    vectors:
        (n, d) float32 of length one, possibly mapped: read in pieces.
    among:
        Rows to draw the sample from; None: all.
    """
    generator = np.random.default_rng(seed)
    rows = np.arange(vectors.shape[0]) if among is None else np.asarray(among)
    chosen = np.sort(generator.choice(rows, size=min(sample, rows.size), replace=False))
    similar = nearest(vectors, np.asarray(vectors[chosen]), k + 1)[1][:, 1:]
    squared = np.maximum(2 - 2 * similar.astype(np.float64), 1e-12)
    # Half of the logarithm of a squared distance is that of the distance; k - 2 and not k - 1 of
    # them, so that the estimate is unbiased.
    logarithms = 0.5 * np.sum(np.log(squared[:, -1:] / squared[:, :-1]), axis=1)
    return float(np.mean((k - 2) / np.maximum(logarithms, 1e-12)))


def nearest(vectors: AnyArray, queries: AnyArray, k: int) -> tuple[Int64s, Float32s]:
    """Exact (m, k) positions and inner products, best first; vectors are read in pieces."""
    ids = np.empty((queries.shape[0], 0), dtype=np.int64)
    values = np.empty((queries.shape[0], 0), dtype=np.float32)
    for begin in range(0, vectors.shape[0], CHUNK_ROWS):
        found = queries @ np.asarray(vectors[begin : begin + CHUNK_ROWS]).T
        best = min(k, found.shape[1])
        part = np.argpartition(-found, best - 1, axis=1)[:, :best]
        ids = np.concatenate([ids, begin + part], axis=1)
        values = np.concatenate([values, np.take_along_axis(found, part, axis=1)], axis=1)
        order = np.argsort(-values, axis=1, kind="stable")[:, :k]
        ids = np.take_along_axis(ids, order, axis=1)
        values = np.take_along_axis(values, order, axis=1)
    return ids, values
