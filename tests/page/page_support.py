"""A gallery with pictures to look at, and what a reader of the page does."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tiny_network import make_network

import kinfold
from indexer import build_collection
from indexer.pictures import read_pictures
from kinfold.config import BuildConfig
from kinfold.encoders import load_encoder

GROUPS = 8
EACH = 30
ROWS = GROUPS * EACH + 1
HOSTILE = "<img src=x onerror=alert(1)>.png"
TEXTS = [
    "<script>alert(1)</script>",
    "'\"><svg onload=alert(1)>",
    "javascript:alert(1)",
    "../../etc/passwd?x=#y&z",
    "ünï 漢 \u202egnp.exe",
    "%00%2e%2e/",
]
CHROMIUM_ARGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


def chromium() -> str | None:
    """The system's own browser."""
    usual = Path("/usr/bin/chromium")
    return str(usual) if usual.exists() else shutil.which("chromium")


def build_pictures(folder: Path, data: Path) -> None:
    """The collection `colours`: pictures of eight colours, and one of a hostile name."""
    folder.mkdir()
    random = np.random.default_rng(3)
    for group in range(GROUPS):
        colour = random.integers(30, 226, 3)
        for number in range(EACH):
            _picture(folder / f"Colour{chr(65 + group)}-{number}.png", colour, random)
    _picture(folder / HOSTILE, random.integers(30, 226, 3), random)
    make_network(folder.parent / "tiny.onnx")
    described = folder.parent / "tiny.toml"
    described.write_text('file = "tiny.onnx"\nsize = 8\nfit = "stretch"\n')
    read = read_pictures(folder, load_encoder(str(described), threads=1), label_from="name")
    build_collection(read.source, data, "colours", BuildConfig(k_d=5))
    kinfold.add_model(data / "colours", "far", BuildConfig(k_d=5, alpha=0.99))


def _picture(path: Path, colour: Any, random: np.random.Generator) -> None:
    noise = random.normal(size=(18, 24, 3)) * 30 + random.normal(size=3) * 14
    Image.fromarray(np.clip(colour + noise, 0, 255).astype(np.uint8)).save(path)


def build_texts(data: Path) -> None:
    """The collection `texts`: vectors alone, whose ids and payload are full of markup."""
    random = np.random.default_rng(4)
    vectors = random.normal(size=(60, 6)).astype(np.float32)
    ids = [f"{TEXTS[row % len(TEXTS)]} {row}" for row in range(60)]
    payload = {
        "title": [TEXTS[(row + 1) % len(TEXTS)] for row in range(60)],
        "price": [row / 4 for row in range(60)],
        "<b>bold</b>": [row % 2 == 0 for row in range(60)],
    }
    kinfold.build(vectors, data / "texts", ids=ids, payload=payload, config=BuildConfig(k_d=5))


def wait_for(page: Any, condition: str, seconds: float = 15) -> None:
    """Wait until an expression is true in the page; its policy forbids the browser's own way."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"waited {seconds} s for {condition}"
        page.wait_for_timeout(20)


def hits(page: Any, column: str) -> list[str]:
    """What a screen reader says of the hits of a column."""
    found: list[str] = page.locator(f'.column[data-name="{column}"] .pick').evaluate_all(
        "all => all.map(each => each.getAttribute('aria-label'))"
    )
    return found


def searched(page: Any, act: Callable[[], object]) -> None:
    """Do something, and wait until its results were painted."""
    count = "performance.getEntriesByName('kinfold:results').length"
    before = page.evaluate(count)
    act()
    wait_for(page, f"{count} > {before}")
