"""Searches."""

from __future__ import annotations

import time

from fastapi import APIRouter, Request
from starlette.responses import Response

from service import search
from service.bodies import ANSWER_TYPES, AnswerKind, answer_kind, body_kind, read_body, until_gone
from service.cache import LONGEST_BODY, AnswerCache, CacheAwayError, answer_key
from service.description import SEARCH_REQUEST, problems, search_answered
from service.metrics import note_search
from service.metrics.names import CACHE
from service.patience import patience_of
from service.pool import Grouped
from service.problems import (
    BODY_TOO_LARGE,
    COLLECTION_FAILED,
    DEADLINE_EXCEEDED,
    INVALID_JSON,
    INVALID_PICTURE,
    INVALID_REQUEST,
    INVALID_VECTORS,
    NO_ENCODER,
    OVERLOADED,
    TOO_MANY,
    UNKNOWN_COLLECTION,
    UNKNOWN_COLUMN,
    UNKNOWN_ID,
    UNKNOWN_MODEL,
    UNSUPPORTED_MEDIA_TYPE,
    WARMING_UP,
    WRONG_DIMENSION,
)
from service.routes.common import CollectionName
from service.stages import Stages
from service.state import service_of

router = APIRouter()


@router.post(
    "/v1/collections/{collection}/search",
    tags=["search"],
    summary="Search a collection",
    response_model=None,
    responses={
        200: search_answered("The best items of each query."),
        **problems(
            INVALID_JSON, UNKNOWN_COLLECTION, UNKNOWN_MODEL, UNKNOWN_ID, BODY_TOO_LARGE,
            UNSUPPORTED_MEDIA_TYPE, INVALID_REQUEST, INVALID_VECTORS, WRONG_DIMENSION, TOO_MANY,
            UNKNOWN_COLUMN, INVALID_PICTURE, NO_ENCODER, OVERLOADED, DEADLINE_EXCEEDED,
            WARMING_UP, COLLECTION_FAILED,
        ),
    },
    openapi_extra=SEARCH_REQUEST,
)  # fmt: skip
async def search_collection(request: Request, collection: CollectionName) -> Response:
    """The k best items for one query or for a batch: by vectors, by ids, or by a picture.

    A search by id leaves the item itself out, one by examples all of them. With `Accept:
    application/msgpack` the answer is MessagePack of the same form.
    """
    service = service_of(request)
    opened = service.collections.ready(collection)
    kind, wanted = body_kind(request.headers), answer_kind(request.headers)
    patience = patience_of(request.headers, service.settings)
    if service.cache is None or not _is_short(request):
        # Not before a short body is read, to which the answer may be known.
        service.pool.refuse_if_full(patience)
    body = await read_body(request, service.settings.max_body_bytes)
    started = time.perf_counter()
    # A form is never sent twice in the same bytes: what parts its parts is drawn each time.
    cache = service.cache if len(body) <= LONGEST_BODY and kind != "form" else None
    key = b""
    if cache is not None:
        key = answer_key(
            opened.name,
            opened.index.version.name,
            body,
            request.scope["query_string"],
            request.headers.get("content-type", ""),
            wanted,
        )
        kept = await _kept(cache, key)
        if kept is not None:
            return _answer(kept, wanted, "hit")
    parameters = request.query_params.multi_items()
    stages = Stages()
    request.state.stages = stages

    def job() -> Grouped:
        if kind == "form":
            content_type = request.headers["content-type"]
            return search.prepare_picture(
                opened, body, content_type, parameters, service.encoders, service.settings,
                started, stages, wanted,
            )  # fmt: skip
        return search.prepare(
            opened, kind, body, parameters, service.settings, started, stages, wanted
        )

    answer: bytes = await service.pool.run(job, lambda: until_gone(request), patience)
    note_search(stages)
    if cache is not None:
        cache.put(key, answer)
    return _answer(answer, wanted, "off" if cache is None else "miss")


def _answer(content: bytes, kind: AnswerKind, cache: str) -> Response:
    headers = {"Vary": "Accept", "X-Cache": cache}
    return Response(content, media_type=ANSWER_TYPES[kind], headers=headers)


def _is_short(request: Request) -> bool:
    declared = request.headers.get("content-length", "")
    return declared.isdecimal() and len(declared) <= 6 and int(declared) <= LONGEST_BODY


async def _kept(cache: AnswerCache, key: bytes) -> bytes | None:
    """What the cache has, if it can be asked."""
    try:
        kept = await cache.get(key)
    except CacheAwayError:
        CACHE["error"].inc()
        return None
    CACHE["miss" if kept is None else "hit"].inc()
    return kept
