"""What docs/api.md shows works: every command is run against a real server, in order."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from service_client import REPOSITORY, server

from service.problems import KINDS
from service.requests import SearchBody
from service.routes import all_routes

PAGE = (REPOSITORY / "docs" / "api.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
SCRIPTS = [
    (text, BLOCKS[number + 1][1] if BLOCKS[number + 1 : number + 2] else "")
    for number, (language, text) in enumerate(BLOCKS)
    if language == "sh" and "curl" in text
]
SHOWN = {
    text: json.loads(BLOCKS[number + 1][1])
    for number, (language, text) in enumerate(BLOCKS[:-1])
    if language == "sh" and BLOCKS[number + 1][0] == "json"
}
PROGRAMS = [text for language, text in BLOCKS if language == "python"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page's first program has built the collection of its examples."""
    folder = tmp_path_factory.mktemp("docs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(PROGRAMS[0], {})  # noqa: S102
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with server(folder / "data", log_level="warning") as (client, _):
        yield str(client.base_url)


def shape(value: Any) -> Any:
    """What a value is made of: names and kinds, not the numbers."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return "number" if isinstance(value, (int, float)) else type(value).__name__


@pytest.mark.parametrize("script", [text for text, _ in SCRIPTS])
def test_commands(folder: Path, address: str, script: str) -> None:
    done = subprocess.run(
        ["bash", "-euc", script.replace("http://127.0.0.1:8000", address)],
        cwd=folder,
        capture_output=True,
        timeout=60,
        check=True,
    )
    decoder, rest, answers = json.JSONDecoder(), done.stdout.decode(), []
    while rest:
        answer, end = decoder.raw_decode(rest)
        answers.append(answer)
        rest = rest[end:]
    assert len(answers) == script.count("curl")
    if script in SHOWN:
        assert [shape(answer) for answer in answers] == [shape(SHOWN[script])]
    else:
        assert all("type" not in answer for answer in answers)


def test_error_is_shown_as_it_is(folder: Path, address: str) -> None:
    (script,) = [text for text, shown in SHOWN.items() if "detail" in shown]
    done = subprocess.run(
        ["bash", "-euc", script.replace("http://127.0.0.1:8000", address)],
        cwd=folder,
        capture_output=True,
        check=True,
    )
    assert {**json.loads(done.stdout), "request_id": ""} == {**SHOWN[script], "request_id": ""}


def test_programs(folder: Path, address: str, capsys: pytest.CaptureFixture[str]) -> None:
    import numpy

    names = {"np": numpy}
    for program in PROGRAMS[1:]:
        exec(program.replace("http://127.0.0.1:8000", address), names)  # noqa: S102
        assert capsys.readouterr().out == "100\n"


def test_every_error_is_listed() -> None:
    listed = dict(re.findall(r"^\| `/docs#([\w-]+)` \| (\d+) \|", PAGE, re.MULTILINE))
    assert listed == {kind.name: str(kind.status) for kind in KINDS}


def test_every_address_is_listed() -> None:
    for route in all_routes():
        path = route.path.replace("{collection}", "{c}")  # type: ignore[attr-defined]
        assert f"{path}`" in PAGE


def test_every_field_is_listed() -> None:
    table = PAGE[PAGE.index("| field |") : PAGE.index("A batch gives")]
    assert set(re.findall(r"^\| (.+?) \|", table, re.MULTILINE)) >= {"field"}
    named = {
        name
        for cell in re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", cell)
    }
    assert named == set(SearchBody.model_fields)
