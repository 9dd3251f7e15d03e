"""From exceptions to problems: the one place that knows which error means which answer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from kinfold.errors import (
    BusyError,
    FormatError,
    InputError,
    KinfoldError,
    LiveVersionError,
    StorageError,
    TakenNameError,
    UnknownNameError,
)
from service.problems import (
    BODY_TOO_LARGE,
    BUILD_IN_PROGRESS,
    COLLECTION_EXISTS,
    COLLECTION_FAILED,
    INTERNAL_ERROR,
    INVALID_REQUEST,
    INVALID_SOURCE,
    JOB_OVER,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    QUEUE_UNAVAILABLE,
    STORAGE_FULL,
    UNKNOWN_ID,
    UNKNOWN_JOB,
    UNKNOWN_UPLOAD,
    VERSION_LIVE,
    Kind,
    ProblemError,
    to_response,
)
from service.state import service_of
from workers.errors import (
    BuildInProgressError,
    JobStateError,
    QueueUnavailableError,
    SourceError,
    UnknownJobError,
    UnknownUploadError,
    UploadTooLargeError,
)
from workers.logs import service_log

_OF_LIBRARY: tuple[tuple[type[KinfoldError], Kind], ...] = (
    # The narrower first.
    (TakenNameError, COLLECTION_EXISTS),
    (LiveVersionError, VERSION_LIVE),
    (SourceError, INVALID_SOURCE),
    (UploadTooLargeError, BODY_TOO_LARGE),
    (InputError, INVALID_REQUEST),
    (UnknownJobError, UNKNOWN_JOB),
    (UnknownUploadError, UNKNOWN_UPLOAD),
    # Collections and models are looked up by the service itself, before a search.
    (UnknownNameError, UNKNOWN_ID),
    (FormatError, COLLECTION_FAILED),
    (BusyError, BUILD_IN_PROGRESS),
    (JobStateError, JOB_OVER),
    (StorageError, STORAGE_FULL),
)


def install(app: FastAPI, routes: Sequence[APIRoute]) -> None:
    """Let the application, which has these addresses, answer errors as problems.

    Anything that has no handler here is answered by `service.middleware.RequestLog`.
    """
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(KinfoldError, _library_error)
    app.add_exception_handler(HTTPException, partial(_routing_error, routes))
    app.add_exception_handler(RequestValidationError, _invalid_parameters)


async def _problem(request: Request, error: Exception) -> Response:
    return to_response(cast("ProblemError", error), request.scope)


async def _library_error(request: Request, error: Exception) -> Response:
    collections = service_of(request).collections
    if isinstance(error, QueueUnavailableError):
        # Where Redis is, and what it says of itself, is for the log.
        service_log.warning("%s", error)
        problem = ProblemError(
            QUEUE_UNAVAILABLE, "the job queue cannot be reached; searches go on, try again later"
        )
        return to_response(problem, request.scope)
    for cls, kind in _OF_LIBRARY:
        if isinstance(error, cls):
            detail = collections.without_folder(str(error))
            members: dict[str, Any] = (
                {"job": error.job_id} if isinstance(error, BuildInProgressError) else {}
            )
            return to_response(ProblemError(kind, detail, **members), request.scope)
    raise error


async def _invalid_parameters(request: Request, raised: Exception) -> Response:
    """What FastAPI refuses by itself: parameters of a path or of a query string."""
    first = cast("RequestValidationError", raised).errors()[0]
    name = str(first["loc"][-1])
    problem = ProblemError(
        INVALID_REQUEST, f"{name}: {first['msg']}", expected=first["msg"], found=first["input"]
    )
    return to_response(problem, request.scope)


async def _routing_error(
    routes: Sequence[APIRoute], request: Request, raised: Exception
) -> Response:
    """What the router refuses: an unknown path, or a method that the path does not have."""
    error = cast("HTTPException", raised)
    path = request.scope["path"]
    if error.status_code == METHOD_NOT_ALLOWED.status:
        problem = wrong_method(path, request.method, ", ".join(_methods(routes, path)))
    elif error.status_code == NOT_FOUND.status:
        problem = nothing_at(path)
    else:
        raise error
    return to_response(problem, request.scope)


def wrong_method(path: str, method: str, allowed: str) -> ProblemError:
    """An address exists, but does not have this method."""
    return ProblemError(
        METHOD_NOT_ALLOWED,
        f"{path} takes {allowed}, not {method}",
        expected=allowed,
        found=method,
        headers={"Allow": allowed},
    )


def nothing_at(path: str) -> ProblemError:
    """A path names nothing."""
    return ProblemError(NOT_FOUND, f"nothing is at {path}; /docs lists what there is", found=path)


def _methods(routes: Sequence[APIRoute], path: str) -> list[str]:
    """What a path takes; several routes may have it, of which the router names the first."""
    return sorted(
        method for route in routes if route.path_regex.match(path) for method in route.methods or ()
    )


def internal_error() -> ProblemError:
    """What a client learns of a fault of the service: nothing but that there was one."""
    return ProblemError(
        INTERNAL_ERROR, "the service failed at this request; its log has the reason by request_id"
    )
