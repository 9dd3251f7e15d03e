"""The map, versions and builds; keys alone, narrow screens, dark ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from page_support import searched, wait_for

import kinfold
from benchmarks.dependability.processes import Service, until
from kinfold.config import BuildConfig

START = "#colours/search?id=ColourA-0.png"
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


def focused(page: Any) -> str:
    return str(page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.id"))


def test_keys_alone(open_page: Any) -> None:
    page = open_page("#colours/search")
    page.wait_for_selector("#items .tile")
    page.keyboard.press("Tab")
    assert focused(page) == "skip"
    page.keyboard.press("?")
    assert page.get_by_role("dialog", name="Keys").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    assert focused(page) == "id-field"
    page.keyboard.type("ColourA-0.png")
    searched(page, lambda: page.keyboard.press("Enter"))
    for _ in range(30):
        page.keyboard.press("Tab")
        if "1: item" in focused(page):
            break
    first = focused(page)
    assert first.startswith("1: item")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("ArrowRight")
    assert focused(page).startswith("2: item")
    page.wait_for_selector("#card:not([hidden])")
    page.keyboard.press("ArrowDown")
    down = int(focused(page).partition(":")[0])
    assert down > 3
    page.keyboard.press("ArrowUp")
    assert focused(page).startswith("2: item")
    page.keyboard.press("End")
    assert focused(page).startswith("24: item")
    page.keyboard.press("Home")
    assert focused(page) == first
    assert page.locator(".column[data-name=knn] .pick[tabindex='0']").count() == 1
    page.locator(".column[data-name=default] .pick[tabindex='0']").focus()
    page.keyboard.press("e")
    page.wait_for_selector("#why-dialog[open]")
    page.keyboard.press("Escape")
    assert focused(page).startswith("1: item")
    searched(page, lambda: page.keyboard.press("+"))
    assert "plus=" in page.url
    assert "hits" in page.locator("#said").inner_text()


def test_a_phone_needs_no_sideways_scroll(open_page: Any) -> None:
    page = open_page(**PHONE)
    seen = {
        "": "#overview .collection-card",
        "#colours/search": "#items .tile",
        "#colours/map": "#map-note:not(:empty)",
        "#colours/versions": ".is-live",
        "#texts/search": "#items .plate",
        START: ".column.is-active .tile",
    }
    for hash_, shown in seen.items():
        page.evaluate(f"location.hash = {hash_!r}")
        page.wait_for_selector(shown)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, hash_
    assert page.locator(".column:visible").count() == 1
    page.locator("#switch button", has_text="kNN").click()
    assert page.locator(".column[data-name=knn]").is_visible()
    tool = page.locator(".column[data-name=knn] .tool").first
    assert tool.bounding_box()["height"] >= 24


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    bright, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_can_be_told_apart(open_page: Any, scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    page.wait_for_selector(".collection-card")

    def colour(name: str) -> str:
        text = page.evaluate(
            "name => getComputedStyle(document.documentElement).getPropertyValue(name).trim()", name
        )
        return str(text if len(text) == 7 else "#" + "".join(2 * c for c in text[1:]))

    assert (_luminance(colour("--ground")) < 0.1) == (scheme == "dark")
    for text, grounds in {
        "--text": ("--ground", "--surface", "--soft", "--plate"),
        "--muted": ("--ground", "--surface", "--soft", "--plate"),
        "--accent-text": ("--ground", "--surface", "--accent-soft", "--soft"),
        "--on-accent": ("--accent",),
        "--up": ("--up-soft",),
        "--bad": ("--bad-soft",),
    }.items():
        for ground in grounds:
            assert _contrast(colour(text), colour(ground)) >= 4.5, (text, ground)
    for part in ("--strong-line", "--accent", "--query"):
        assert _contrast(colour(part), colour("--surface")) >= 3, part


def test_the_map(open_page: Any) -> None:
    page = open_page("#colours/map?id=ColourA-0.png")
    wait_for(page, "document.querySelector('#map-note').innerText.includes('241 items')")
    drawn = """() => {
      const canvas = document.querySelector("#canvas");
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      let sum = 0;
      for (let i = 3; i < data.length; i += 4) sum += data[i] > 0;
      return sum;
    }"""
    wait_for(page, f"({drawn})() > 500")
    page.get_by_role("button", name="Show the hits").click()
    for _ in range(6):
        page.get_by_role("button", name="Zoom in").click()
    page.get_by_role("button", name="Show the hits").click()
    seen = "performance.getEntriesByType('resource').filter(e => e.name.includes('/thumbnail'))"
    wait_for(page, f"{seen}.length > 9")
    page.locator("#canvas").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#map-tip:not([hidden])")
    item = page.locator("#map-tip").inner_text().strip()
    searched(page, lambda: page.keyboard.press("Enter"))
    assert page.locator("#query h1").inner_text() == item
    assert "/search?" in page.url


def test_a_point_of_the_map_is_clicked(open_page: Any) -> None:
    page = open_page("#texts/map")
    wait_for(page, "document.querySelector('#map-note').innerText.includes('60 items')")
    box = page.locator("#canvas").bounding_box()
    before = page.url
    for step in range(400):
        x = box["x"] + box["width"] * (0.2 + 0.6 * (step % 20) / 20)
        y = box["y"] + box["height"] * (0.2 + 0.6 * (step // 20) / 20)
        page.mouse.move(x, y)
        if page.locator("#map-tip").is_visible():
            searched(page, lambda x=x, y=y: page.mouse.click(x, y))
            break
    assert page.url != before
    assert page.locator(".column .plate").count() > 0


@pytest.fixture
def many(place: Path, service: Service) -> str:
    """The address of a collection whose build takes a few seconds, and that is ready."""
    folder = place / "data" / "many"
    if not folder.exists():
        random = np.random.default_rng(9)
        vectors = random.normal(size=(3000, 16)).astype(np.float32)
        kinfold.build(vectors, folder, config=BuildConfig(k_d=8))
    base = f"{service.url}/v1/collections/many"
    until(lambda: httpx.get(base).json().get("status") == "ready", "the collection to be ready")
    return base


def test_builds_and_versions(open_page: Any, many: str) -> None:
    page = open_page("#many/versions")
    page.wait_for_selector(".is-live")
    old = page.locator("#version-list code").first.inner_text()
    config = {"k_d": 30, "alpha": 0.995, "tolerance": 1e-6, "max_iterations": 2000}
    assert httpx.post(f"{many}/builds", json={"config": config}).status_code == 202
    page.reload()
    page.wait_for_selector("#build-list progress")
    wait_for(page, "document.querySelector('#build-list progress')?.value > 0", 30)
    page.wait_for_selector("#build-list .is-done", timeout=60_000)
    page.wait_for_selector("#news:not([hidden])")
    new = page.locator("#news code").inner_text()
    assert new != old
    page.locator("#news").get_by_role("button", name="Reload").click()
    wait_for(page, f"document.querySelector('.is-live').parentElement.innerText.includes('{new}')")
    page.get_by_role("button", name=f"Activate {old}").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert httpx.get(f"{many}/versions").json()["live"] == new
    page.get_by_role("button", name=f"Activate {old}").click()
    page.get_by_role("dialog").get_by_role("button", name="Activate").click()
    wait_for(page, f"document.querySelector('.is-live').parentElement.innerText.includes('{old}')")
    assert httpx.get(f"{many}/versions").json()["live"] == old


def test_a_build_is_cancelled(open_page: Any, many: str) -> None:
    config = {"k_d": 40, "alpha": 0.999, "tolerance": 1e-7, "max_iterations": 5000}
    asked = httpx.post(f"{many}/builds", json={"config": config})
    assert asked.status_code == 202
    page = open_page("#many/versions")
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the build").click()
    page.wait_for_selector("#build-list .is-cancelled")
    assert page.get_by_role("button", name="Try again").first.is_visible()


def test_the_focus_stays_with_the_hits(open_page: Any) -> None:
    page = open_page("#colours/search")
    page.locator("#items .pick").nth(40).click()
    page.wait_for_selector(".column .tile")
    wait_for(page, "document.activeElement.ariaLabel?.startsWith('1: item')")
    assert page.evaluate("scrollY") == 0
    # Another view while a search is under way, and back: it is not lost.
    page.evaluate("location.hash = '#colours/search?id=ColourE-1.png'")
    page.evaluate("location.hash = '#colours/map?id=ColourE-1.png'")
    page.evaluate("location.hash = '#colours/search?id=ColourE-1.png'")
    wait_for(page, "document.querySelector('.column h2') && !document.querySelector('[aria-busy]')")
    wait_for(page, "document.querySelectorAll('.column .tile').length === 48")
