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
from kinfold.errors import InputError
from kinfold.index import Manifest, StoredIndex, open_stored
from kinfold.index.extras import Extras
from kinfold.index.ids import Id
from kinfold.kernels.combine import keep_allowed
from kinfold.search.combine import entry
from kinfold.search.fusion import Fusion
from kinfold.search.hits import Explanation, Hits
from kinfold.search.ranker import Ranker, without
from kinfold.search.reader import KNN, Reader
from kinfold.search.select import Selector
from kinfold.search.selection import NO_SELECTION, FilterLike, Selection
from kinfold.search.timings import SearchTimings

__all__ = ["KNN", "Index", "open_index"]

_NO_ITEMS: UInt32s = np.empty(0, dtype=np.uint32)


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
        self._selector = Selector(stored, self._ranker)
        self._reader = Reader(stored, self.models)

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

    @property
    def extras(self) -> Extras:
        """Thumbnails, the encoder of pictures, and the projection of queries, if there are any."""
        return self._stored.extras

    def position(self, item: Id) -> int:
        """The gallery position of an id; raises `UnknownNameError`."""
        return self._stored.ids.position(item)

    def ids_of(self, positions: UInt32s) -> AnyArray:
        """The user's ids of gallery positions, same shape."""
        return self._stored.ids.of(positions)

    def checked(self, queries: AnyArray | Sequence[float]) -> Float32s:
        """Queries, (m, d) or (m, d'), as a search takes them: (m, d) float32; errors as there."""
        return self._reader.queries(queries)

    def reduced(self, vectors: AnyArray) -> Float32s:
        """(m, d) of (m, d') vectors, where the index has reduced the dimension of its own.

        Raises
        ------
        InputError
            It has not, or these are none, or not d' long.
        """
        return self._reader.reduced(vectors)

    def matching(self, filter: FilterLike | None) -> UInt32s:
        """Gallery positions of the items that a filter allows, ascending; None: all of them.

        Raises
        ------
        InputError
            A filter or a column that cannot be used.
        """
        asked = Selection.checked(filter, 0, None, None, 1)
        return self._selector.columns.mask(asked.filter).positions

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
        filter: FilterLike | None = None,
        offset: int = 0,
        min_similarity: float | None = None,
        group_by: str | None = None,
        group_size: int = 1,
        timings: SearchTimings | None = None,
    ) -> Hits:
        """The k best items of each query.

        With a filter, an offset, a least similarity or groups a query has min(k, what is left)
        hits: `Hits.counts` says how many, `Hits.matched` how many items the filter allows, and k
        may exceed what there is. Fewer than k hits mean that there are no more.

        Parameters
        ----------
        queries:
            (m, d), or one vector (d,); any float or integer dtype, finite. Where the index has
            reduced the dimension of its vectors, those of the dimension before will do too.
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
        filter:
            Which items may be hits, by the payload: see `kinfold.search.filters`. The diffusion
            runs through the others all the same.
        offset:
            Hits that are passed over, the best ones.
        min_similarity:
            Leave out hits whose similarity is below it, and go on down the ranking.
        group_by:
            A column of the payload of each value of which at most `group_size` hits are given,
            the best ones. Items without a value stand for themselves.
        timings:
            Where to add up what each stage takes.

        Raises
        ------
        InputError
            Wrong dimension, NaN, zero vector (cosine), k out of range, a filter or a column that
            cannot be used.
        UnknownNameError
            No such model.
        """
        prepared = self._reader.queries(queries)
        question = self._reader.question(model, k_q, seeds, fusion)
        selection = self._reader.selection(filter, offset, min_similarity, group_by, group_size)
        if selection is None:
            k = self._reader.count("k", k)
            return self._hits(*self._ranker.rank(prepared, k, question, timings), len(self))
        own = [_NO_ITEMS] * prepared.shape[0]
        k = self._reader.count("k", k, bounded=False)
        return self._selector.select(prepared, own, k, question, selection, timings)

    def search_by_id(
        self,
        ids: Sequence[Id],
        k: int = 10,
        model: str | Sequence[str] | None = None,
        *,
        k_q: int | None = None,
        seeds: Seeds | None = None,
        fusion: Fusion | None = None,
        filter: FilterLike | None = None,
        offset: int = 0,
        min_similarity: float | None = None,
        group_by: str | None = None,
        group_size: int = 1,
        timings: SearchTimings | None = None,
    ) -> Hits:
        """The k best items for items of the gallery, each item itself left out.

        As `search` with the items' own vectors; 1 <= k <= n - 1.
        """
        if isinstance(ids, str | int | np.integer):
            raise InputError(f"ids: expected a list of ids, found the single value {ids!r}")
        question = self._reader.question(model, k_q, seeds, fusion)
        selection = self._reader.selection(filter, offset, min_similarity, group_by, group_size)
        k = self._reader.count("k", k, itself=True, bounded=selection is None)
        own = self._reader.positions(ids)
        prepared = np.ascontiguousarray(self.vectors[own])
        if selection is not None:
            alone = list(own.reshape(-1, 1))
            return self._selector.select(prepared, alone, k, question, selection, timings)
        ranked = self._ranker.rank(prepared, k + 1, question, timings)
        return self._hits(*without(own, *ranked), len(self) - 1)

    def search_examples(
        self,
        positive: Sequence[Id],
        negative: Sequence[Id] = (),
        k: int = 10,
        model: str | Sequence[str] | None = None,
        *,
        k_q: int | None = None,
        seeds: Seeds | None = None,
        fusion: Fusion | None = None,
        filter: FilterLike | None = None,
        offset: int = 0,
        min_similarity: float | None = None,
        group_by: str | None = None,
        group_size: int = 1,
        timings: SearchTimings | None = None,
    ) -> Hits:
        """The k best items for several examples of the gallery at once, these left out.

        One query: what is like all of `positive` and unlike `negative`. A diffusion model ranks by
        the mean of F over the positive examples less its mean over the negative ones (what is not
        positive counts as not reached); where single vectors are compared, in plain kNN and in
        `Hits.similarities`, 2·mean(positive) - mean(negative) stands for them, or the mean of
        the positive ones alone. Options and hits as in `search`; k may exceed what there is.
        """
        question = self._reader.question(model, k_q, seeds, fusion)
        k = self._reader.count("k", k, bounded=False)
        selection = self._reader.selection(filter, offset, min_similarity, group_by, group_size)
        return self._selector.select_like(
            *self._reader.examples(positive, negative),
            k,
            question,
            selection or NO_SELECTION,
            timings,
        )

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
        prepared = self._reader.queries(query)
        if prepared.shape[0] != 1:
            raise InputError(f"explain: expected one query, found {prepared.shape[0]}")
        column = self.position(id)
        if model is not None and not isinstance(model, str):
            raise InputError("explain: expected one model, found several; explain them one by one")
        question = self._reader.question(model, k_q, seeds)
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
        allowed, order = np.ones(2, dtype=np.bool_), ranked.copy()
        for mapped in (allowed, order):
            mapped.flags.writeable = False  # as those of a mask, and of a model, are
        keep_allowed(np.zeros(2, dtype=np.float32), ranked, 0, order, allowed)

    def _hits(
        self,
        positions: UInt32s,
        scores: Float32s,
        similarities: Float32s,
        reached: AnyArray,
        matched: int,
    ) -> Hits:
        if (positions == NOTHING).any():
            row = int(np.flatnonzero((positions == NOTHING).any(axis=1))[0])
            count = int((positions[row] != NOTHING).sum())
            raise InputError(
                f"k = {positions.shape[1]}: the approximate {self.manifest.engine} engine found "
                f"only {count} items for query {row}; ask for fewer, or build with "
                "neighbors = 'exact'"
            )
        m, k = positions.shape
        return Hits(
            self.ids_of(positions), scores, similarities, positions, reached,
            counts=np.full(m, k), matched=np.full(m, matched),
        )  # fmt: skip

    def iterate_rows(self, model: str | None = None) -> Iterator[tuple[UInt32s, Float32s]]:
        """Rows of C one by one as (columns, values): for analysis and tests, not for queries."""
        chosen = self._reader.model(self.manifest.default_model if model is None else model)
        if chosen is None:
            raise InputError("plain kNN has no matrix C; name a diffusion model")
        for row in range(len(self)):
            slots, values = chosen.entries(chosen.slot(row))
            columns = chosen.items(slots)
            ascending = np.argsort(columns)
            yield columns[ascending], values[ascending]
