"""Uploads: files that builds read."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.description import answered, problems
from service.job_answers import UPLOAD_EXAMPLE, UploadInfo
from service.problems import (
    BODY_TIMEOUT,
    BODY_TOO_LARGE,
    INVALID_SOURCE,
    OVERLOADED,
    STORAGE_FULL,
    UNSUPPORTED_MEDIA_TYPE,
    ProblemError,
    shown,
)
from service.routes.common import as_json
from service.state import service_of
from service.uploading import BodyReader
from workers.uploads import FORMATS, Upload, UploadWriter

router = APIRouter(tags=["builds"])

_PIECE_BYTES = 1 << 20
_TEXT = {
    "application/x-npy": "A .npy file of vectors, (n, d).",
    "application/vnd.apache.parquet": "A Parquet file: a column of vectors, ids, payload.",
    "application/vnd.apache.arrow.file": "An Arrow IPC file (Feather v2) of the same.",
}
_DESCRIBED = "application/x-npy"
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "By its Content-Type. "
        + " ".join(f"`{kind}`: {_TEXT[kind]}" for kind in FORMATS),
        # One that the generators' clients can send: of several kinds of bytes they cannot choose.
        "content": {
            _DESCRIBED: {
                "schema": {
                    "type": "string",
                    "format": "binary",
                    "description": _TEXT[_DESCRIBED],
                }
            }
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
        **problems(
            BODY_TIMEOUT,
            BODY_TOO_LARGE,
            UNSUPPORTED_MEDIA_TYPE,
            INVALID_SOURCE,
            OVERLOADED,
            STORAGE_FULL,
        ),
    },
    openapi_extra=_BODY,
)
async def upload(request: Request) -> Response:
    """Stream a file to the service, which names it; a build then reads it by that name.

    It is kept for KINFOLD_JOB_TTL_HOURS, and for as long as a queued or running build needs it.
    """
    service = service_of(request)
    settings = service.settings
    writer = UploadWriter(settings.data, _content_type(request), settings.max_upload_bytes)
    body = BodyReader(request, settings.max_upload_bytes, settings.body_seconds)
    _check_room(request.headers.get("content-length", ""), settings.data)
    async with service.files.transfer():
        arrived = await service.files.run_transfer(lambda: _receive(body, writer))
    return as_json(UploadInfo(upload=arrived.id, bytes=arrived.bytes, sha256=arrived.sha256), 201)


def _receive(body: BodyReader, writer: UploadWriter) -> Upload:
    """Write a body as it comes."""
    with writer:
        while piece := body.read(_PIECE_BYTES):
            writer.write(piece)
        return writer.finish()


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


def _check_room(declared: str, data: Path) -> None:
    """Refuse at once what will not fit the disk."""
    try:
        free = shutil.disk_usage(data).free
    except OSError:
        return
    if declared.isdecimal() and int(declared) > free:
        raise ProblemError(
            STORAGE_FULL, f"the upload has {declared} bytes, the disk {free} free", expected=free
        )
