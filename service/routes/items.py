"""The items of a collection: some of them, their small pictures, and a map of all."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from service.answers import ItemList, MapAnswer
from service.description import answered, problems
from service.items import MOST_ITEMS, list_items, position_of, read_wanted
from service.problems import (
    COLLECTION_EMPTY,
    COLLECTION_FAILED,
    INVALID_REQUEST,
    NO_THUMBNAIL,
    UNKNOWN_COLLECTION,
    UNKNOWN_COLUMN,
    UNKNOWN_ID,
    WARMING_UP,
    ProblemError,
)
from service.routes.common import CollectionName
from service.state import service_of

router = APIRouter()

_ALWAYS = (UNKNOWN_COLLECTION, COLLECTION_EMPTY, WARMING_UP, COLLECTION_FAILED)
_FOR_GOOD = "private, max-age=31536000, immutable"


def _parameter(name: str, text: str, schema: dict[str, object]) -> dict[str, object]:
    return {"name": name, "in": "query", "required": False, "description": text, "schema": schema}


_FILTER = {"$ref": "#/components/schemas/FilterForm"}
_LIST = {
    "parameters": [
        _parameter(
            "limit", "How many.",
            {"type": "integer", "minimum": 1, "maximum": MOST_ITEMS, "default": 50},
        ),
        _parameter(
            "offset", "Items that are passed over, in the gallery's order.",
            {"type": "integer", "minimum": 0, "default": 0},
        ),
        _parameter(
            "sample", "Items from all over the gallery instead; another number, others.",
            {"type": "integer", "minimum": 0},
        ),
        {
            "name": "filter", "in": "query", "required": False,
            "description": "Which items, as in a search.",
            "content": {"application/json": {"schema": _FILTER}},
        },
    ]
}  # fmt: skip


@router.get(
    "/v1/collections/{collection}/items",
    tags=["items"],
    summary="List items",
    operation_id="list_items",
    response_model=None,
    responses={
        200: answered(ItemList, "The items, with payload."),
        **problems(INVALID_REQUEST, UNKNOWN_COLUMN, *_ALWAYS),
    },
    openapi_extra=_LIST,
)
async def items(request: Request, collection: CollectionName) -> Response:
    """Items in the gallery's order, or a sample of all: to look around, and to begin a search."""
    service = service_of(request)
    opened = service.collections.ready(collection)
    wanted = read_wanted(request.query_params.multi_items())
    answer = await service.files.run(lambda: orjson.dumps(list_items(opened, wanted)))
    return Response(answer, media_type="application/json")


@router.get(
    "/v1/collections/{collection}/thumbnail",
    tags=["items"],
    summary="A small picture of an item",
    operation_id="get_thumbnail",
    response_model=None,
    response_class=Response,
    responses={
        200: {
            "description": "A JPEG, made when the collection was built; never the file itself.",
            "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}},
        },
        **problems(UNKNOWN_ID, NO_THUMBNAIL, *_ALWAYS),
    },
)
async def thumbnail(
    request: Request,
    collection: CollectionName,
    id: Annotated[str, Query(description="The item; whole numbers as decimals.")],
    version: Annotated[
        str | None,
        Query(description="The version that the id is from: the picture may then be kept."),
    ] = None,
) -> Response:
    """What the item looks like, at most 192 pixels wide and high."""
    service = service_of(request)
    opened = service.collections.ready(collection)

    def job() -> bytes | None:
        found = opened.index.extras.thumbnails
        position = position_of(opened.index, id)
        return None if found is None else found.of(position)

    content = await service.files.run(job)
    if content is None:
        raise ProblemError(NO_THUMBNAIL, "there is no picture of this item", found=id)
    kept = _FOR_GOOD if version == opened.version else "private, no-cache"
    return Response(content, media_type="image/jpeg", headers={"Cache-Control": kept})


@router.get(
    "/v1/collections/{collection}/map",
    tags=["items"],
    summary="A map of the gallery",
    operation_id="get_map",
    response_model=None,
    responses={
        200: answered(MapAnswer, "Items in the plane, related ones beside each other."),
        **problems(*_ALWAYS),
    },
)
async def gallery_map(request: Request, collection: CollectionName) -> Response:
    """The gallery graph laid out in the plane; of a large gallery, that of a sample.

    The first request for a version takes about a second, all others nothing.
    """
    service = service_of(request)
    opened = service.collections.ready(collection)
    content = await service.files.run(lambda: service.atlases.of(opened))
    return Response(content, media_type="application/json")
