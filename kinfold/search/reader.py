"""What a caller asks for, checked against an open version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kinfold.arrays import AnyArray, Float32s, UInt32s
from kinfold.config import Seeds
from kinfold.errors import InputError, UnknownNameError
from kinfold.index import StoredIndex, StoredModel
from kinfold.index.ids import Id
from kinfold.search.fusion import FUSIONS, Fusion
from kinfold.search.ranker import Question
from kinfold.search.seeds import SEEDS
from kinfold.search.selection import MOST_EXAMPLES, NO_SELECTION, FilterLike, Selection
from kinfold.validate import as_queries

KNN = "knn"
"""The model name that asks for plain nearest neighbours."""


class Reader:
    """Reads what is asked of one version; every refusal says what was expected.

    Parameters
    ----------
    models:
        The names that may be asked for.
    """

    def __init__(self, stored: StoredIndex, models: list[str]) -> None:
        self._stored = stored
        self._models = models

    def question(
        self,
        model: str | Sequence[str] | None,
        k_q: int | None,
        seeds: Seeds | None,
        fusion: Fusion | None = None,
    ) -> Question:
        """How to search."""
        names = [self._stored.manifest.default_model] if model is None else model
        names = [names] if isinstance(names, str) else list(names)
        if not names:
            raise InputError("model: expected at least one name, found none")
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise InputError(f"model: {repeated[0]!r} is named twice")
        if k_q is not None:
            k_q = self.count("k_q", k_q)
        if seeds is not None and seeds not in SEEDS:
            raise InputError(f"seeds: expected {_either(SEEDS)}, found {seeds!r}")
        if fusion is not None and fusion not in FUSIONS:
            raise InputError(f"fusion: expected {_either(FUSIONS)}, found {fusion!r}")
        return Question([self.model(name) for name in names], k_q, seeds, fusion or FUSIONS[0])

    def selection(
        self,
        filter: FilterLike | None,
        offset: int,
        min_similarity: float | None,
        group_by: str | None,
        group_size: int,
    ) -> Selection | None:
        """What was asked for beyond the k best, checked; None: nothing."""
        plain = filter is None and min_similarity is None and group_by is None
        if plain and offset == 0 and group_size == 1:
            return None  # as most searches are
        asked = Selection.checked(filter, offset, min_similarity, group_by, group_size)
        return None if asked == NO_SELECTION else asked

    def queries(self, given: AnyArray | Sequence[float]) -> Float32s:
        """Queries, checked, (m, d): projected if they are as long as vectors once were."""
        stored = self._stored
        projection, dimension = stored.extras.projection, stored.manifest.dimension
        normalises = stored.measure.normalises
        if projection is None or projection.dimension != _length(given):
            return as_queries(given, dimension, normalises)
        return as_queries(self.reduced(given), dimension, normalises)

    def reduced(self, given: AnyArray | Sequence[float]) -> Float32s:
        """Vectors as long as they once were, (m, d'), as the index has them, (m, d)."""
        projection = self._stored.extras.projection
        if projection is None:
            raise InputError("this index has not reduced the dimension of its vectors")
        long = as_queries(given, projection.dimension, self._stored.measure.normalises)
        return projection.apply(long)

    def positions(self, ids: Sequence[Id]) -> UInt32s:
        """Gallery positions of ids; raises `UnknownNameError`."""
        return np.array([self._stored.ids.position(item) for item in ids], dtype=np.uint32)

    def examples(
        self, positive: Sequence[Id], negative: Sequence[Id]
    ) -> tuple[Float32s, UInt32s, UInt32s]:
        """The vector that stands for examples, and their positions."""
        for name, ids in (("positive", positive), ("negative", negative)):
            if isinstance(ids, str | int | np.integer):
                raise InputError(f"{name}: expected a list of ids, found the single value {ids!r}")
        if len(positive) == 0 or len(positive) + len(negative) > MOST_EXAMPLES:
            raise InputError(
                f"positive: expected at least one example, and at most {MOST_EXAMPLES} with the "
                f"negative ones; found {len(positive)} and {len(negative)}"
            )
        liked, disliked = self.positions(positive), self.positions(negative)
        repeated = np.flatnonzero(np.bincount(np.concatenate([liked, disliked])) > 1)
        if repeated.size:
            named = self._stored.ids.of(repeated[:1].astype(np.uint32)).tolist()[0]
            raise InputError(f"positive and negative: the example {named!r} is named twice")
        vector = self._stored.vectors[liked].mean(axis=0, dtype=np.float64)
        if disliked.size:
            vector = 2 * vector - self._stored.vectors[disliked].mean(axis=0, dtype=np.float64)
        if self._stored.measure.normalises and not vector.astype(np.float32).any():
            raise InputError(
                "positive and negative: the examples cancel each other out and have no direction, "
                "so cosine similarity is undefined for them; choose others"
            )
        query = as_queries(vector, self._stored.manifest.dimension, self._stored.measure.normalises)
        return query, liked, disliked

    def model(self, name: str) -> StoredModel | None:
        """The model of a name; None is plain kNN."""
        if name == KNN:
            return None
        if name not in self._stored.models:
            raise UnknownNameError(
                f"no model {name!r} in this index; it has: {', '.join(self._models)}"
            )
        return self._stored.models[name]

    def count(self, name: str, value: int, *, itself: bool = False, bounded: bool = True) -> int:
        """A number of items: at least 1, and when `bounded` no more than there are."""
        most = self._stored.manifest.rows - 1 if itself else self._stored.manifest.rows
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise InputError(f"{name}: expected a whole number of at least 1, found {value!r}")
        if bounded and value > most:
            besides = " besides the item itself" if itself else ""
            raise InputError(f"{name} = {value}, but the gallery holds {most} items{besides}")
        return int(value)


def _length(given: AnyArray | Sequence[Any]) -> int | None:
    """Of the last axis, where there is one."""
    if isinstance(given, np.ndarray):
        return int(given.shape[-1]) if given.ndim else None
    first = given[0] if len(given) else None
    return len(first) if isinstance(first, Sequence | np.ndarray) else len(given)


def _either(names: Sequence[str]) -> str:
    return " or ".join(repr(name) for name in names)
