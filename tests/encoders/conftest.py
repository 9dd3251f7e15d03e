"""Small networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_network import make_network


@pytest.fixture
def network(tmp_path: Path) -> Callable[..., Path]:
    """Makes an ONNX file of a name."""

    def make(name: str = "net.onnx", **given: Any) -> Path:
        return make_network(tmp_path / name, **given)

    return make
