"""Searching with the page: begin, click through, compare, explain, filter, bring a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from page_support import EACH, ROWS, hits, searched, wait_for

from benchmarks.dependability.processes import Service

START = "#colours/search?id=ColourA-0.png"


def parameters(page: Any) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).fragment.partition("?")[2])


def test_choosing_a_collection(open_page: Any) -> None:
    page = open_page()
    page.get_by_role("link", name="colours").click()
    page.wait_for_selector("#items .tile")
    overview = page.locator("#overview")
    assert overview.get_by_role("heading", name="colours").is_visible()
    facts = overview.locator(".facts-row").inner_text()
    assert f"{ROWS}" in facts
    assert "cosine" in facts
    overview.locator("summary").first.click()
    assert overview.get_by_role("heading", name="far").is_visible()
    overview.locator(".model summary").nth(1).click()
    assert "0.99" in overview.locator(".model").nth(1).inner_text()
    shown = page.locator("#items .pick").first.get_attribute("aria-label")
    page.get_by_role("button", name="Others").click()
    wait_for(page, f"document.querySelector('#items .pick').ariaLabel !== {json.dumps(shown)}")
    page.go_back()
    wait_for(page, f"document.querySelector('#items .pick').ariaLabel === {json.dumps(shown)}")
    page.select_option("#collection-field", "texts")
    page.wait_for_selector("#items .plate")
    assert page.locator("#no-encoder").is_visible()
    assert not page.locator("#choose").is_visible()


def test_clicking_through(open_page: Any) -> None:
    page = open_page(START)
    page.wait_for_selector(".column[data-name=default] .tile")
    assert page.locator(".column").count() == 2
    second = page.locator(".column[data-name=default] .tile").nth(1)
    name = hits(page, "default")[1].split("item ")[1].split(",")[0]
    searched(page, second.locator(".pick").click)
    assert parameters(page)["id"] == [name]
    assert page.locator("#query h1").inner_text() == name
    searched(page, page.go_back)
    assert parameters(page)["id"] == ["ColourA-0.png"]
    page.reload()
    page.wait_for_selector(".column[data-name=default] .tile")
    image = page.locator(".column[data-name=default] img").first
    wait_for(page, "document.querySelector('.column[data-name=default] img').naturalWidth > 0")
    assert "/thumbnail?id=" in image.get_attribute("src")
    second.hover()
    page.wait_for_selector("#card:not([hidden])")
    card = page.locator("#card").inner_text()
    assert "similarity" in card
    assert "label" in card
    page.keyboard.press("Escape")
    assert page.locator("#card").is_hidden()


def test_models_beside_knn(open_page: Any, service: Service) -> None:
    page = open_page(f"{START}&k=12")
    page.wait_for_selector(".column[data-name=default] .tile")

    def ids(model: object, **more: object) -> list[str]:
        body = {"id": "ColourA-0.png", "k": 12, "model": model, **more}
        answer = httpx.post(f"{service.url}/v1/collections/colours/search", json=body).json()
        return [hit["id"] for hit in answer["results"][0]["hits"]]

    def shown(column: str) -> list[str]:
        return [text.split("item ")[1].split(",")[0] for text in hits(page, column)]

    knn = ids("knn")
    assert shown("knn") == knn
    assert shown("default") == ids("default")
    searched(page, page.get_by_role("button", name="far", exact=True).click)
    far = ids("far")
    assert shown("far") == far
    said = hits(page, "far")
    for rank, item in enumerate(far):
        if item not in knn:
            assert "new" in said[rank]
        elif knn.index(item) > rank:
            assert (
                f"{knn.index(item) - rank} places up from kNN's {knn.index(item) + 1}" in said[rank]
            )
        else:
            assert "places up" not in said[rank]
    assert any(item not in knn for item in far)  # or this would show nothing
    badges = page.locator(".column[data-name=far] .badge.new")
    assert badges.count() == len(set(far) - set(knn))
    searched(page, lambda: page.get_by_label("Show", exact=True).select_option("rrf"))
    assert shown("fused") == ids(["default", "far"], fusion="rrf")
    page.get_by_role("button", name="kNN", exact=True).click()
    wait_for(page, "document.querySelectorAll('.column').length === 1")


def test_why(open_page: Any) -> None:
    page = open_page(f"{START}&k=12")
    tile = page.locator(".column[data-name=default] .tile").nth(4)
    tile.hover()
    tile.get_by_role("button", name="Why is").click()
    dialog = page.get_by_role("dialog")
    dialog.wait_for()
    assert dialog.locator("svg .edge.to").count() == dialog.locator("svg .edge.on").count() > 0
    page.wait_for_selector("dialog svg image")
    rows = dialog.locator("tbody tr")
    assert rows.count() >= dialog.locator("svg .edge.on").count()
    shares = [
        float(text.rstrip(" %")) for text in dialog.locator("tbody td:last-child").all_inner_texts()
    ]
    assert abs(sum(shares) - 100) < 2
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    assert page.locator(".column[data-name=knn] [name=explain]").count() == 0


def test_examples(open_page: Any) -> None:
    page = open_page(START)
    tile = page.locator(".column[data-name=knn] .tile").nth(2)
    tile.hover()
    searched(page, tile.locator("[name=plus]").click)
    assert len(parameters(page)["plus"]) == 2
    last = page.locator(".column[data-name=knn] .tile").nth(9)
    last.hover()
    searched(page, last.locator("[name=minus]").click)
    found = parameters(page)
    assert len(found["minus"]) == 1
    assert found["minus"][0] not in str(hits(page, "default"))
    assert page.locator("[name=explain]").count() == 0
    page.get_by_role("button", name=f"Take {found['minus'][0]} away").click()
    wait_for(page, "!location.hash.includes('minus')")


def test_filters(open_page: Any) -> None:
    page = open_page("#colours/search")
    page.wait_for_selector("#items .tile")
    page.click("#show-filters")
    page.get_by_label("Column").select_option("label")
    page.get_by_label("Value").fill("colourb")
    page.keyboard.press("Enter")
    page.wait_for_selector(".chip")
    wait_for(page, f"document.querySelector('#items').innerText.includes('{EACH} items of')")
    page.get_by_label("Column").select_option("bytes")
    page.get_by_label("Test").select_option("range")
    page.get_by_label("From", exact=True).fill("nonsense")
    page.get_by_role("button", name="Add filter").click()
    assert "holds numbers" in page.locator("#alerts").inner_text()
    page.get_by_label("From", exact=True).fill("10")
    page.get_by_role("button", name="Add filter").click()
    wait_for(page, "document.querySelectorAll('.chip').length === 2")
    page.fill("#id-field", "ColourA-0.png")
    searched(page, lambda: page.keyboard.press("Enter"))
    assert all("item ColourB" in text for text in hits(page, "default"))
    kept = json.loads(parameters(page)["filter"][0])
    assert kept == [
        {"column": "label", "op": "eq", "value": "colourb"},
        {"column": "bytes", "op": "range", "gte": 10, "lte": None},
    ]
    searched(page, page.locator(".chip").first.click)
    assert page.locator(".chip").count() == 1
    page.get_by_role("button", name="Options").click()
    page.get_by_label("One hit of each").select_option("label")
    wait_for(page, "document.querySelectorAll('.column[data-name=knn] .tile').length <= 9")
    page.get_by_label("Least similarity").fill("2")
    page.keyboard.press("Tab")
    wait_for(page, "document.querySelector('#columns').innerText.includes('No item passes')")


def test_a_picture_and_a_part_of_it(open_page: Any, place: Path) -> None:
    page = open_page("#colours/search")
    page.wait_for_selector("#items .tile")
    with page.expect_request("**/search") as first:
        searched(
            page, lambda: page.set_input_files("#picture-field", place / "photos" / "ColourC-3.png")
        )
    assert first.value.headers["content-type"].startswith("multipart/form-data")
    assert "item ColourC-3.png" in hits(page, "knn")[0]
    box = page.locator(".crop-stage").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 4)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 3 / 4, box["y"] + box["height"] * 3 / 4, steps=4)
    with page.expect_request("**/search"):
        searched(page, page.mouse.up)
    left, top, right, bottom = map(int, parameters(page)["crop"][0].split(","))
    assert abs(left - 6) <= 1
    assert abs(right - 18) <= 1
    assert top < bottom
    page.locator(".crop-numbers summary").click()
    assert page.get_by_label("Crop: left").input_value() == str(left)
    searched(page, lambda: page.get_by_label("Crop: left").fill("0"))
    assert parameters(page)["crop"] == [f"0,{top},{right},{bottom}"]
    searched(page, page.get_by_role("button", name="Whole picture").click)
    assert "crop" not in parameters(page)
    tile = page.locator(".column[data-name=default] .tile").first
    tile.hover()
    tile.get_by_role("button", name="Why is").click()
    page.wait_for_selector("dialog[open] svg image[href^='blob:']")
    page.keyboard.press("Escape")
    page.reload()
    page.wait_for_selector("#items .tile")
    assert "The picture is gone" in page.locator("#alerts").inner_text()


def test_a_picture_is_dropped_or_pasted(open_page: Any, place: Path) -> None:
    page = open_page("#colours/search")
    page.wait_for_selector("#items .tile")
    content = list((place / "photos" / "ColourD-1.png").read_bytes())
    make = """([content, kind]) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([new Uint8Array(content)], "x.png", { type: "image/png" }));
      const event = kind === "drop"
        ? new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true })
        : new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, cancelable: true });
      document.body.dispatchEvent(event);
    }"""
    for kind in ("drop", "paste"):
        searched(page, lambda kind=kind: page.evaluate(make, [content, kind]))
        assert "item ColourD-1.png" in hits(page, "knn")[0]


def test_two_hundred_hits_within_a_tenth_of_a_second(open_page: Any) -> None:
    page = open_page(f"{START}&k=200")
    page.wait_for_selector(".column[data-name=default] .tile:nth-child(200)")
    for number in range(1, 6):
        go = f"location.hash = '#colours/search?k=200&id=ColourB-{number}.png'"
        searched(page, lambda go=go: page.evaluate(go))
        page.wait_for_selector(".column[data-name=default] .tile:nth-child(200)")
    took = page.evaluate("performance.getEntriesByName('kinfold:results').map(e => e.duration)")
    # A busy machine is slow, not wrong: the second best of six.
    assert sorted(took)[1] < 100, took
    # Tiles have their size before their pictures are there.
    sizes = page.locator(".column[data-name=default] .frame").evaluate_all(
        "all => all.slice(0, 20).map(e => [e.offsetWidth, e.offsetHeight])"
    )
    assert len({tuple(size) for size in sizes}) == 1
    assert sizes[0][0] == sizes[0][1] > 0
