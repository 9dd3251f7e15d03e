"""The API's description: committed, complete, and shown without asking any other host."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
from fastapi.routing import APIRoute
from service_client import Client

from service.app import create_app
from service.bodies import MEDIA_TYPES
from service.openapi import COMMITTED, as_text
from service.problems import KINDS, MEDIA_TYPE
from service.routes import all_routes
from service.settings import Settings

DOCUMENT = create_app(Settings.model_construct()).openapi()
OPERATIONS = [
    (f"{method.upper()} {path}", operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]


def test_committed_description_is_the_applications() -> None:
    assert COMMITTED.read_text("utf-8") == as_text(DOCUMENT), "run: python -m service.openapi"


def test_is_served(client: Client) -> None:
    answer = client.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == DOCUMENT


def test_is_made_anew_the_same() -> None:
    assert as_text(create_app(Settings.model_construct(max_k=3)).openapi()) == as_text(DOCUMENT)


def test_every_address_is_described() -> None:
    hidden = {"/openapi.json", "/docs", "/", "/web/{file}"}
    served = {route.path for route in all_routes() if isinstance(route, APIRoute)}
    assert served - hidden == set(DOCUMENT["paths"])


@pytest.mark.parametrize(("name", "operation"), OPERATIONS)
def test_answers_are_described(name: str, operation: dict) -> None:
    assert operation["summary"]
    assert operation["description"]
    responses = operation["responses"]
    assert MEDIA_TYPE in responses["default"]["content"]
    for status, answer in responses.items():
        assert answer["description"], status
        wanted = "application/json" if status.startswith("2") else MEDIA_TYPE
        if status == "200" and name.endswith("/events"):
            wanted = "text/event-stream"
        if status == "200" and {"application/x-tar", "image/jpeg"} & set(answer["content"]):
            continue
        plain = (name, status) == ("GET /metrics", "200")
        wanted = "text/plain" if plain else wanted
        assert set(answer["content"]) - {"application/msgpack"} == {wanted}, status
        assert plain or "$ref" in answer["content"][wanted]["schema"]
    for parameter in operation.get("parameters", []):
        assert parameter["description"]
        assert parameter.get("schema") or parameter["content"]["application/json"]["schema"]


def test_search_takes_every_kind_of_body() -> None:
    search = DOCUMENT["paths"]["/v1/collections/{collection}/search"]["post"]
    assert set(search["requestBody"]["content"]) == set(MEDIA_TYPES)
    assert set(search["responses"]) >= {"200", "400", "404", "413", "415", "422", "503"}


def test_every_reference_leads_somewhere() -> None:
    names = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(DOCUMENT)))
    assert names <= set(DOCUMENT["components"]["schemas"])
    assert {"SearchBody", "SearchAnswer", "ProblemDetails", "CollectionInfo"} <= names


class Page(HTMLParser):
    """Collects what a page would load or link to, its anchors, and whether its tags are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.anchors: set[str] = set()
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        for name, value in attrs:
            if name in ("href", "src", "action"):
                self.addresses.append(value or "")
            if name == "id":
                self.anchors.add(value or "")


def test_page_shows_code_as_code(client: Client) -> None:
    page = client.get("/docs").text
    assert re.search(r"<code>Accept:\s+application/msgpack</code>", page)
    assert "`" not in re.sub(r"<pre>.*?</pre>", "", page, flags=re.DOTALL)


def test_page_asks_no_other_host(client: Client) -> None:
    answer = client.get("/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    page = Page()
    page.feed(answer.text)
    assert not page.scripts
    assert "url(" not in answer.text
    assert "@import" not in answer.text
    assert all(address == "/openapi.json" or address[0] == "#" for address in page.addresses)
    linked = {address[1:] for address in page.addresses if address[0] == "#"}
    assert linked <= page.anchors
    # Where the type of every problem points.
    assert {kind.name for kind in KINDS} <= page.anchors
    for name, _ in OPERATIONS:
        assert name in answer.text
