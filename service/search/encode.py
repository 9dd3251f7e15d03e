"""The answer to a search, as bytes."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import orjson
import ormsgpack

from kinfold.arrays import NOTHING, Float32s, UInt32s
from kinfold.index.ids import Id
from kinfold.search import Hits, Index
from kinfold.search.fusion import FUSIONS
from service.bodies import AnswerKind
from service.collections import OpenCollection
from service.search.question import Search


def encode(
    search: Search,
    hits: Hits,
    collection: OpenCollection,
    started: float,
    kind: AnswerKind = "json",
) -> bytes:
    """The answer as JSON or MessagePack."""
    options = search.options
    results = [_result(row, hits) for row in range(len(hits))]
    if options.group_by is not None:
        groups = iter(collection.payload.values(options.group_by, _positions(hits)))
        for result in results:
            for hit in result["hits"]:
                hit["group"] = next(groups)
    if options.with_payload:
        rows = iter(collection.payload.rows(_positions(hits)))
        for result in results:
            for hit in result["hits"]:
                hit["payload"] = next(rows)
    if options.explain:
        for row, result in enumerate(results):
            query = _query(search, row, collection.index)
            for hit in result["hits"]:
                hit["explain"] = _shares(query, hit["id"], search, collection.index)
    answer = {
        "collection": collection.name,
        "version": collection.index.version.name,
        **_answered(search, collection.index),
        "took_ms": round(1000 * (time.perf_counter() - started), 3),
        "results": results,
    }
    # NumPy's own float32 values: as text they are half as long as the float64 of the same value.
    if kind == "msgpack":
        return ormsgpack.packb(answer, option=ormsgpack.OPT_SERIALIZE_NUMPY)
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def _answered(search: Search, index: Index) -> dict[str, Any]:
    """Which model answered, or which ones and how they were fused."""
    names = search.names(index)
    if len(names) == 1:
        return {"model": names[0]}
    return {"model": names, "fusion": search.options.fusion or FUSIONS[0]}


def _result(row: int, hits: Hits) -> dict[str, Any]:
    count = int(hits.counts[row])
    found = [
        {"id": item, "score": score, "similarity": similarity}
        for item, score, similarity in zip(
            hits.ids[row, :count].tolist(),
            hits.scores[row, :count],
            hits.similarities[row, :count],
            strict=True,
        )
    ]
    return {
        "hits": found,
        "count": count,
        "matched": int(hits.matched[row]),
        "reached": int(hits.reached[row]),
    }


def _positions(hits: Hits) -> UInt32s:
    """Of all hits, one query after the other."""
    flat: UInt32s = hits.positions[hits.positions != NOTHING]
    return flat


def _query(search: Search, row: int, index: Index) -> Float32s:
    if search.queries is not None:
        query: Float32s = search.queries[row]
        return query
    return np.array(index.vectors[index.position(search.ids[row])])


def _shares(query: Float32s, item: Id, search: Search, index: Index) -> list[Any]:
    (model,) = search.names(index)
    options = search.options
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
