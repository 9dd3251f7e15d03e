"""What a Dockerfile must say so that its image is small, confined and made of what is given."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from deployment_files import DEPLOY, DOCKER, ROOT, known_settings

TEXT = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
LINES = re.sub(r"\\\n", " ", TEXT).splitlines()
# Names that only mean something inside; everything else would be an address on the network.
INNER = {"kinfold", "prometheus", "$host$request_uri"}
FILES = [
    path
    for folder in (DOCKER, DEPLOY)
    for path in sorted(folder.rglob("*"))
    if path.is_file() and path.suffix != ".pyc"
]


def instructions(name: str) -> list[str]:
    return [line.split(None, 1)[1] for line in LINES if line.startswith(f"{name} ")]


def test_both_stages_stand_on_the_base_that_is_given() -> None:
    assert [line.split()[0] for line in instructions("FROM")] == ["${BASE}", "${BASE}"]
    assert instructions("ARG")[0] == "BASE=python:3.12-slim"


def test_the_user_is_nobody_special() -> None:
    assert instructions("USER") == ["10001:10001"]
    assert TEXT.index("USER 10001") > TEXT.rindex("RUN ")


def test_how_it_starts_and_ends() -> None:
    assert instructions("ENTRYPOINT") == ['["kinfold"]']
    assert instructions("STOPSIGNAL") == ["SIGTERM"]
    (check,) = instructions("HEALTHCHECK")
    assert "curl" not in check
    assert "healthcheck.py" in check


def test_every_copied_path_is_sent_to_the_builder() -> None:
    allowed = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = {
        word for line in instructions("COPY") if "--from" not in line for word in line.split()[:-1]
    }
    assert copied == allowed
    for path in copied:
        assert (ROOT / path).exists(), path


def test_every_package_is_in_the_image() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = {
        name.rstrip("*") for name in told["tool"]["setuptools"]["packages"]["find"]["include"]
    }
    copied = {line.split()[0] for line in instructions("COPY") if "--from" not in line}
    assert packages <= copied


def test_the_settings_of_the_image_exist() -> None:
    (environment,) = [line for line in instructions("ENV") if "KINFOLD_DATA" in line]
    names = set(re.findall(r"KINFOLD_\w+(?==)", environment))
    assert names == {"KINFOLD_DATA", "KINFOLD_HOST", "KINFOLD_PORT"}
    assert names <= known_settings()


def test_kernels_are_compiled_for_the_processor_that_runs_them() -> None:
    assert [
        line.split()[0] for line in LINES if "NUMBA_CPU_NAME=generic" in line and "python" in line
    ]
    (environment,) = [line for line in instructions("ENV") if "KINFOLD_DATA" in line]
    assert "NUMBA_CPU_NAME=generic" in environment


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_names_a_host_on_the_network(path: Path) -> None:
    hosts = set(re.findall(r"https?://([^\s'\"/:;]+)", path.read_text(encoding="utf-8")))
    assert hosts <= INNER, f"{path.name}: {hosts - INNER}"
