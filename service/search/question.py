"""A search that was read: what is asked, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kinfold.arrays import Float32s
from kinfold.index.ids import Id
from kinfold.search import Index
from service.requests import SearchOptions


@dataclass(frozen=True, slots=True)
class Search:
    """A search that was read and fits its collection: (m, d) queries, or m ids."""

    queries: Float32s | None
    ids: Sequence[Id]
    options: SearchOptions

    def __len__(self) -> int:
        return len(self.ids) if self.queries is None else int(self.queries.shape[0])

    def names(self, index: Index) -> list[str]:
        """The models that it asks for."""
        return self.options.model or [index.manifest.default_model]
