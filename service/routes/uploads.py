"""Uploads: files that builds read."""

from __future__ import annotations

import shutil
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from kinfold.errors import InputError
from service.description import answered, problems
from service.job_answers import UPLOAD_EXAMPLE, UploadInfo
from service.jobs import Jobs
from service.problems import (
    BODY_TOO_LARGE,
    INVALID_SOURCE,
    STORAGE_FULL,
    UNSUPPORTED_MEDIA_TYPE,
    ProblemError,
    shown,
)
from service.routes.common import as_json
from service.state import service_of
from workers.uploads import FORMATS, Upload, UploadWriter

router = APIRouter(tags=["builds"])

_PIECE_BYTES = 1 << 20
_MOST_DIGITS = 18
_TEXT = {
    "application/x-npy": "A .npy file of vectors, (n, d).",
    "application/vnd.apache.parquet": "A Parquet file: a column of vectors, ids, payload.",
    "application/vnd.apache.arrow.file": "An Arrow IPC file (Feather v2) of the same.",
}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            kind: {"schema": {"type": "string", "format": "binary", "description": _TEXT[kind]}}
            for kind in FORMATS
        },
    }
}


@router.put(
    "/v1/uploads",
    summary="Send a file to build from",
    status_code=201,
    response_model=None,
    responses={
        201: answered(UploadInfo, "It is kept durably.", UPLOAD_EXAMPLE),
        **problems(BODY_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, INVALID_SOURCE, STORAGE_FULL),
    },
    openapi_extra=_BODY,
)
async def upload(request: Request) -> Response:
    """Stream a file to the service, which names it; a build then reads it by that name.

    It is kept for KINFOLD_JOB_TTL_HOURS, and for as long as a queued or running build needs it.
    """
    service = service_of(request)
    kind = _content_type(request)
    most = service.settings.max_upload_bytes
    declared = request.headers.get("content-length", "")
    if declared.isdecimal():
        _check_size(declared, most, service.settings.data)
    writer = UploadWriter(service.settings.data, kind, most)
    arrived = await _receive(request, service.jobs, writer)
    return as_json(UploadInfo(upload=arrived.id, bytes=arrived.bytes, sha256=arrived.sha256), 201)


async def _receive(request: Request, jobs: Jobs, writer: UploadWriter) -> Upload:
    """Write the body as it comes, off the event loop, a piece of some size at a time."""
    await jobs.call(writer.__enter__)
    try:
        piece = bytearray()
        async for part in request.stream():
            piece += part
            if len(piece) >= _PIECE_BYTES:
                full, piece = bytes(piece), bytearray()
                await jobs.call(lambda full=full: writer.write(full))  # type: ignore[misc]
        await jobs.call(lambda: writer.write(bytes(piece)))
        return await jobs.call(writer.finish)
    except InputError as error:
        if type(error) is InputError:
            raise ProblemError(INVALID_SOURCE, str(error)) from None
        raise
    finally:
        writer.__exit__(None, None, None)


def _content_type(request: Request) -> str:
    found = request.headers.get("content-type", "none")
    kind = found.partition(";")[0].strip().lower()
    encoding = request.headers.get("content-encoding", "identity").lower()
    if kind not in FORMATS or encoding != "identity":
        raise ProblemError(
            UNSUPPORTED_MEDIA_TYPE,
            f"expected Content-Type {', '.join(FORMATS)} and no Content-Encoding, found "
            f"{shown(found)}" + ("" if encoding == "identity" else f", {shown(encoding)}"),
            expected=list(FORMATS),
            found=found,
        )
    return kind


def _check_size(declared: str, most: int, data: Any) -> None:
    """Refuse at once what is too large, or does not fit the disk; what comes is counted anyway."""
    if len(declared) > _MOST_DIGITS or int(declared) > most:
        raise ProblemError(
            BODY_TOO_LARGE,
            f"expected an upload of at most {most} bytes, found {shown(declared)}",
            expected=most,
            found=declared,
        )
    try:
        free = shutil.disk_usage(data).free
    except OSError:
        return
    if int(declared) > free:
        raise ProblemError(
            STORAGE_FULL, f"the upload has {declared} bytes, the disk {free} free", expected=free
        )
