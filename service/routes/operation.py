"""For those who run the service: health, readiness, and the description of the API."""

from __future__ import annotations

from typing import Any, Literal

import orjson
from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from service.answers import Health, Readiness
from service.description import COLLECTION_EXAMPLE, answered, problems
from service.page import CONTENT_SECURITY_POLICY, render
from service.problems import NOT_READY, ProblemError
from service.routes.common import as_json
from service.security.guard import is_known
from service.state import service_of

router = APIRouter()


@router.get(
    "/healthz",
    tags=["operation"],
    summary="Is the process alive?",
    response_model=None,
    responses={200: answered(Health, "It is.", {"status": "ok"}), **problems()},
)
async def health() -> Response:
    """Answers from the first moment on, whatever the collections do."""
    return as_json(Health(status="ok"))


@router.get(
    "/readyz",
    tags=["operation"],
    summary="Can it answer searches?",
    response_model=None,
    responses={
        200: answered(
            Readiness,
            "All collections of the start are warmed up or failed.",
            {"status": "ready", "collections": [COLLECTION_EXAMPLE]},
        ),
        **problems(NOT_READY),
    },
)
async def readiness(request: Request) -> Response:
    """Ready once every collection of the start is warmed up or failed, unless all of them failed.

    Collections that are added later, and empty ones, do not change that. Names of collections are
    told to who may list them.
    """
    known = is_known(request.scope)
    if problem := request.app.state.security.problem:
        raise ProblemError(NOT_READY, problem)
    collections = service_of(request).collections
    warming, states = collections.unsettled(), collections.states()
    failed = [state.name for state in states if state.status == "failed"]
    usable = any(state.status in ("ready", "warming") for state in states)
    if warming or (failed and not usable):
        said = ", ".join(warming or failed) if known else f"{len(warming or failed)} collections"
        shown: dict[str, Any] = (
            {"collections": [state.model_dump() for state in states]} if known else {}
        )
        raise ProblemError(
            NOT_READY,
            f"warming up: {said}" if warming else f"no collection can be used; failed: {said}",
            **shown,
        )
    degraded = any(state.reason is not None for state in states)
    status: Literal["ready", "degraded"] = "degraded" if degraded else "ready"
    return as_json(Readiness(status=status, collections=states if known else None))


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> Response:
    """The description of this API."""
    return Response(orjson.dumps(request.app.openapi()), media_type="application/json")


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> Response:
    """The same as a page, which asks nothing of any other host."""
    return HTMLResponse(
        render(request.app.openapi()),
        headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY},
    )
