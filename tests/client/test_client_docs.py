"""The page of the client: every example runs, in order, against a real service."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import kinfold
import kinfold.client
from benchmarks.dependability.processes import REPOSITORY, Service
from kinfold.client import errors

PAGE = (REPOSITORY / "docs" / "client.md").read_text(encoding="utf-8")


def test_every_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    vectors = np.random.default_rng(0).standard_normal((1000, 4))
    titles = [f"photo {i}" for i in range(1000)]
    kinfold.build(vectors, data / "photos", payload={"title": titles})
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    with Service(data, tmp_path / "service.log") as service:
        service.wait_until_ready()
        try:
            for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
                there = block.replace("http://127.0.0.1:8000", service.url)
                exec(compile(there, "docs/client.md", "exec"), names)  # noqa: S102
        finally:
            client = names.get("client")
            if isinstance(client, kinfold.client.Client):
                client.close()
    assert "unknown-collection" in capsys.readouterr().out


def test_every_error_is_listed() -> None:
    listed = set(re.findall(r"^\| `(\w+Error)`", PAGE, re.MULTILINE))
    of_service = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.KinfoldServiceError)
    }
    assert listed == of_service
    for name in ("BuildEndedError", "WaitedTooLongError"):
        assert f"`{name}`" in PAGE
