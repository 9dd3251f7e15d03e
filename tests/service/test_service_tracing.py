"""OpenTelemetry: a span a request, one below it a stage; nothing of it while it is off."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal
from service_client import REPOSITORY, Client

from kinfold.errors import InputError
from service.app import create_app
from service.settings import Settings
from service.tracing import tracing_of
from workers.logs import JsonLines, access_log

trace = pytest.importorskip("opentelemetry.sdk.trace")
from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: E402
from opentelemetry.sdk.trace.export.in_memory_span_exporter import (  # noqa: E402
    InMemorySpanExporter,
)

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = {"traceparent": f"00-{TRACE}-{SPAN}-01"}


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture(scope="module")
def traced(data: Path, exporter: InMemorySpanExporter) -> Iterator[Client]:
    provider = trace.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    app = create_app(Settings(data=data, auth="off", cache="off"), tracing=provider)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(app.router.lifespan_context(app)),
    ):
        client = Client(portal, app)
        client.wait_until_ready()
        yield client
        client.close()


def spans_of(exporter: InMemorySpanExporter, traced: Client, **headers: str) -> list:
    exporter.clear()
    path = "/v1/collections/photos/search"
    answer = traced.send("POST", path, json={"id": 1}, headers=headers)
    assert answer.status_code == 200
    return list(exporter.get_finished_spans())


def test_stages_below_the_request(exporter: InMemorySpanExporter, traced: Client) -> None:
    *stages, server = spans_of(exporter, traced)
    assert server.name == "POST /v1/collections/{collection}/search"
    assert server.kind is trace.trace_api.SpanKind.SERVER
    assert server.parent is None
    assert server.attributes["http.response.status_code"] == 200
    assert server.attributes["http.route"] == "/v1/collections/{collection}/search"
    assert {stage.name for stage in stages} >= {"wait", "decode", "knn", "encode"}
    for stage in stages:
        assert stage.parent.span_id == server.context.span_id
        # Clocks are read one after the other; a millisecond is more than that takes.
        assert stage.start_time >= server.start_time - 1_000_000
        assert stage.end_time <= server.end_time + 1_000_000
    begins = [stage.start_time for stage in stages]
    assert begins == sorted(begins)


def test_part_of_the_callers_trace(exporter: InMemorySpanExporter, traced: Client) -> None:
    *_, server = spans_of(exporter, traced, **PARENT)
    assert f"{server.context.trace_id:032x}" == TRACE
    assert f"{server.parent.span_id:016x}" == SPAN


@pytest.mark.parametrize("value", ["", "00-zz-1-1", "x" * 5000, f"00-{'0' * 32}-{SPAN}-01"])
def test_a_bad_traceparent_begins_a_new_trace(
    exporter: InMemorySpanExporter, traced: Client, value: str
) -> None:
    *_, server = spans_of(exporter, traced, traceparent=value)
    assert server.parent is None


def test_errors_and_unknown_addresses(exporter: InMemorySpanExporter, traced: Client) -> None:
    exporter.clear()
    traced.get("/nothing/here")
    (span,) = exporter.get_finished_spans()
    assert span.name == "GET none"
    assert span.attributes["http.response.status_code"] == 404


def test_the_log_names_the_trace(traced: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger=access_log.name):
        answer = traced.send("GET", "/healthz", headers=PARENT)
    (record,) = [one for one in caplog.records if one.name == access_log.name]
    line = json.loads(JsonLines().format(record))
    assert line["trace_id"] == TRACE
    assert line["request_id"] == answer.headers["x-request-id"]


def test_off_looks_for_nothing(data: Path) -> None:
    """The client of Redis imports the API and the SDK where they are; the service does not."""
    code = (
        "import sys\n"
        "from service.app import create_app\n"
        "from service.settings import Settings\n"
        "create_app(Settings(data=sys.argv[1], auth='off'))\n"
        "assert 'opentelemetry.exporter.otlp' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(data)], cwd=REPOSITORY, check=True, timeout=120)


def test_on_without_the_extra_says_what_to_do(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(InputError, match=r"pip install 'kinfold\[otel\]'"):
        tracing_of(Settings(data=data, otel="on"))


def test_on_exports_by_the_standard_variables(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "search-eu")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    provider = tracing_of(Settings(data=data, otel="on"))
    assert provider is not None
    assert provider.resource.attributes["service.name"] == "search-eu"
    assert not provider.get_tracer("x").start_span("y").is_recording()
    provider.shutdown()
    monkeypatch.delenv("OTEL_SERVICE_NAME")
    provider = tracing_of(Settings(data=data, otel="on"))
    assert provider is not None
    assert provider.resource.attributes["service.name"] == "kinfold"
    provider.shutdown()
