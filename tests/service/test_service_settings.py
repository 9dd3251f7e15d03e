"""Settings: typed, from the environment, refused with their names, and documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kinfold import InputError
from kinfold.threads import available_cores
from service.settings import Settings, load_settings
from workers.settings import PREFIX

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings but those of the test."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"{PREFIX}{name.upper()}", raising=False)


def test_defaults() -> None:
    settings = load_settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.threads == available_cores()
    assert settings.queue == 64
    assert settings.max_body_bytes == 32 * 1024 * 1024


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Path(".env").write_text("KINFOLD_PORT=9000\nKINFOLD_QUEUE=5\nOTHER=1\n")
    monkeypatch.setenv("KINFOLD_QUEUE", "7")
    monkeypatch.setenv("KINFOLD_DATA", str(tmp_path))
    monkeypatch.setenv("KINFOLD_LOG_LEVEL", "WARNING")
    monkeypatch.setenv("KINFOLD_MAX_K", "")
    settings = load_settings(host="::1")
    assert (settings.port, settings.queue, settings.data) == (9000, 7, tmp_path)
    assert (settings.log_level, settings.max_k, settings.host) == ("warning", 10_000, "::1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "65536"), ("PORT", "http"), ("PORT", "-1"), ("THREADS", "0"), ("QUEUE", "-1"),
        ("MAX_BODY_BYTES", "32M"), ("MAX_BATCH", "0"), ("MAX_K", "1.5"), ("MAX_HITS", "0"),
        ("LOG_LEVEL", "loud"),
    ],
)  # fmt: skip
def test_bad_values(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"KINFOLD_{name}", value)
    with pytest.raises(InputError, match=rf"KINFOLD_{name}: .*found '{re.escape(value)}'"):
        load_settings()


def test_all_bad_values_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINFOLD_PORT", "x")
    monkeypatch.setenv("KINFOLD_QUEUE", "y")
    with pytest.raises(InputError, match=r"KINFOLD_PORT.*KINFOLD_QUEUE"):
        load_settings()


def test_every_setting_is_documented_with_its_default() -> None:
    table = dict(
        re.findall(r"^\| `KINFOLD_(\w+)` \| (.+?) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    )
    assert set(table) == {name.upper() for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        assert field.description
        expected = "cores" if name == "threads" else f"`{field.default}`"
        assert table[name.upper()] == expected, name
