"""Searches."""

from __future__ import annotations

import time

from fastapi import APIRouter, Request
from starlette.responses import Response

from service import search
from service.bodies import ANSWER_TYPES, answer_kind, body_kind, read_body, until_gone
from service.description import SEARCH_REQUEST, problems, search_answered
from service.problems import (
    BODY_TOO_LARGE,
    COLLECTION_FAILED,
    INVALID_JSON,
    INVALID_REQUEST,
    INVALID_VECTORS,
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
            UNKNOWN_COLUMN, OVERLOADED, WARMING_UP, COLLECTION_FAILED,
        ),
    },
    openapi_extra=SEARCH_REQUEST,
)  # fmt: skip
async def search_collection(request: Request, collection: CollectionName) -> Response:
    """The k best items for one query or for a batch, by vectors or by ids of the collection.

    A search by id leaves the item itself out, one by examples all of them. With `Accept:
    application/msgpack` the answer is MessagePack of the same form.
    """
    service = service_of(request)
    opened = service.collections.ready(collection)
    kind, wanted = body_kind(request.headers), answer_kind(request.headers)
    service.pool.refuse_if_full()
    body = await read_body(request, service.settings.max_body_bytes)
    started = time.perf_counter()
    parameters = request.query_params.multi_items()

    def job() -> bytes:
        return search.run(opened, kind, body, parameters, service.settings, started, wanted)

    answer = await service.pool.run(job, lambda: until_gone(request))
    return Response(answer, media_type=ANSWER_TYPES[wanted], headers={"Vary": "Accept"})
