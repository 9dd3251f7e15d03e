"""The page in a real browser, from a real service."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from page_support import CHROMIUM_ARGS, build_pictures, build_texts, chromium

from benchmarks.dependability.processes import Service

Open = Callable[..., Any]

_LISTEN = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.violations.push(`${event.violatedDirective} ${event.blockedURI}`);
});
"""


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `data`, its collections `colours` and `texts`, and `photos`."""
    root = tmp_path_factory.mktemp("page")
    (root / "data").mkdir()
    build_pictures(root / "photos", root / "data")
    build_texts(root / "data")
    return root


@pytest.fixture(scope="session")
def service(place: Path) -> Iterator[Service]:
    with Service(place / "data", place / "service.log", build_threads=1) as running:
        running.wait_until_ready()
        yield running


# Not of the session: while it runs, Playwright keeps an event loop in this thread.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = chromium()
    if path is None:
        pytest.skip("no Chromium: neither /usr/bin/chromium nor chromium on the PATH")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGS)
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Any, service: Service) -> Iterator[Open]:
    """Opens an address of the page; at the end there was no error, and no other host was asked.

    `allowed` are parts of messages that a test brings about itself.
    """
    opened: list[tuple[Any, str, list[str], list[str], tuple[str, ...]]] = []
    contexts: list[Any] = []

    def open_at(
        hash_: str = "", *, url: str = "", allowed: tuple[str, ...] = (), **options: Any
    ) -> Any:
        base = url or service.url
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        contexts.append(context)
        context.set_default_timeout(15_000)
        context.add_init_script(_LISTEN)
        page = context.new_page()
        errors: list[str] = []
        asked: list[str] = []
        page.on("console", lambda said: said.type == "error" and errors.append(said.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: (errors.append("a dialog"), dialog.dismiss()))
        page.on("request", lambda request: asked.append(request.url))
        opened.append((page, base, errors, asked, allowed))
        page.goto(f"{base}/{quote(hash_, safe='#/?=&%,')}")
        return page

    yield open_at
    for page, base, errors, asked, allowed in opened:
        assert page.evaluate("window.violations") == []
        assert [e for e in errors if not any(part in e for part in allowed)] == []
        origin = urlsplit(base).netloc
        strangers = [
            url for url in asked if not url.startswith("blob:") and urlsplit(url).netloc != origin
        ]
        assert strangers == []
    for context in contexts:
        context.close()
