"""Hostile names and values, keys, errors, an overloaded service and none at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from page_support import HOSTILE, TEXTS, hits, searched, wait_for

from benchmarks.dependability.processes import Service
from service.security.store import create_key

LOADING = "Failed to load resource"


def test_hostile_texts_are_shown_as_text(open_page: Any) -> None:
    page = open_page("#texts/search")
    page.wait_for_selector("#items .plate")
    seen = set(page.locator("#items .plate-id").all_inner_texts())
    assert any(text.startswith(TEXTS[0]) for text in seen)
    page.locator("#items .pick").first.focus()
    searched(page, lambda: page.keyboard.press("Enter"))
    assert len(hits(page, "default")) == 24
    tile = page.locator(".column[data-name=default] .tile").first
    tile.hover()
    page.wait_for_selector("#card:not([hidden])")
    assert "<b>bold</b>" in page.locator("#card").inner_text()
    tile.locator("[name=explain]").click()
    page.wait_for_selector("dialog[open] svg")
    page.keyboard.press("Escape")
    page.click("#show-filters")
    page.get_by_label("Column").select_option("<b>bold</b>")
    page.get_by_role("button", name="Add filter").click()
    page.wait_for_selector(".chip")
    assert page.locator(".chip").inner_text().startswith("<b>bold</b> is true")
    for element in ("b", "script:not([src])", "svg[onload]", "img[onerror]"):
        assert page.locator(f"body {element}").count() == 0


def test_a_hostile_file_name(open_page: Any) -> None:
    page = open_page("#colours/search")
    page.wait_for_selector("#items .tile")
    page.fill("#id-field", HOSTILE)
    searched(page, lambda: page.keyboard.press("Enter"))
    assert page.locator("#query h1").inner_text() == HOSTILE
    wait_for(page, "document.querySelector('#query img').naturalWidth > 0")
    assert page.title().startswith(HOSTILE)
    assert page.locator("img[onerror]").count() == 0


def test_hostile_addresses(open_page: Any) -> None:
    page = open_page("#%/%E0%A4%A/x?filter=[&k=9e9&crop=a,b&min=x&m=%3Cb%3E", allowed=(LOADING,))
    page.wait_for_selector("#overview h1")
    for hash_ in ("#texts/search?id=%3Cscript%3E", "#nothing/<script>alert(1)</script>"):
        page.evaluate("document.querySelector('#alerts').replaceChildren()")
        page.evaluate(f"location.hash = {hash_!r}")
        page.wait_for_selector(".alert.error")


def test_errors_are_said_in_words(open_page: Any) -> None:
    page = open_page("#colours/search?id=missing.png", allowed=(LOADING,))
    alert = page.get_by_role("alert")
    alert.get_by_text("No such item").wait_for()
    assert "missing.png" in alert.inner_text()
    page.fill("#id-field", "ColourA-0.png")
    searched(page, lambda: page.keyboard.press("Enter"))
    assert page.locator(".alert.error").count() == 0
    page.evaluate("location.hash = '#colours/search?id=ColourA-0.png&kq=9999'")
    alert.get_by_text("More than allowed").or_(alert.get_by_text("cannot be used")).wait_for()
    page.get_by_role("button", name="Dismiss").first.click()
    assert page.locator(".alert").count() == 0


def test_it_waits_once_where_the_service_says_so(open_page: Any) -> None:
    page = open_page("#colours/search", allowed=(LOADING,))
    page.wait_for_selector("#items .tile")
    refused: list[str] = []

    def refuse_once(route: Any) -> None:
        if "knn" in (route.request.post_data or "") and not refused:
            refused.append(route.request.url)
            route.fulfill(
                status=503,
                headers={"Retry-After": "1", "Content-Type": "application/problem+json"},
                body='{"type": "/docs#overloaded", "title": "Too many searches", "status": 503}',
            )
        else:
            route.continue_()

    page.route("**/search", refuse_once)
    page.fill("#id-field", "ColourA-0.png")
    searched(page, lambda: page.keyboard.press("Enter"))
    assert len(refused) == 1
    assert page.locator(".alert").count() == 0


@pytest.fixture(scope="module")
def locked(place: Path) -> Iterator[tuple[Service, str, Service]]:
    """A service with keys, a token of it, and one that a test may end."""
    keys = place / "keys.json"
    token = str(create_key(keys, "read")[1])
    log = place / "locked.log"
    with (
        Service(place / "data", log, auth="on", keys=keys) as service,
        Service(place / "data", place / "ending.log") as ending,
    ):
        client = service.client(api_key=token)
        with client:
            service.wait_until_ready()
        ending.wait_until_ready()
        yield service, token, ending


def test_a_key_is_asked_for(open_page: Any, locked: tuple[Service, str, Service]) -> None:
    service, token, _ = locked
    page = open_page("#colours/search", url=service.url, allowed=(LOADING,))
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Key").fill("kf_wrong")
    page.keyboard.press("Enter")
    dialog.get_by_text("does not accept this key").wait_for()
    dialog.get_by_label("Key").fill(token)
    page.keyboard.press("Enter")
    page.wait_for_selector("#items .tile")
    wait_for(page, "document.querySelector('#items img').naturalWidth > 0")
    assert page.locator("#items img").first.get_attribute("src").startswith("blob:")
    searched(page, page.locator("#items .pick").first.click)
    assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
    assert token not in page.url
    assert page.evaluate("sessionStorage.getItem('kinfold-key')") == token
    page.evaluate("location.hash = '#colours/versions'")
    page.wait_for_selector(".is-live")
    page.get_by_role("button", name="Forget key").click()
    page.get_by_role("dialog").wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("alert").get_by_text("No valid API key").first.wait_for()


def test_a_service_that_is_gone_is_told_of(
    open_page: Any, locked: tuple[Service, str, Service]
) -> None:
    ending = locked[2]
    page = open_page("#colours/search", url=ending.url, allowed=(LOADING,))
    page.wait_for_selector("#items .tile")
    ending.stop()
    page.fill("#id-field", "ColourA-0.png")
    page.keyboard.press("Enter")
    page.get_by_role("alert").get_by_text("No connection").wait_for()
    ending.start()
    ending.wait_until_ready()
    wait_for(page, "document.querySelectorAll('.alert').length === 0")
