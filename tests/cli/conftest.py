"""One collection, built once; whoever changes it copies it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from cli_support import BUILD_TWO, FAR, TWO_MODELS, Outcome, gallery_table

from cli.app import run
from indexer import build_collection, read_source

Command = Callable[..., Outcome]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """all.parquet, queries.npy (its queries), and data/ with the collection people."""
    folder = tmp_path_factory.mktemp("cli")
    pq.write_table(gallery_table(), folder / "all.parquet", row_group_size=50)
    source = read_source(folder / "all.parquet")
    asked = source.mask("is_query")
    np.save(folder / "queries.npy", source.vectors[asked])
    build_collection(source.where(~asked), folder / "data", "people")
    return folder


@pytest.fixture
def here(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder to change, as the working folder."""
    shutil.copytree(folder, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def kinfold(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`kinfold(verb, …)`: the whole command line but for the process."""

    def command(*arguments: object) -> Outcome:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["kinfold", *map(str, arguments)])
        code = run()
        return Outcome(code, *capsys.readouterr())

    return command


@pytest.fixture
def people(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The options that name the collection, seen from the folder; nothing may change it."""
    monkeypatch.chdir(folder)
    return ["--data", "data", "--collection", "people"]


@pytest.fixture
def files(here: Path) -> Path:
    """`here` with configurations in files."""
    (here / "far.toml").write_text(FAR)
    (here / "shared.toml").write_text('k_d = 5\nmass = 0.9\nsimilarity = ["alpha-qe"]\n')
    return here


@pytest.fixture
def two(kinfold: Command, files: Path) -> Path:
    """`files` with a collection of two models, data/two: near, the default, and far."""
    assert kinfold(*BUILD_TWO, *TWO_MODELS, "--set", "max_row=60").code == 0
    return files
