"""Where the files of a deployment are, and what the tests of them share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from service.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
DEPLOY = ROOT / "deploy"


def known_settings() -> set[str]:
    """The environment variables that the service reads."""
    return {f"KINFOLD_{name.upper()}" for name in Settings.model_fields}


def settings_named(told: Any) -> set[str]:
    """All keys KINFOLD_… in the `environment` of compose services."""
    return {
        key
        for fields in told.values()
        for key in fields.get("environment", {})
        if key.startswith("KINFOLD_")
    }
