"""One search from its body to the bytes of its answer; runs in the pool, on one thread."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from kinfold.arrays import Float32s
from kinfold.errors import UnknownNameError
from kinfold.index.ids import Id
from kinfold.search import Hits, Index
from kinfold.search.fusion import FUSIONS
from kinfold.search.index import KNN
from service.bodies import BodyKind
from service.collections import OpenCollection
from service.problems import (
    INVALID_REQUEST,
    INVALID_VECTORS,
    TOO_MANY,
    UNKNOWN_ID,
    UNKNOWN_MODEL,
    ProblemError,
    shown,
)
from service.requests import SearchOptions, parse_body, parse_parameters
from service.settings import Settings
from service.vectors import as_queries, check_batch, from_npy, from_raw

MOST_EXPLAINED = 100
"""Hits that one request may have explained: each costs about as much as a search."""


@dataclass(frozen=True, slots=True)
class Search:
    """A search that was read and fits its collection: (m, d) queries, or m ids."""

    queries: Float32s | None
    ids: Sequence[Id]
    options: SearchOptions

    def __len__(self) -> int:
        return len(self.ids) if self.queries is None else int(self.queries.shape[0])


def run(
    collection: OpenCollection,
    kind: BodyKind,
    body: bytearray,
    parameters: Sequence[tuple[str, str]],
    settings: Settings,
    started: float,
) -> bytes:
    """Read, check, search, and encode the answer; `started` by ``time.perf_counter``."""
    search = read(collection, kind, body, parameters, settings)
    check(search, collection, settings)
    # `find` looks for what overflowed, so that no step on the way need warn of it.
    with np.errstate(all="ignore"):
        return encode(search, find(search, collection), collection, started)


def read(
    collection: OpenCollection,
    kind: BodyKind,
    body: bytearray,
    parameters: Sequence[tuple[str, str]],
    settings: Settings,
) -> Search:
    """The search that a body of one of the three kinds asks for."""
    dimension = collection.index.dimension
    if kind == "json":
        options = parse_body(body)
        if parameters:
            raise ProblemError(
                INVALID_REQUEST,
                "query parameters go with raw bodies only; put them into the JSON body",
                found=parameters[0][0],
            )
        values = options.vector if options.vector is not None else options.vectors
        if values is None:
            ids = [options.id] if options.id is not None else options.ids or []
            check_batch(len(ids), settings.max_batch)
            return Search(None, ids, options)
        return Search(as_queries(values, dimension, settings.max_batch), [], options)
    raw_options = parse_parameters(parameters)
    values = from_raw(body, dimension) if kind == "raw" else from_npy(body)
    return Search(as_queries(values, dimension, settings.max_batch), [], raw_options)


def check(search: Search, collection: OpenCollection, settings: Settings) -> None:
    """Refuse a model that is not there, and numbers beyond a limit or the collection's size."""
    options = search.options
    names = _names(options, collection.index)
    _check_models(names, options.explain, collection.index)
    rows = len(collection.index)
    wanted = options.k_q or 1
    _at_most("k", options.k, settings.max_k, "this service allows")
    _at_most("k_q", wanted, settings.max_k, "this service allows")
    _at_most("k_q", wanted, rows, "the collection holds")
    if search.queries is None:
        _at_most("k", options.k, rows - 1, "the collection holds besides the item itself")
    else:
        _at_most("k", options.k, rows, "the collection holds")
    product = len(names) * len(search) * max(options.k, wanted)
    what = "queries × k" if len(names) == 1 else "models × queries × k"
    _at_most(what, product, settings.max_hits, "this service allows in one answer")
    if options.explain:
        product = len(search) * options.k
        _at_most("queries × k", product, MOST_EXPLAINED, "this service allows with explain")


def _names(options: SearchOptions, index: Index) -> list[str]:
    """The models that a search asks for."""
    return options.model or [index.manifest.default_model]


