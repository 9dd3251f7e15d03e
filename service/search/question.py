"""A search that was read: what is asked, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kinfold.arrays import Float32s
from kinfold.config import Seeds
from kinfold.index.ids import Id
from kinfold.search import Filter, Index
from kinfold.search.fusion import Fusion
from service.requests import SearchOptions


@dataclass(frozen=True, slots=True)
class How:
    """How a search is done: what the library is told beside the queries.

    Hashable: searches that are done in the same way may be done in one call.
    """

    models: tuple[str, ...]
    k: int
    k_q: int | None
    seeds: Seeds | None
    fusion: Fusion | None
    filter: Filter | None
    offset: int
    min_similarity: float | None
    group_by: str | None
    group_size: int

    def options(self) -> dict[str, Any]:
        """The same as keywords of `kinfold.Index.search`."""
        return {
            "k": self.k,
            "model": self.models,
            "k_q": self.k_q,
            "seeds": self.seeds,
            "fusion": self.fusion,
            "filter": self.filter,
            "offset": self.offset,
            "min_similarity": self.min_similarity,
            "group_by": self.group_by,
            "group_size": self.group_size,
        }


@dataclass(frozen=True, slots=True)
class Search:
    """A search that was read and fits its collection: (m, d) queries, m ids, or examples."""

    queries: Float32s | None
    ids: Sequence[Id]
    options: SearchOptions
    positive: Sequence[Id] = ()
    negative: Sequence[Id] = ()

    def __len__(self) -> int:
        if self.positive:
            return 1
        return len(self.ids) if self.queries is None else int(self.queries.shape[0])

    def names(self, index: Index) -> list[str]:
        """The models that it asks for."""
        return self.options.model or [index.manifest.default_model]

    def how(self, index: Index) -> How:
        """How it is done."""
        options = self.options
        return How(
            models=tuple(self.names(index)),
            k=options.k,
            k_q=options.k_q,
            seeds=options.seeds,
            fusion=options.fusion,
            filter=options.filter,
            offset=options.offset,
            min_similarity=options.min_similarity,
            group_by=options.group_by,
            group_size=options.group_size,
        )

    @property
    def is_plain(self) -> bool:
        """Whether it asks for the k best of all items, of which there are enough or it fails."""
        options = self.options
        return (
            options.filter is None
            and options.offset == 0
            and options.min_similarity is None
            and options.group_by is None
            and not self.positive
        )
