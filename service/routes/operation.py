"""For those who run the service: health, readiness, and the description of the API."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from service.answers import Health, Readiness
from service.description import COLLECTION_EXAMPLE, answered, problems
from service.metrics import CONTENT_TYPE, Looked, metrics_page
from service.metrics.jobs import count_jobs
from service.page import CONTENT_SECURITY_POLICY, render
from service.problems import NOT_FOUND, NOT_READY, ProblemError
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

    Collections that are added later, and empty ones, do not change that. Without the Redis that
    is configured it is degraded: searches go on. Names of collections are told to who may list
    them.
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
    bad = [state for state in states if state.reason is not None]
    reasons = [f"the collection {state.name!r}: {state.reason}" for state in bad]
    if bad and not known:
        reasons = [f"{len(bad)} collections"]
    links = service_of(request).redis
    reasons += [f"{name}: {link.reason}" for name, link in links.items() if not link.up]
    return as_json(
        Readiness(
            status="degraded" if reasons else "ready",
            reasons=reasons,
            collections=states if known else None,
        )
    )


@router.get(
    "/metrics",
    tags=["operation"],
    summary="Metrics for Prometheus",
    response_model=None,
    response_class=PlainTextResponse,
    responses={
        200: {
            "description": "Counted by all processes of the service, in Prometheus' text format.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        **problems(NOT_FOUND),
    },
)
async def metrics(request: Request) -> Response:
    """What docs/monitoring.md lists. Off by KINFOLD_METRICS=off."""
    service = service_of(request)
    if service.settings.metrics == "off":
        raise ProblemError(NOT_FOUND, "metrics are off; KINFOLD_METRICS=on gives them")
    states = service.collections.states()

    def page() -> bytes:
        jobs = count_jobs(service.jobs.queue, [state.name for state in states])
        return metrics_page(Looked(states, jobs))

    return Response(await service.jobs.call(page), media_type=CONTENT_TYPE)


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