def _check_models(names: Sequence[str], explain: bool, index: Index) -> None:
    known = index.models
    strangers = [name for name in names if name not in known]
    if strangers:
        named = " or ".join(repr(shown(name)) for name in strangers)
        raise ProblemError(
            UNKNOWN_MODEL,
            f"no model is called {named}; the collection has {', '.join(known)}",
            expected=known,
            found=strangers[0],
        )
    if explain and len(names) > 1:
        raise ProblemError(
            INVALID_REQUEST,
            f"explain: expected one model, found {', '.join(names)}; explain them one by one",
            expected="one model",
            found=", ".join(names),
        )
    if explain and names[0] == KNN:
        raise ProblemError(
            INVALID_REQUEST, "plain kNN has nothing to explain; name a diffusion model"
        )


def _at_most(name: str, value: int, most: int, whose: str) -> None:
    if value > most:
        raise ProblemError(
            TOO_MANY, f"{name} is {value}, but {whose} {most}", expected=most, found=value
        )


def find(search: Search, collection: OpenCollection) -> Hits:
    """The library's answer, refused where numbers left float32's range on the way."""
    hits = _hits(search, collection.index)
    finite = (np.isfinite(hits.scores) & np.isfinite(hits.similarities)).all(axis=1)
    if not finite.all():
        raise ProblemError(
            INVALID_VECTORS,
            f"the values of query {int(np.argmin(finite))} are so large that its similarities "
            "exceed float32; scale the vectors down",
        )
    return hits


def _hits(search: Search, index: Index) -> Hits:
    k, models = search.options.k, _names(search.options, index)
    k_q, seeds, fusion = search.options.k_q, search.options.seeds, search.options.fusion
    if search.queries is not None:
        return index.search(search.queries, k, models, k_q=k_q, seeds=seeds, fusion=fusion)
    try:
        return index.search_by_id(search.ids, k, models, k_q=k_q, seeds=seeds, fusion=fusion)
    except UnknownNameError:
        _refuse_unknown(search.ids, index)
        raise


def _refuse_unknown(ids: Sequence[Id], index: Index) -> None:
    """Name the id that made a search fail."""
    for item in ids:
        try:
            index.position(item)
        except UnknownNameError as error:
            raise ProblemError(UNKNOWN_ID, str(error), found=item) from None


def encode(search: Search, hits: Hits, collection: OpenCollection, started: float) -> bytes:
    """The answer as JSON."""
    results = [_result(row, hits) for row in range(len(hits))]
    if search.options.with_payload:
        rows = iter(collection.payload.rows(hits.positions.reshape(-1)))
        for result in results:
            for hit in result["hits"]:
                hit["payload"] = next(rows)
    if search.options.explain:
        for row, result in enumerate(results):
            query = _query(search, row, collection.index)
            for hit in result["hits"]:
                hit["explain"] = _shares(query, hit["id"], search.options, collection.index)
    answer = {
        "collection": collection.name,
        "version": collection.index.version.name,
        **_answered(search.options, collection.index),
        "took_ms": round(1000 * (time.perf_counter() - started), 3),
        "results": results,
    }
    # NumPy's own float32 values: as text they are half as long as the float64 of the same value.
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def _answered(options: SearchOptions, index: Index) -> dict[str, Any]:
    """Which model answered, or which ones and how they were fused."""
    names = _names(options, index)
    if len(names) == 1:
        return {"model": names[0]}
    return {"model": names, "fusion": options.fusion or FUSIONS[0]}


def _result(row: int, hits: Hits) -> dict[str, Any]:
    found = [
        {"id": item, "score": score, "similarity": similarity}
        for item, score, similarity in zip(
            hits.ids[row].tolist(), hits.scores[row], hits.similarities[row], strict=True
        )
    ]
    return {"hits": found, "reached": int(hits.reached[row])}


def _query(search: Search, row: int, index: Index) -> Float32s:
    if search.queries is not None:
        query: Float32s = search.queries[row]
        return query
    return np.array(index.vectors[index.position(search.ids[row])])


def _shares(query: Float32s, item: Id, options: SearchOptions, index: Index) -> list[Any]:
    (model,) = _names(options, index)
    told = index.explain(query, item, model, k_q=options.k_q, seeds=options.seeds)
    return [
        {"id": neighbor, "similarity": near, "weight": weight, "contribution": part, "share": share}
        for neighbor, near, weight, part, share in zip(
            told.neighbors,
            told.similarities,
            told.weights,
            told.contributions,
            told.shares,
            strict=True,
        )
        if part > 0
    ]
