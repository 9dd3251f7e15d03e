"""Snapshots: one version as one archive, out and in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from kinfold.errors import FormatError, KinfoldError, UnknownNameError
from kinfold.index.collections import collection_folder
from kinfold.index.snapshot import SUFFIX, Snapshot, import_snapshot
from kinfold.index.versions import collect_garbage, live_name
from service.activation import follow
from service.description import answered, problems
from service.files import FileWork
from service.problems import (
    BODY_TIMEOUT,
    BODY_TOO_LARGE,
    BUILD_IN_PROGRESS,
    COLLECTION_EMPTY,
    COLLECTION_FAILED,
    INVALID_REQUEST,
    INVALID_SNAPSHOT,
    OVERLOADED,
    STORAGE_FULL,
    UNKNOWN_COLLECTION,
    UNKNOWN_VERSION,
    UNSUPPORTED_MEDIA_TYPE,
    VERSION_DAMAGED,
    ProblemError,
)
from service.routes.common import CollectionName, as_json
from service.routes.versions import ACTIVATED_EXAMPLE
from service.state import Service, service_of
from service.uploading import BodyReader
from service.version_answers import Activated
from workers.logs import service_log

router = APIRouter()

MEDIA_TYPE = "application/x-tar"
_TAKEN = (MEDIA_TYPE, "application/octet-stream")
_BINARY = {"schema": {"type": "string", "format": "binary"}}

_IMPORT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "An archive as the export gives it.",
        # The other one is taken, too; generators make clients of one that cannot choose.
        "content": {MEDIA_TYPE: _BINARY},
    }
}

AskedVersion = Annotated[
    str | None,
    Query(description="Name of a version; absent: the live one.", max_length=128),
]


class _Archive(StreamingResponse):
    """An archive on its way; what it holds is released however the way ends."""

    def __init__(self, snapshot: Snapshot, name: str, files: FileWork) -> None:
        # Names of collections and versions are letters, digits and .-_ alone.
        headers = {
            "Content-Length": str(snapshot.bytes),
            "Content-Disposition": f'attachment; filename="{name}-{snapshot.version}{SUFFIX}"',
            "X-Kinfold-Version": snapshot.version,
        }
        super().__init__(self._stream(), headers=headers, media_type=MEDIA_TYPE)
        self._snapshot = snapshot
        self._files = files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._snapshot.__exit__(None, None, None)
            self._files.end()

    async def _stream(self) -> AsyncIterator[bytes]:
        pieces = self._snapshot.pieces()
        while (piece := await self._files.run_transfer(lambda: next(pieces, None))) is not None:
            yield piece


@router.get(
    "/v1/collections/{collection}/snapshot",
    tags=["versions"],
    summary="Export a version",
    operation_id="export_snapshot",
    response_class=StreamingResponse,
    response_model=None,
    responses={
        200: {"description": "The archive.", "content": {MEDIA_TYPE: _BINARY}},
        **problems(
            UNKNOWN_COLLECTION, UNKNOWN_VERSION, COLLECTION_EMPTY, VERSION_DAMAGED, INVALID_REQUEST,
            OVERLOADED,
        ),
    },
)  # fmt: skip
async def export(
    request: Request, collection: CollectionName, version: AskedVersion = None
) -> Response:
    """The live version, or another one, as one archive; it stays on disk meanwhile.

    Content-Length says how long the archive is. Should a file turn out to be damaged, the
    connection is closed before the end, and no import takes what has arrived.
    """
    service = service_of(request)
    path = service.collections.path(collection)
    service.files.begin()
    snapshot = Snapshot(path, version)
    try:
        await service.files.run(snapshot.__enter__)
        return _Archive(snapshot, collection, service.files)
    except BaseException as error:
        snapshot.__exit__(None, None, None)
        service.files.end()
        if isinstance(error, UnknownNameError):
            detail = service.collections.without_folder(str(error))
            raise ProblemError(UNKNOWN_VERSION, detail, found=version) from None
        if isinstance(error, FormatError):
            if version is None and service.collections.place(collection).status == "empty":
                service.collections.opened(collection)
            detail = service.collections.without_folder(str(error))
            raise ProblemError(VERSION_DAMAGED, detail) from None
        raise


@router.put(
    "/v1/collections/{collection}/snapshot",
    tags=["versions"],
    summary="Import a version",
    operation_id="import_snapshot",
    response_model=None,
    responses={
        200: answered(Activated, "It is the live version now.", ACTIVATED_EXAMPLE),
        **problems(
            BODY_TIMEOUT, BODY_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, INVALID_REQUEST, INVALID_SNAPSHOT,
            BUILD_IN_PROGRESS, COLLECTION_FAILED, OVERLOADED, STORAGE_FULL,
        ),
    },
    openapi_extra=_IMPORT,
)  # fmt: skip
async def import_archive(request: Request, collection: CollectionName) -> Response:
    """A version out of an archive, which goes live when every byte of it has been checked.

    A collection that does not exist is created. Old versions are removed afterwards as after a
    build (KINFOLD_KEEP_VERSIONS). Until the archive is complete nothing changes, and after an
    error nothing is left of it.
    """
    service = service_of(request)
    _check_type(request)
    path = collection_folder(service.collections.data, collection)
    settings = service.settings
    async with service.files.transfer():
        body = BodyReader(request, settings.max_upload_bytes, settings.body_seconds)

        def job() -> tuple[str | None, str]:
            before = _live_or_none(service, collection)
            version = import_snapshot(path, body, settings.max_upload_bytes)
            try:
                collect_garbage(path, settings.keep_versions, settings.keep_hours * 3600)
            except KinfoldError as error:
                # The import has succeeded all the same.
                service_log.warning("old versions of %s were not removed: %s", collection, error)
            service.collections.changed(collection, version)
            return before, version

        try:
            before, version = await service.files.run_transfer(job)
        except FormatError as error:
            detail = service.collections.without_folder(str(error))
            raise ProblemError(INVALID_SNAPSHOT, f"{detail}; nothing was changed") from None
    seconds = settings.deadline_ms / 1000
    return as_json(await follow(service.collections, collection, version, before, seconds))


def _check_type(request: Request) -> None:
    found = request.headers.get("content-type", "none").partition(";")[0].strip().lower()
    encoding = request.headers.get("content-encoding", "identity").lower()
    if found not in _TAKEN or encoding != "identity":
        what = found if encoding == "identity" else f"{found} with Content-Encoding {encoding}"
        raise ProblemError(
            UNSUPPORTED_MEDIA_TYPE,
            f"expected Content-Type {' or '.join(_TAKEN)}, not compressed; found {what}",
            expected=list(_TAKEN),
            found=what,
        )


def _live_or_none(service: Service, collection: str) -> str | None:
    try:
        return live_name(service.collections.data / collection)
    except FormatError:
        return None
