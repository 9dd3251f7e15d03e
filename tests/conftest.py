"""Fixtures for every room."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is slow, not wrong; and what was green turns red by a change, not by chance.
# KINFOLD_TEST_EXAMPLES=1000 looks for new cases, at random, as long as it takes.
_examples = os.environ.get("KINFOLD_TEST_EXAMPLES")
settings.register_profile(
    "kinfold",
    deadline=None,
    derandomize=_examples is None,
    max_examples=int(_examples or 20),
    database=None,
)
settings.load_profile("kinfold")


# What tests share there takes seconds to start: with `--dist loadgroup` one process runs them all.
_TOGETHER = ("cluster", "client", "page")
_BY_FILE = ("cli", "service")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say which tests belong into one process."""
    for item in items:
        room = item.path.parent.name
        if room in _TOGETHER:
            item.add_marker(pytest.mark.xdist_group(room))
        elif room in _BY_FILE:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets, which is not part of this repository."""
    beside_the_repository = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("KINFOLD_TEST_DATA") or beside_the_repository)
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}; set KINFOLD_TEST_DATA to the folder that holds it")
    return folder
