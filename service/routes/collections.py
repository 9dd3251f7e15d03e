"""The collections: listed and described."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.answers import CollectionInfo, CollectionList
from service.collections import describe
from service.description import COLLECTION_EXAMPLE, answered, problems
from service.problems import COLLECTION_FAILED, UNKNOWN_COLLECTION, WARMING_UP
from service.routes.common import CollectionName, as_json
from service.state import service_of

router = APIRouter()


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
    return as_json(CollectionList(collections=service_of(request).collections.states()))


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
    return as_json(describe(*service_of(request).collections.opened(collection)))
