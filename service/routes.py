"""The addresses of the service."""

from __future__ import annotations

import time
from typing import Annotated

import orjson
from fastapi import APIRouter, Path, Request
from pydantic import BaseModel
from starlette.responses import HTMLResponse, Response

from service import search
from service.answers import CollectionInfo, CollectionList, Health, Readiness, SearchAnswer
from service.bodies import body_kind, read_body, until_gone
from service.collections import describe
from service.description import (
    COLLECTION_EXAMPLE,
    SEARCH_EXAMPLE,
    SEARCH_REQUEST,
    answered,
    problems,
)
from service.page import CONTENT_SECURITY_POLICY, render
from service.problems import (
    BODY_TOO_LARGE,
    COLLECTION_FAILED,
    INVALID_JSON,
    INVALID_REQUEST,
    INVALID_VECTORS,
    NOT_READY,
    OVERLOADED,
    TOO_MANY,
    UNKNOWN_COLLECTION,
    UNKNOWN_ID,
    UNKNOWN_MODEL,
    UNSUPPORTED_MEDIA_TYPE,
    WARMING_UP,
    WRONG_DIMENSION,
    ProblemError,
)
from service.state import service_of

router = APIRouter()

CollectionName = Annotated[str, Path(description="Name of a collection.", examples=["photos"])]


def _json(answer: BaseModel) -> Response:
    return Response(orjson.dumps(answer.model_dump(mode="json")), media_type="application/json")


@router.post(
    "/v1/collections/{collection}/search",
    tags=["search"],
    summary="Search a collection",
    response_model=None,
    responses={
        200: answered(SearchAnswer, "The best items of each query.", SEARCH_EXAMPLE),
        **problems(
            INVALID_JSON, UNKNOWN_COLLECTION, UNKNOWN_MODEL, UNKNOWN_ID, BODY_TOO_LARGE,
            UNSUPPORTED_MEDIA_TYPE, INVALID_REQUEST, INVALID_VECTORS, WRONG_DIMENSION, TOO_MANY,
            OVERLOADED, WARMING_UP, COLLECTION_FAILED,
        ),
    },
    openapi_extra=SEARCH_REQUEST,
)  # fmt: skip
async def search_collection(request: Request, collection: CollectionName) -> Response:
    """The k best items for one query or for a batch, by vectors or by ids of the collection.

    A search by id leaves the item itself out.
    """
    service = service_of(request)
    opened = service.collections.ready(collection)
    kind = body_kind(request.headers)
    service.pool.refuse_if_full()
    body = await read_body(request, service.settings.max_body_bytes)
    started = time.perf_counter()
    parameters = request.query_params.multi_items()

    def job() -> bytes:
        return search.run(opened, kind, body, parameters, service.settings, started)

    answer = await service.pool.run(job, lambda: until_gone(request))
    return Response(answer, media_type="application/json")


@router.get(
    "/v1/collections",
    tags=["collections"],
    summary="List the collections",
    response_model=None,
    responses={
        200: answered(
            CollectionList, "All collections, by name.", {"collections": [COLLECTION_EXAMPLE]}
        ),
        **problems(),
    },
)
async def list_collections(request: Request) -> Response:
    """All collections of the service, those that are warming up or failed included."""
    return _json(CollectionList(collections=service_of(request).collections.states()))


@router.get(
    "/v1/collections/{collection}",
    tags=["collections"],
    summary="Describe a collection",
    response_model=None,
    responses={
        200: answered(CollectionInfo, "The collection and the version of it that is open."),
        **problems(UNKNOWN_COLLECTION, WARMING_UP, COLLECTION_FAILED),
    },
)
async def describe_collection(request: Request, collection: CollectionName) -> Response:
    """Size, metric, models, their parameters, and what their computation reported."""
    return _json(describe(*service_of(request).collections.opened(collection)))


@router.get(
    "/healthz",
    tags=["operation"],
    summary="Is the process alive?",
    response_model=None,
    responses={200: answered(Health, "It is.", {"status": "ok"}), **problems()},
)
async def health() -> Response:
    """Answers from the first moment on, whatever the collections do."""
    return _json(Health(status="ok"))


@router.get(
    "/readyz",
    tags=["operation"],
    summary="Can it answer searches?",
    response_model=None,
    responses={
        200: answered(
            Readiness,
            "No collection is warming up any more.",
            {"status": "ready", "collections": [COLLECTION_EXAMPLE]},
        ),
        **problems(NOT_READY),
    },
)
async def readiness(request: Request) -> Response:
    """Ready once every collection is warmed up or failed, unless all of them failed."""
    states = service_of(request).collections.states()
    warming = [state.name for state in states if state.status == "warming"]
    failed = [state.name for state in states if state.status == "failed"]
    if warming or (failed and len(failed) == len(states)):
        raise ProblemError(
            NOT_READY,
            f"warming up: {', '.join(warming)}"
            if warming
            else f"no collection can be used; failed: {', '.join(failed)}",
            collections=[state.model_dump() for state in states],
        )
    return _json(Readiness(status="degraded" if failed else "ready", collections=states))


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> Response:
    """The description of this API."""
    return Response(orjson.dumps(request.app.openapi()), media_type="application/json")


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> Response:
    """The same as a page, which asks nothing of any other host."""
    return HTMLResponse(
        render(request.app.openapi()),
        headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY},
    )
