"""The collections: listed, described, created, dropped."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from kinfold.errors import UnknownNameError
from kinfold.index.collections import create_collection, drop_collection
from service.answers import CollectionInfo, CollectionList, CollectionState
from service.describing import describe
from service.description import COLLECTION_EXAMPLE, answered, problems
from service.json_body import read_model
from service.problems import (
    BODY_TOO_LARGE,
    BUILD_IN_PROGRESS,
    COLLECTION_EXISTS,
    COLLECTION_FAILED,
    INVALID_JSON,
    INVALID_REQUEST,
    STORAGE_FULL,
    UNKNOWN_COLLECTION,
    UNSUPPORTED_MEDIA_TYPE,
    WARMING_UP,
    ProblemError,
)
from service.routes.common import CollectionName, as_json
from service.state import service_of
from service.version_answers import DroppedCollection, NewCollection

router = APIRouter()

_CREATE = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/NewCollection"},
                "example": {"name": "photos"},
            }
        },
    }
}
_EMPTY_EXAMPLE = {
    **COLLECTION_EXAMPLE,
    "status": "empty",
    "version": None,
    "rows": None,
    "dimension": None,
}


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
    """All collections of the service, those that are empty, warming up or failed included."""
    return as_json(CollectionList(collections=service_of(request).collections.states()))


@router.post(
    "/v1/collections",
    tags=["collections"],
    summary="Create a collection",
    operation_id="create_collection",
    status_code=201,
    response_model=None,
    responses={
        201: answered(CollectionState, "It exists, and is empty.", _EMPTY_EXAMPLE),
        **problems(
            INVALID_JSON, INVALID_REQUEST, BODY_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE,
            COLLECTION_EXISTS, STORAGE_FULL,
        ),
    },
    openapi_extra=_CREATE,
)  # fmt: skip
async def create(request: Request) -> Response:
    """An empty collection, into which a version can be built or imported."""
    service = service_of(request)
    wanted = await read_model(request, NewCollection)
    # For the audit log, which knows the address only.
    request.state.collection = wanted.name
    collections = service.collections

    def job() -> CollectionState:
        create_collection(collections.data, wanted.name)
        collections.changed(wanted.name, None)
        return collections.place(wanted.name).state()

    answer = as_json(await service.files.run(job), 201)
    answer.headers["Location"] = f"/v1/collections/{wanted.name}"
    return answer


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
    service = service_of(request)
    return as_json(await service.files.run(lambda: describe(service.collections, collection)))


@router.delete(
    "/v1/collections/{collection}",
    tags=["collections"],
    summary="Drop a collection",
    operation_id="drop_collection",
    response_model=None,
    responses={
        200: answered(
            DroppedCollection, "It is gone.", {"collection": "photos", "dropped": True}
        ),
        **problems(UNKNOWN_COLLECTION, BUILD_IN_PROGRESS, STORAGE_FULL),
    },
)  # fmt: skip
async def drop(request: Request, collection: CollectionName) -> Response:
    """Remove a collection with all its versions, for good.

    Searches that run are answered; from then on there is no such collection. Other processes
    notice within KINFOLD_WATCH_SECONDS.
    """
    service = service_of(request)
    collections = service.collections
    collections.place(collection)

    def job() -> None:
        try:
            drop_collection(collections.data, collection)
        except UnknownNameError as error:
            # Somebody else was quicker.
            detail = collections.without_folder(str(error))
            raise ProblemError(UNKNOWN_COLLECTION, detail, found=collection) from None
        finally:
            collections.changed(collection, None)

    await service.files.run(job)
    return as_json(DroppedCollection(collection=collection))
