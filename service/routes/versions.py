"""The versions of a collection: listed, activated, removed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from kinfold.errors import FormatError, UnknownNameError
from kinfold.index import versions
from service.activation import follow
from service.describing import describe_version
from service.description import answered, problems
from service.problems import (
    BUILD_IN_PROGRESS,
    COLLECTION_FAILED,
    STORAGE_FULL,
    UNKNOWN_COLLECTION,
    UNKNOWN_VERSION,
    VERSION_DAMAGED,
    VERSION_LIVE,
    ProblemError,
    shown,
)
from service.routes.common import CollectionName, as_json
from service.state import Service, service_of
from service.version_answers import Activated, RemovedVersion, VersionList

router = APIRouter()

VersionName = Annotated[
    str,
    Path(
        description="Name of a version, as the list of versions has it.",
        examples=["20250301T120000.000000Z-0f3a5c9d1e2b"],
    ),
]

_OLD, _NEW = "20250301T120000.000000Z-0f3a5c9d1e2b", "20250302T120000.000000Z-8d41c07be9f3"

LIST_EXAMPLE = {
    "collection": "photos",
    "live": _NEW,
    "serving": _NEW,
    "disk_bytes": 81920,
    "versions": [
        {
            "version": name,
            "live": name == _NEW,
            "bytes": 61440,
            "own_bytes": 20480,
            "damaged": None,
            "created": created,
            "rows": 1000,
            "dimension": 4,
            "models": ["default"],
            "default_model": "default",
        }
        for name, created in ((_OLD, "2025-03-01T12:00:00Z"), (_NEW, "2025-03-02T12:00:00Z"))
    ],
}
ACTIVATED_EXAMPLE = {
    "collection": "photos",
    "version": _OLD,
    "previous": _NEW,
    "serving": True,
}


def _unknown(service: Service, error: UnknownNameError, version: str) -> ProblemError:
    detail = service.collections.without_folder(str(error))
    return ProblemError(UNKNOWN_VERSION, detail, found=shown(version))


@router.get(
    "/v1/collections/{collection}/versions",
    tags=["versions"],
    summary="List the versions",
    response_model=None,
    responses={
        200: answered(VersionList, "All versions on disk, oldest first.", LIST_EXAMPLE),
        **problems(UNKNOWN_COLLECTION),
    },
)
async def list_versions(request: Request, collection: CollectionName) -> Response:
    """What is on disk: each version with its facts, its size, and whether it can be opened."""
    service = service_of(request)
    path = service.collections.path(collection)

    def job() -> VersionList:
        found = versions.describe_versions(path)
        live = [info.name for info in found if info.live]
        opened = service.collections.place(collection).opened
        return VersionList(
            collection=collection,
            live=live[0] if live else None,
            serving=opened.version if opened else None,
            disk_bytes=versions.disk_bytes(path),
            versions=[describe_version(info, service.collections.without_folder) for info in found],
        )

    return as_json(await service.files.run(job))


@router.post(
    "/v1/collections/{collection}/versions/{version}/activate",
    tags=["versions"],
    summary="Activate a version",
    response_model=None,
    responses={
        200: answered(Activated, "It is the live version now.", ACTIVATED_EXAMPLE),
        **problems(
            UNKNOWN_COLLECTION, UNKNOWN_VERSION, VERSION_DAMAGED, COLLECTION_FAILED, STORAGE_FULL
        ),
    },
)  # fmt: skip
async def activate_version(
    request: Request, collection: CollectionName, version: VersionName
) -> Response:
    """Go back to an older version, or forward again, without a pause.

    The version is opened first; a damaged one is refused, and nothing changes. Then it is the
    live one, and the answer waits, up to KINFOLD_DEADLINE_MS, until this process answers from it.
    Other processes follow by themselves, within KINFOLD_WATCH_SECONDS.
    """
    service = service_of(request)
    path = service.collections.path(collection)

    def job() -> str | None:
        before = versions.activate(path, version)
        service.collections.changed(collection, version)
        return before

    try:
        before = await service.files.run(job)
    except UnknownNameError as error:
        raise _unknown(service, error, version) from None
    except FormatError as error:
        detail = service.collections.without_folder(str(error))
        raise ProblemError(VERSION_DAMAGED, f"{detail}; nothing was changed") from None
    seconds = service.settings.deadline_ms / 1000
    return as_json(await follow(service.collections, collection, version, before, seconds))


@router.delete(
    "/v1/collections/{collection}/versions/{version}",
    tags=["versions"],
    summary="Remove a version",
    response_model=None,
    responses={
        200: answered(
            RemovedVersion,
            "It is gone from disk.",
            {"collection": "photos", "version": _OLD, "freed_bytes": 20480},
        ),
        **problems(
            UNKNOWN_COLLECTION, UNKNOWN_VERSION, VERSION_LIVE, BUILD_IN_PROGRESS, STORAGE_FULL
        ),
    },
)  # fmt: skip
async def remove_version(
    request: Request, collection: CollectionName, version: VersionName
) -> Response:
    """Remove a version that is not the live one, and that is not being exported."""
    service = service_of(request)
    path = service.collections.path(collection)
    try:
        freed = await service.files.run(lambda: versions.remove_version(path, version))
    except UnknownNameError as error:
        raise _unknown(service, error, version) from None
    return as_json(RemovedVersion(collection=collection, version=version, freed_bytes=freed))
