"""What the service answers, typed. Members that a later service adds are kept, not refused."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from kinfold.errors import InputError

Id: TypeAlias = int | str
Floats: TypeAlias = npt.NDArray[np.float32]


class Answered(BaseModel):
    """Base of all answers: frozen, and tolerant of members that it does not know."""

    model_config = ConfigDict(frozen=True, extra="allow")


class Share(Answered):
    """What one neighbour of the query gave to a hit's score."""

    id: Id
    similarity: float
    weight: float
    contribution: float
    share: float


class Hit(Answered):
    """One item found: `score` ranks within one query, `similarity` is absolute."""

    id: Id
    score: float
    similarity: float
    group: Any = None
    payload: dict[str, Any] | None = None
    explain: list[Share] | None = None


class Result(Answered):
    """What was found for one query, best first; also as arrays."""

    hits: list[Hit]
    reached: int = 0
    matched: int | None = None

    def __len__(self) -> int:
        return len(self.hits)

    @cached_property
    def ids(self) -> npt.NDArray[Any]:
        """Ids, (k,): int64, or text."""
        found = [hit.id for hit in self.hits]
        return np.array(found, dtype=None if found else np.int64)

    @cached_property
    def scores(self) -> Floats:
        """Scores, (k,)."""
        return np.array([hit.score for hit in self.hits], dtype=np.float32)

    @cached_property
    def similarities(self) -> Floats:
        """Similarities to the query, (k,)."""
        return np.array([hit.similarity for hit in self.hits], dtype=np.float32)


class SearchAnswer(Answered):
    """The answer to a search: a `Result` a query, in their order.

    For a search of a single query `hits`, `ids`, `scores` and `similarities` are its own.
    """

    collection: str
    version: str
    model: str | list[str]
    fusion: str | None = None
    took_ms: float | None = None
    results: list[Result]

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, query: int) -> Result:
        return self.results[query]

    @property
    def single(self) -> Result:
        """The only query's result; raises `InputError` if there are several."""
        if len(self.results) != 1:
            raise InputError(
                f"expected the answer to one query, found {len(self.results)}; take answer[i], or "
                "go through answer.results"
            )
        return self.results[0]

    @property
    def hits(self) -> list[Hit]:
        """Of the only query."""
        return self.single.hits

    @property
    def ids(self) -> npt.NDArray[Any]:
        """Of the only query, (k,)."""
        return self.single.ids

    @property
    def scores(self) -> Floats:
        """Of the only query, (k,)."""
        return self.single.scores

    @property
    def similarities(self) -> Floats:
        """Of the only query, (k,)."""
        return self.single.similarities


class CollectionState(Answered):
    """A collection in a list; `status` is empty, warming, ready or failed."""

    name: str
    status: str
    reason: str | None = None
    version: str | None = None
    rows: int | None = None
    dimension: int | None = None


class CollectionInfo(Answered):
    """A collection and the version of it that is open; an empty one has little to tell."""

    name: str
    status: str
    version: str | None = None
    created: datetime | None = None
    rows: int | None = None
    dimension: int | None = None
    metric: str | None = None
    ids: str | None = None
    payload_columns: list[str] = Field(default_factory=list)
    default_model: str | None = None
    models: list[str] = Field(default_factory=list)
    details: list[dict[str, Any]] = Field(default_factory=list)
    pictures: dict[str, Any] | None = None


class Item(Answered):
    """One item of a collection."""

    id: Id
    payload: dict[str, Any] = Field(default_factory=dict)


class ItemList(Answered):
    """Some items of a collection, of `total` that there are."""

    collection: str
    version: str
    total: int
    items: list[Item]


class GalleryMap(Answered):
    """Items in the plane: `ids`, their places from 0 to 1, and pairs that are near relatives."""

    collection: str
    version: str
    total: int
    ids: list[Id]
    x: list[float]
    y: list[float]
    edges: list[tuple[int, int]]


class VersionInfo(Answered):
    """One version of a collection; `own_bytes` is what removing it would free."""

    version: str
    live: bool
    created: datetime | None = None
    damaged: str | None = None
    rows: int | None = None
    dimension: int | None = None
    models: list[str] = Field(default_factory=list)
    bytes: int | None = None
    own_bytes: int | None = None


class Activated(Answered):
    """A version that is live now.

    Attributes
    ----------
    previous:
        The one that was live before.
    serving:
        Whether the process that was asked answers from it already.
    """

    collection: str
    version: str
    previous: str | None = None
    serving: bool = True


class JobProgress(Answered):
    """How far a build is."""

    phase: str
    done: int
    total: int
    unit: str = "rows"
    stage: str | None = None
    rate: float | None = None
    eta_seconds: float | None = None


class JobError(Answered):
    """Why a build failed."""

    type: str | None = None
    message: str


class BuildResult(Answered):
    """What a build left behind."""

    version: str


class Job(Answered):
    """A build, from the asking on; `status` is queued, running, done, failed or cancelled."""

    id: str
    collection: str
    status: str
    attempt: int = 1
    progress: JobProgress | None = None
    result: BuildResult | None = None
    error: JobError | None = None
    created: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will become of it, unless it is tried again."""
        return self.status in {"done", "failed", "cancelled"}


class Upload(Answered):
    """Data for a build, stored by the service under `upload`."""

    upload: str
    bytes: int
    sha256: str


class Readiness(Answered):
    """Whether the service answers searches: ready, degraded, or not ready with a `reason`.

    Without a key that may list them, `collections` is None. `reasons` say why it is degraded.
    """

    status: str
    reasons: list[str] = Field(default_factory=list)
    collections: list[CollectionState] | None = None
    reason: str | None = None

    @property
    def is_ready(self) -> bool:
        """Whether searches are answered, if with something missing."""
        return self.status in {"ready", "degraded"}


class Snapshot(Answered):
    """A snapshot that was written to a file."""

    path: Path
    bytes: int
    version: str | None = None
