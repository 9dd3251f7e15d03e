"""OpenTelemetry: a span a request, and below it one a stage of its search.

Where traces go, and under which name, the standard OTEL_… variables say. Nothing of OpenTelemetry
is imported while KINFOLD_OTEL is off.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kinfold import __version__
from kinfold.errors import InputError
from service.metrics.names import NO_ROUTE
from service.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_SERVER_ERROR = 500


def tracing_of(settings: Settings) -> TracerProvider | None:
    """What makes spans and sends them, by the OTEL_… variables; None: tracing is off.

    Raises
    ------
    InputError
        It is on, but the extra is not installed.
    """
    if settings.otel == "off":
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise InputError(
            "KINFOLD_OTEL is on, but OpenTelemetry is not installed; pip install 'kinfold[otel]', "
            "or set KINFOLD_OTEL=off"
        ) from None
    # Resource.create lets OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over these.
    found = Resource.create({SERVICE_VERSION: __version__})
    if str(found.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        found = found.merge(Resource({SERVICE_NAME: "kinfold"}))
    provider = TracerProvider(resource=found)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class Traced:
    """Makes the spans of every request, as part of the trace that its ``traceparent`` names."""

    def __init__(self, app: ASGIApp, provider: TracerProvider) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._app = app
        self._tracer = provider.get_tracer("kinfold.service", __version__)
        self._propagator = TraceContextTextMapPropagator()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        from opentelemetry.trace import SpanKind, Status, StatusCode, format_trace_id

        carrier = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in (b"traceparent", b"tracestate")
        }
        # Wall-clock time of what is measured by perf_counter.
        offset = time.time_ns() - time.perf_counter_ns()
        span = self._tracer.start_span(
            scope["method"],
            context=self._propagator.extract(carrier),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": scope["method"], "url.path": scope["path"]},
        )
        scope.setdefault("state", {})["trace_id"] = format_trace_id(
            span.get_span_context().trace_id
        )

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                status = message["status"]
                span.set_attribute("http.response.status_code", status)
                if status >= _SERVER_ERROR:
                    span.set_status(Status(StatusCode.ERROR))
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            route = getattr(scope.get("route"), "path", NO_ROUTE)
            span.set_attribute("http.route", route)
            span.update_name(f"{scope['method']} {route}")
            self._stages(span, scope, offset)
            span.end()

    def _stages(self, span: Any, scope: Scope, offset: int) -> None:
        from opentelemetry.trace import set_span_in_context

        stages = scope["state"].get("stages")
        if stages is None or not span.is_recording():
            return
        parent = set_span_in_context(span)
        if stages.passed_with:
            span.set_attribute("kinfold.pass_searches", stages.passed_with)
        for stage, begin, seconds in list(stages.spans):
            start = offset + int(1e9 * begin)
            child = self._tracer.start_span(stage, context=parent, start_time=start)
            child.end(start + int(1e9 * seconds))
