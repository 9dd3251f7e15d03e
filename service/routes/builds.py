"""Builds as jobs: asked for, followed, cancelled, tried again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Request
from starlette.responses import Response, StreamingResponse

from indexer import collection_path
from kinfold.errors import InputError
from kinfold.index.collections import holds_collection
from service.bodies import read_body
from service.description import answered, problems
from service.events import MEDIA_TYPE, events
from service.job_answers import (
    BUILD_BODIES,
    CANCELLED_EXAMPLE,
    JOB_EXAMPLE,
    QUEUED_EXAMPLE,
    JobInfo,
    JobList,
)
from service.problems import (
    BODY_TOO_LARGE,
    BUILD_IN_PROGRESS,
    INVALID_JSON,
    INVALID_REQUEST,
    INVALID_SOURCE,
    JOB_OVER,
    OVERLOADED,
    QUEUE_UNAVAILABLE,
    STORAGE_FULL,
    UNKNOWN_COLLECTION,
    UNKNOWN_JOB,
    UNKNOWN_UPLOAD,
    UNSUPPORTED_MEDIA_TYPE,
    ProblemError,
    shown,
)
from service.routes.common import CollectionName, as_json
from service.state import Service, service_of
from workers.errors import UnknownJobError
from workers.jobs import BuildSpec, Job

router = APIRouter(tags=["builds"])

JobName = Annotated[str, Path(description="Id of a job.", examples=[JOB_EXAMPLE["id"]])]

_ADDRESS = "/v1/collections/{collection}/builds"
_MOST_BODY_BYTES = 1 << 20
_MOST_LISTED = 200
_MOST_STREAMS = 256
_JSON = "application/json"
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": False,
        "content": {
            _JSON: {
                "schema": {"$ref": "#/components/schemas/BuildSpec"},
                "examples": {
                    name: {"summary": summary, "value": value}
                    for name, (summary, value) in BUILD_BODIES.items()
                },
            }
        },
    }
}
_ACCEPTED = {
    **answered(JobInfo, "It is kept and queued.", QUEUED_EXAMPLE),
    "headers": {
        "Location": {"description": "The job's address.", "schema": {"type": "string"}},
    },
}


@router.post(
    _ADDRESS,
    summary="Ask for a build",
    status_code=202,
    response_model=None,
    responses={
        202: _ACCEPTED,
        **problems(
            INVALID_JSON, UNKNOWN_COLLECTION, UNKNOWN_UPLOAD, BUILD_IN_PROGRESS, BODY_TOO_LARGE,
            UNSUPPORTED_MEDIA_TYPE, INVALID_REQUEST, INVALID_SOURCE, QUEUE_UNAVAILABLE,
            STORAGE_FULL,
        ),
    },
    openapi_extra=_BODY,
)  # fmt: skip
async def ask_for_build(request: Request, collection: CollectionName) -> Response:
    """Queue a build of a source, of an upload, or of the live version itself.

    The live version keeps answering; the new one goes live when it is complete. A collection has
    one build at a time.
    """
    service = service_of(request)
    _check_collection(service, collection)
    values = await _read_json(request)
    asked_by = getattr(request.state, "key_id", None)

    def enqueue() -> Job:
        return service.jobs.queue.enqueue(collection, BuildSpec.checked(values), asked_by)

    return _accepted(await service.jobs.call(enqueue))


@router.get(
    _ADDRESS,
    summary="List the builds of a collection",
    response_model=None,
    responses={
        200: answered(
            JobList, f"The newest {_MOST_LISTED} that are kept.", {"builds": [JOB_EXAMPLE]}
        ),
        **problems(UNKNOWN_COLLECTION, QUEUE_UNAVAILABLE),
    },
)
async def list_builds(request: Request, collection: CollectionName) -> Response:
    """Builds that are queued or running, and those that ended, for KINFOLD_JOB_TTL_HOURS."""
    service = service_of(request)
    _check_collection(service, collection)
    jobs = await service.jobs.call(lambda: service.jobs.queue.of_collection(collection))
    return as_json(JobList(builds=[JobInfo.of(job) for job in jobs[:_MOST_LISTED]]))


@router.get(
    _ADDRESS + "/{job}",
    summary="How far is a build?",
    response_model=None,
    responses={
        200: answered(JobInfo, "The job as it is now.", JOB_EXAMPLE),
        **problems(UNKNOWN_JOB, QUEUE_UNAVAILABLE),
    },
)
async def describe_build(request: Request, collection: CollectionName, job: JobName) -> Response:
    """Its state, progress with rate and remaining time, and its result or error."""
    return as_json(JobInfo.of(await _job(service_of(request), collection, job)))


class EventStream(StreamingResponse):
    """Server-sent events."""

    media_type = MEDIA_TYPE


@router.get(
    _ADDRESS + "/{job}/events",
    summary="Follow a build",
    response_class=EventStream,
    response_model=None,
    responses={
        200: {
            "description": "Server-sent events: `progress` whenever the job has changed, at once "
            "for the first time, and `end` when it is over, each with the job as its data; then "
            "the stream ends. A comment every 15 s keeps idle connections open.",
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": "#/components/schemas/JobInfo"},
                    "example": f"id: 1\nevent: progress\ndata: {orjson.dumps(JOB_EXAMPLE).decode()}"
                    "\n\n",
                }
            },
        },
        **problems(UNKNOWN_JOB, OVERLOADED, QUEUE_UNAVAILABLE),
    },
)
async def follow_build(request: Request, collection: CollectionName, job: JobName) -> Response:
    """The job as a stream of server-sent events, until it is over."""
    service = service_of(request)
    first = await _job(service, collection, job)
    jobs = service.jobs
    if jobs.streams >= _MOST_STREAMS:
        raise ProblemError(OVERLOADED, f"{_MOST_STREAMS} streams of events are open already")

    async def counted() -> AsyncIterator[bytes]:
        jobs.streams += 1
        try:
            async for line in events(jobs, first, _as_line, request.is_disconnected):
                yield line
        finally:
            jobs.streams -= 1

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return EventStream(counted(), headers=headers)


@router.delete(
    _ADDRESS + "/{job}",
    summary="Cancel a build",
    response_model=None,
    responses={
        200: answered(
            JobInfo,
            "It is cancelled, or still running with `cancel_requested` for about a second.",
            CANCELLED_EXAMPLE,
        ),
        **problems(UNKNOWN_JOB, JOB_OVER, QUEUE_UNAVAILABLE, STORAGE_FULL),
    },
)
async def cancel_build(request: Request, collection: CollectionName, job: JobName) -> Response:
    """At once while it is queued, within about a second while it runs; done stages are kept."""
    service = service_of(request)
    await _job(service, collection, job)
    return as_json(JobInfo.of(await service.jobs.call(lambda: service.jobs.queue.cancel(job))))


@router.post(
    _ADDRESS + "/{job}/retry",
    summary="Try a build again",
    status_code=202,
    response_model=None,
    responses={
        202: _ACCEPTED,
        **problems(
            UNKNOWN_JOB, UNKNOWN_UPLOAD, BUILD_IN_PROGRESS, JOB_OVER, INVALID_SOURCE,
            QUEUE_UNAVAILABLE, STORAGE_FULL,
        ),
    },
)  # fmt: skip
async def retry_build(request: Request, collection: CollectionName, job: JobName) -> Response:
    """Queue a failed or cancelled build again; it goes on from the stages that are done."""
    service = service_of(request)
    await _job(service, collection, job)
    return _accepted(await service.jobs.call(lambda: service.jobs.queue.retry(job)))


def _accepted(job: Job) -> Response:
    answer = as_json(JobInfo.of(job), 202)
    answer.headers["Location"] = f"/v1/collections/{job.collection}/builds/{job.id}"
    return answer


def _as_line(job: Job) -> bytes:
    return orjson.dumps(JobInfo.of(job.but(heartbeat=None)).model_dump(mode="json"))


def _check_collection(service: Service, name: str) -> None:
    """Refuse what is no collection, not even an empty one."""
    try:
        if holds_collection(collection_path(service.settings.data, name)):
            return
    except InputError:
        pass
    raise ProblemError(
        UNKNOWN_COLLECTION,
        f"no collection is called {shown(name)!r}; GET /v1/collections lists them, and "
        "POST /v1/collections makes an empty one",
        found=name,
    )


async def _job(service: Service, collection: str, job_id: str) -> Job:
    """A job of this collection; one of another is none here."""
    job = await service.jobs.call(lambda: service.jobs.queue.get(job_id))
    if job.collection != collection:
        raise UnknownJobError(f"the collection {shown(collection)!r} has no job {job_id[:64]!r}")
    return job


async def _read_json(request: Request) -> dict[str, Any]:
    """The JSON object of a body; none at all is an empty one."""
    body = await read_body(request, _MOST_BODY_BYTES)
    if not body:
        return {}
    found = request.headers.get("content-type", "none")
    if found.partition(";")[0].strip().lower() != _JSON:
        raise ProblemError(
            UNSUPPORTED_MEDIA_TYPE,
            f"expected Content-Type {_JSON}, found {shown(found)}",
            expected=_JSON,
            found=found,
        )
    try:
        values = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ProblemError(INVALID_JSON, f"not valid JSON: {error}") from None
    if not isinstance(values, dict):
        raise ProblemError(
            INVALID_REQUEST, "expected a JSON object", expected="an object", found=values
        )
    return values
