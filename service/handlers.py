"""From exceptions to problems: the one place that knows which error means which answer."""

from __future__ import annotations

from typing import cast

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from kinfold.errors import FormatError, InputError, KinfoldError, UnknownNameError
from service.problems import (
    COLLECTION_FAILED,
    INTERNAL_ERROR,
    INVALID_REQUEST,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    UNKNOWN_ID,
    Kind,
    ProblemError,
    to_response,
)
from service.state import service_of

_OF_LIBRARY: tuple[tuple[type[KinfoldError], Kind], ...] = (
    (InputError, INVALID_REQUEST),
    # Collections and models are looked up by the service itself, before a search.
    (UnknownNameError, UNKNOWN_ID),
    (FormatError, COLLECTION_FAILED),
)


def install(app: FastAPI) -> None:
    """Let the application answer errors as problems.

    Anything that has no handler here is answered by `service.middleware.RequestLog`.
    """
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(KinfoldError, _library_error)
    app.add_exception_handler(HTTPException, _routing_error)


async def _problem(request: Request, error: Exception) -> Response:
    return to_response(cast("ProblemError", error), request.scope)


async def _library_error(request: Request, error: Exception) -> Response:
    collections = service_of(request).collections
    for cls, kind in _OF_LIBRARY:
        if isinstance(error, cls):
            detail = collections.without_folder(str(error))
            return to_response(ProblemError(kind, detail), request.scope)
    raise error


async def _routing_error(request: Request, raised: Exception) -> Response:
    """What the router refuses: an unknown path, or a method that the path does not have."""
    error = cast("HTTPException", raised)
    path = request.scope["path"]
    if error.status_code == METHOD_NOT_ALLOWED.status:
        problem = wrong_method(path, request.method, (error.headers or {}).get("Allow", ""))
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


def internal_error() -> ProblemError:
    """What a client learns of a fault of the service: nothing but that there was one."""
    return ProblemError(
        INTERNAL_ERROR, "the service failed at this request; its log has the reason by request_id"
    )
