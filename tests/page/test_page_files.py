"""How the page is served: what it is made of, and what else is not there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from benchmarks.dependability.processes import Service
from service.security.guard import _NAMES
from service.web_files import CONTENT_SECURITY_POLICY, FOLDER, read_files

FILES = read_files()
TEXTS = {name: file.content.decode() for name, file in FILES.items()}


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url) as opened:
        yield opened


def test_everything_in_the_folder_is_served(client: httpx.Client) -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(FILES)
    for name, file in FILES.items():
        answer = client.get(f"/web/{name}")
        assert answer.status_code == 200
        assert answer.content == file.content
        assert answer.headers["content-type"] == file.media_type
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get("/").content == FILES["index.html"].content
    assert client.get("/").headers["content-type"] == "text/html; charset=utf-8"


def test_what_is_known_is_not_sent_again(client: httpx.Client) -> None:
    tag = client.get("/web/main.js").headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}'):
        answer = client.get("/web/main.js", headers={"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == tag
    assert client.get("/web/main.js", headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    "name",
    ["nothing.js", "..%2fweb_files.py", "%2e%2e", "MAIN.JS", "main.js%00", "main.py", "x" * 300],
)
def test_nothing_else_is_there(client: httpx.Client, name: str) -> None:
    answer = client.get(f"/web/{name}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "/docs#not-found"


def test_names_are_what_the_door_lets_through() -> None:
    pattern = _NAMES["file"][0]
    assert all(pattern.fullmatch(name) for name in FILES)


def test_it_is_made_of_small_files_that_ask_no_other_host() -> None:
    for name, text in TEXTS.items():
        assert text.count("\n") < 400, name
        addresses = set(re.findall(r"https?://[^\s\"'`)]+", text))
        assert addresses <= {"http://www.w3.org/2000/svg"}, name
        assert "@import" not in text
        assert "url(" not in text


def test_nothing_is_made_from_text() -> None:
    """Markup, scripts and styles come from the files alone, as the policy demands."""
    unsafe = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|\.style\s*="
    )
    for name, text in TEXTS.items():
        assert not re.search(unsafe, text), name
    page = TEXTS["index.html"]
    assert not re.search(r"\s(style|on\w+)=", page)
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style", page)


def test_every_import_and_element_is_there() -> None:
    ids = re.findall(r'\sid="([\w-]+)"', TEXTS["index.html"])
    assert len(ids) == len(set(ids))
    made = set(re.findall(r'\bid: "([\w-]+)"', "".join(TEXTS.values())))
    for name, text in TEXTS.items():
        for imported in re.findall(r'from "\./([\w.]+)"', text):
            assert imported in FILES, f"{name} imports {imported}"
        for wanted in re.findall(r'\bby\("([\w-]+)"\)', text):
            assert wanted in {*ids, *made}, f"{name} looks for {wanted}"
    named = re.findall(r'(?:src|href)="web/([\w.]+)"', TEXTS["index.html"])
    # All at once, not each when another one asks for it.
    assert set(named) | {"index.html"} == set(FILES)


def test_it_is_part_of_the_package() -> None:
    root = Path(__file__).resolve().parents[2]
    assert 'service = ["web/*"]' in (root / "pyproject.toml").read_text("utf-8")
