"""What the service answers, as models: they describe it, in the API's description and in tests.

Only small answers are made through them; a search writes its answer directly.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from kinfold.config import BuildConfig, Metric
from kinfold.index.ids import Id
from kinfold.index.quality import Evaluation
from kinfold.search.fusion import Fusion

Status = Literal["empty", "warming", "ready", "failed"]


class Share(BaseModel):
    """What one neighbour of the query gave to a hit's score: score = Σ weight · C."""

    id: Id
    similarity: float = Field(description="Of the neighbour to the query.")
    weight: float = Field(description="With which the neighbour seeds the diffusion.")
    contribution: float = Field(description="Its part of the score.")
    share: float = Field(description="Its part of the score, from 0 to 1.")


class Hit(BaseModel):
    """One item found."""

    id: Id
    score: float = Field(
        description="What hits are ranked by. For a diffusion model: relative, comparable within "
        "one query only, 0 or more, 0 where the diffusion did not reach. For knn: the similarity. "
        "For several models: the sum that fusion makes of theirs, as relative; with rrf at most "
        "1/61 a model, with score at most 1 a model."
    )
    similarity: float = Field(
        description="What the collection's metric says of query and item alone: absolute. Cosine: "
        "-1 to 1; l2: above 0, at most 1; inner product: any number."
    )
    group: Any = Field(
        None, description="Only with group_by: the value of its column; null: no value."
    )
    payload: dict[str, Any] | None = Field(None, description="Only with with_payload.")
    explain: list[Share] | None = Field(
        None,
        description="Only with explain: the largest share first; empty where the diffusion did "
        "not reach.",
    )


class QueryResult(BaseModel):
    """What was found for one query."""

    hits: list[Hit] = Field(
        description="The k best, best first. Fewer than k: there are no more, since no other item "
        "passes the filter, is similar enough, or belongs to a group that has room."
    )
    count: int = Field(description="How many hits there are.")
    matched: int = Field(
        description="How many items of the collection pass the filter, the query's own left out; "
        "without a filter all of them."
    )
    reached: int = Field(
        description="How many of the hits, the first ones, the diffusion reached; of several "
        "models, how many any of them ranked. The others follow in the order of plain kNN. "
        "0 for knn."
    )


class SearchAnswer(BaseModel):
    """The answer to a search."""

    collection: str
    version: str = Field(description="The version of the collection that answered.")
    model: str | list[str] = Field(
        description="The model that answered, or a list of those that were fused."
    )
    fusion: Fusion | None = Field(
        None, description="How several models were fused; absent for a single one."
    )
    took_ms: float = Field(
        description="From the arrival of the whole request to the making of the answer."
    )
    results: list[QueryResult] = Field(description="One a query, in the order of the queries.")


class Quality(BaseModel):
    """What was measured when a model's parameters were chosen (`auto`, or `kinfold tune`)."""

    by: Literal["gallery", "labels"] = Field(
        description="By labelled queries, or by the gallery's own groups."
    )
    score: float | None = Field(description="mAP of the parameters that were chosen.")
    score_before: float | None = Field(description="mAP of those that were to be improved.")
    queries: int = Field(description="Hidden items, or labelled queries.")
    reason: str = Field(description="Why these parameters.")


class ModelInfo(BaseModel):
    """One model of a collection: its parameters, and its matrix C."""

    name: str
    parameters: BuildConfig
    stored: int = Field(description="Values of C.")
    mean_row: float = Field(description="Values of a row of C, on average.")
    longest_row: int = Field(description="Values of the longest row of C.")
    dtype: str = Field(description="How the values of C are stored.")
    edges: int = Field(description="Edges of the graph that the diffusion walked.")
    isolated: int = Field(description="Items without an edge.")
    not_converged: int = Field(description="Rows of C that missed the tolerance.")
    mean_iterations: float = Field(description="Iterations that a row took, on average.")
    quality: Quality | None = Field(None, description="Where it was evaluated when it was built.")


class EncoderInfo(BaseModel):
    """What makes vectors of pictures."""

    name: str
    size: list[int] = Field(description="Height and width that pictures are brought to, in pixels.")


