"""Index: an open version, ready to be searched by any number of threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa

from kinfold.arrays import NOTHING, AnyArray, Float32s, UInt32s
from kinfold.config import Seeds
from kinfold.errors import InputError, UnknownNameError
from kinfold.index import Manifest, StoredIndex, StoredModel, open_stored
from kinfold.index.ids import Id
from kinfold.search.combine import entry
from kinfold.search.fusion import FUSIONS, Fusion
from kinfold.search.hits import Explanation, Hits
from kinfold.search.ranker import Question, Ranker
from kinfold.search.seeds import SEEDS
from kinfold.validate import as_queries

KNN = "knn"
"""The model name that asks for plain nearest neighbours."""


def open_index(path: str | Path) -> Index:
    """Open the index at `path`: the folder of a collection, or of one of its versions.

    All arrays are memory-mapped, so this takes milliseconds whatever the size, and processes that
    open the same version share its pages.

    Raises
    ------
    FormatError
        No index there, one written by a newer Kinfold, or a damaged one.
    """
    return Index(open_stored(Path(path)))


class Index:
    """An open, immutable index."""

    def __init__(self, stored: StoredIndex) -> None:
        self._stored = stored
        self._ranker = Ranker(stored)

    def __len__(self) -> int:
        return self._stored.manifest.rows

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to do: maps are released with the last reference to the index."""

    def __repr__(self) -> str:
        return (
            f"<kinfold.Index {len(self)} × {self.dimension} {self.manifest.metric}, "
            f"models {', '.join(self.models)}, version {self.version.name}>"
        )

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self._stored.manifest.dimension

    @property
    def models(self) -> list[str]:
        """Names that a search may ask for, the default first, ``knn`` last."""
        default = self.manifest.default_model
        others = sorted(name for name in self._stored.models if name != default)
        return [default, *others, KNN]

    @property
    def manifest(self) -> Manifest:
        """How the index was made."""
        return self._stored.manifest

    @property
    def version(self) -> Path:
        """Folder of the open version."""
        return self._stored.version

    @property
    def vectors(self) -> Float32s:
        """(n, d) float32, mapped, read-only; normalised for cosine."""
        return self._stored.vectors

    def position(self, item: Id) -> int:
        """The gallery position of an id; raises `UnknownNameError`."""
        return self._stored.ids.position(item)

    def ids_of(self, positions: UInt32s) -> AnyArray:
        """The user's ids of gallery positions, same shape."""
        return self._stored.ids.of(positions)

    def payload(self, positions: AnyArray) -> list[dict[str, Any]]:
        """Payload rows of gallery positions, (p,), as dictionaries; empty ones without payload."""
        table = self._stored.payload
        flat = np.asarray(positions).reshape(-1)
        if table is None:
            return [{} for _ in flat]
        rows: list[dict[str, Any]] = table.take(pa.array(flat)).to_pylist()
        return rows

    def search(
        self,
        queries: AnyArray | Sequence[float],
        k: int = 10,
        model: str | Sequence[str] | None = None,
        *,
        k_q: int | None = None,
        seeds: Seeds | None = None,
        fusion: Fusion | None = None,
    ) -> Hits:
        """The k best items of each query.

        Parameters
        ----------
        queries:
            (m, d), or one vector (d,); any float or integer dtype, finite.
        k:
            1 <= k <= n.
        model:
            None for the index's default, ``"knn"`` for plain neighbours, a model's name, or
            several of these names to be fused into one ranking.
        k_q:
            Neighbours of the query that may seed the diffusion; None as built.
        seeds:
            ``"plain"`` or ``"reciprocal"``; None as built.
        fusion:
            How several models become one: ``"rrf"`` by reciprocal ranks (the default), or
            ``"score"`` by their scores as shares of each model's best.

        Raises
        ------
        InputError
            Wrong dimension, NaN, zero vector (cosine), k out of range.
        UnknownNameError
            No such model.
        """
        prepared = as_queries(queries, self.dimension, self._stored.measure.normalises)
        k = self._check_count("k", k)
        question = self._question(model, k_q, seeds, fusion)
        return self._hits(*self._ranker.rank(prepared, k, question))

    def search_by_id(
        self,
        ids: Sequence[Id],
        k: int = 10,
        model: str | Sequence[str] | None = None,
        *,
        k_q: int | None = None,
        seeds: Seeds | None = None,
        fusion: Fusion | None = None,
    ) -> Hits:
        """The k best items for items of the gallery, each item itself left out.

        As `search` with the items' own vectors; 1 <= k <= n - 1.
        """
        if isinstance(ids, str | int | np.integer):
            raise InputError(f"ids: expected a list of ids, found the single value {ids!r}")
        k = self._check_count("k", k, itself=True)
        own = np.array([self.position(item) for item in ids], dtype=np.uint32)
        prepared = np.ascontiguousarray(self.vectors[own])
        question = self._question(model, k_q, seeds, fusion)
        wide, wide_scores, wide_similarities, reached = self._ranker.rank(prepared, k + 1, question)
        positions = np.empty((own.size, k), dtype=np.uint32)
        scores = np.empty((own.size, k), dtype=np.float32)
        similarities = np.empty((own.size, k), dtype=np.float32)
        for row in range(own.size):
            mine = np.flatnonzero(wide[row] == own[row])
            gone = int(mine[0]) if mine.size else k
            keep = np.arange(k + 1) != gone
            positions[row] = wide[row][keep]
            scores[row] = wide_scores[row][keep]
            similarities[row] = wide_similarities[row][keep]
            if gone < reached[row]:
                reached[row] -= 1
        return self._hits(positions, scores, similarities, reached)

    def explain(
        self,
        query: AnyArray | Sequence[float],
        id: Id,
        model: str | None = None,
        *,
        k_q: int | None = None,
        seeds: Seeds | None = None,
    ) -> Explanation:
        """Which neighbours of one query gave which share of the score of item `id`."""
        prepared = as_queries(query, self.dimension, self._stored.measure.normalises)
        if prepared.shape[0] != 1:
            raise InputError(f"explain: expected one query, found {prepared.shape[0]}")
        column = self.position(id)
        if model is not None and not isinstance(model, str):
            raise InputError("explain: expected one model, found several; explain them one by one")
        question = self._question(model, k_q, seeds)
        chosen = question.models[0]
        if chosen is None:
            raise InputError("explain: plain kNN has nothing to explain; name a diffusion model")
        wanted = question.seed_count(chosen, len(self))
        found, similarities, weights = self._ranker.seeds(
            self._ranker.neighbors(prepared, wanted), chosen, question
        )
        parts = sorted(
            (
                (float(weight) * entry(chosen, int(seed), column), seed, similarity, weight)
                for seed, similarity, weight in zip(
                    found[0], similarities[0], weights[0], strict=True
                )
                if weight > 0
            ),
            key=lambda part: (-part[0], int(part[1])),
        )
        total = sum(part[0] for part in parts)
        neighbors = self.ids_of(np.array([part[1] for part in parts], dtype=np.uint32)).tolist()
        return Explanation(
            id=id,
            score=total,
            similarity=float(
                self._ranker.similarity(prepared[0], np.array([column], np.uint32))[0]
            ),
            neighbors=neighbors,
            similarities=[float(part[2]) for part in parts],
            weights=[float(part[3]) for part in parts],
            contributions=[part[0] for part in parts],
            shares=[part[0] / total if total > 0 else 0.0 for part in parts],
        )

    def warm_up(self) -> None:
        """Compile the kernels and touch what every query touches, so that none pays for it."""
        # Copies: kernels are compiled apart for read-only arrays, and queries are not read-only.
        probe = self.vectors[:1].copy()
        ranked = np.arange(2, dtype=np.uint32)
        self._ranker.fill(ranked, ranked.copy(), np.zeros(2, dtype=np.float32), 1)
        for model in self.models:
            hits = self.search(probe, 2, model)
            if model != KNN:
                self.explain(probe, hits.ids[0, 0], model)
        self.search(probe, 2, self.models)

    def _hits(
        self, positions: UInt32s, scores: Float32s, similarities: Float32s, reached: AnyArray
    ) -> Hits:
        if (positions == NOTHING).any():
            row = int(np.flatnonzero((positions == NOTHING).any(axis=1))[0])
            count = int((positions[row] != NOTHING).sum())
            raise InputError(
                f"k = {positions.shape[1]}: the approximate {self.manifest.engine} engine found "
                f"only {count} items for query {row}; ask for fewer, or build with "
                "neighbors = 'exact'"
            )
        return Hits(self.ids_of(positions), scores, similarities, positions, reached)

    def _question(
        self,
        model: str | Sequence[str] | None,
        k_q: int | None,
        seeds: Seeds | None,
        fusion: Fusion | None = None,
    ) -> Question:
        """How to search, checked."""
        names = [self.manifest.default_model] if model is None else model
        names = [names] if isinstance(names, str) else list(names)
        if not names:
            raise InputError("model: expected at least one name, found none")
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise InputError(f"model: {repeated[0]!r} is named twice")
        if k_q is not None:
            k_q = self._check_count("k_q", k_q)
        if seeds is not None and seeds not in SEEDS:
            raise InputError(f"seeds: expected {_either(SEEDS)}, found {seeds!r}")
        if fusion is not None and fusion not in FUSIONS:
            raise InputError(f"fusion: expected {_either(FUSIONS)}, found {fusion!r}")
        return Question([self._model(name) for name in names], k_q, seeds, fusion or FUSIONS[0])

    def _model(self, name: str) -> StoredModel | None:
        """The model of a name; None is plain kNN."""
        if name == KNN:
            return None
        if name not in self._stored.models:
            raise UnknownNameError(
                f"no model {name!r} in this index; it has: {', '.join(self.models)}"
            )
        return self._stored.models[name]

    def _check_count(self, name: str, value: int, itself: bool = False) -> int:
        most = len(self) - 1 if itself else len(self)
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise InputError(f"{name}: expected a whole number of at least 1, found {value!r}")
        if value > most:
            without = " besides the item itself" if itself else ""
            raise InputError(f"{name} = {value}, but the gallery holds {most} items{without}")
        return int(value)

    def iterate_rows(self, model: str | None = None) -> Iterator[tuple[UInt32s, Float32s]]:
        """Rows of C one by one as (columns, values): for analysis and tests, not for queries."""
        chosen = self._model(self.manifest.default_model if model is None else model)
        if chosen is None:
            raise InputError("plain kNN has no matrix C; name a diffusion model")
        for row in range(len(self)):
            block, begin, end = chosen.row(row)
            raw = chosen.values[block][begin:end]
            values = raw.view(np.float16) if chosen.is_half else raw
            yield (
                chosen.columns[block][begin:end],
                values.astype(np.float32) / np.float32(chosen.info.value_scale),
            )


def _either(names: Sequence[str]) -> str:
    return " or ".join(repr(name) for name in names)
