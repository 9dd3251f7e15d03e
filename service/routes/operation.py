"""For those who run the service: health, readiness, and the description of the API."""

from __future__ import annotations

import orjson
from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from service.answers import Health, Readiness
from service.description import COLLECTION_EXAMPLE, answered, problems
from service.page import CONTENT_SECURITY_POLICY, render
from service.problems import NOT_READY, ProblemError
from service.routes.common import as_json
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
            "No collection is warming up any more.",
            {"status": "ready", "collections": [COLLECTION_EXAMPLE]},
        ),
        **problems(NOT_READY),
    },
)
async def readiness(request: Request) -> Response:
    """Ready once every collection is warmed up or failed, unless all of them failed."""
    states = service_of(request).collections.states()
    warming = [state.name for state in states if state.status == "warming"]
    failed = [state.name for state in states if state.status == "failed"]
    if warming or (failed and len(failed) == len(states)):
        raise ProblemError(
            NOT_READY,
            f"warming up: {', '.join(warming)}"
            if warming
            else f"no collection can be used; failed: {', '.join(failed)}",
            collections=[state.model_dump() for state in states],
        )
    return as_json(Readiness(status="degraded" if failed else "ready", collections=states))


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