class PicturesInfo(BaseModel):
    """What a collection has of pictures."""

    thumbnails: bool = Field(description="Whether its items have small pictures.")
    encoder: EncoderInfo | None = Field(
        description="With what it can be searched by a picture; null: it cannot."
    )


class CollectionInfo(BaseModel):
    """A collection and the version of it that is open; of an empty one, nothing but its name."""

    name: str
    status: Status
    reason: str | None = Field(
        None,
        description="Of a ready collection: why another version, which went live, does not answer.",
    )
    version: str | None = Field(None, description="The version that answers.")
    next: str | None = Field(
        None, description="A version that went live and is being opened and warmed up."
    )
    disk_bytes: int = Field(
        description="Of all its files; one that several versions share counts once."
    )
    created: str | None = Field(None, description="When the version was built, UTC.")
    kinfold_version: str | None = Field(None, description="Which Kinfold built it.")
    rows: int | None = None
    dimension: int | None = None
    metric: Metric | None = None
    ids: Literal["rows", "int64", "string"] | None = Field(
        None, description="Kind of the ids; rows: the row numbers."
    )
    payload_columns: list[str] = []
    engine: Literal["exact", "hnsw", "ivf"] | None = Field(
        None, description="How neighbours are found."
    )
    neighbor_recall: float | None = Field(
        None, description="Of the gallery's neighbour lists; 1 when they are exact."
    )
    default_model: str | None = None
    models: list[str] = Field([], description="What a search may name, the default first.")
    details: list[ModelInfo] = Field([], description="One a diffusion model, in the same order.")
    pictures: PicturesInfo | None = Field(None, description="What it has of pictures.")
    evaluation: Evaluation | None = Field(
        None, description="What `kinfold evaluate --save` measured of this version."
    )


class Item(BaseModel):
    """One item of a collection."""

    id: Id
    payload: dict[str, Any]


class ItemList(BaseModel):
    """Some items of a collection."""

    collection: str
    version: str
    total: int = Field(description="How many there are to be listed.")
    items: list[Item]


class MapAnswer(BaseModel):
    """A map of a collection, or of a sample of it."""

    collection: str
    version: str
    total: int = Field(description="Items of the collection.")
    ids: list[Id] = Field(description="The items that are on the map.")
    x: list[float] = Field(description="Where they are, from 0 to 1.")
    y: list[float]
    edges: list[list[int]] = Field(
        description="Pairs of them, by their place in ids, that are near relatives."
    )


class CollectionState(BaseModel):
    """A collection in a list."""

    name: str
    status: Status
    reason: str | None = Field(
        None,
        description="Why it failed. Of a ready one: why the version that went live does not "
        "answer; the version before it does.",
    )
    version: str | None = Field(None, description="The version that is open.")
    rows: int | None = None
    dimension: int | None = None


class CollectionList(BaseModel):
    """All collections of the service, by name."""

    collections: list[CollectionState]


class Health(BaseModel):
    """The process is alive."""

    status: Literal["ok"]


class Readiness(BaseModel):
    """The service can answer searches."""

    status: Literal["ready", "degraded"] = Field(
        description="degraded: searches are answered, but something is wrong."
    )
    reasons: list[str] = Field([], description="Why it is degraded.")
    collections: list[CollectionState] | None = Field(
        description="null: shown to holders of an API key only."
    )


class ProblemDetails(BaseModel):
    """Any error, RFC 9457."""

    type: str = Field(description="The kind of problem: where /docs explains it.")
    title: str
    status: int
    detail: str = Field(description="What happened, and what to do about it.")
    instance: str = Field(description="The path of the request.")
    request_id: str | None = Field(description="As in the header X-Request-ID, and in the log.")
    expected: Any = Field(None, description="What would have been right, where that can be said.")
    found: Any = Field(None, description="What was there instead, shortened.")
    job: str | None = Field(None, description="Of build-in-progress: the id of that build.")
    collections: list[CollectionState] | None = Field(
        None, description="Of not-ready: how far each collection is."
    )
