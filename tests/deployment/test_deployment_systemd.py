"""systemd takes the units, and they leave time to finish."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from deployment_files import DEPLOY, known_settings

UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def values(path: Path, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)


def test_there_are_two() -> None:
    assert [path.name for path in UNITS] == ["kinfold-worker.service", "kinfold.service"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze on PATH")
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_takes_it(path: Path, tmp_path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("/opt/kinfold/venv/bin/kinfold", "/bin/true")
    unit = tmp_path / path.name
    for wrong, told in (("", 0), ("[Service]\nProtectSystm=strict\n", 1)):
        unit.write_text(text + wrong)
        done = subprocess.run(
            ["systemd-analyze", "verify", unit], check=False, capture_output=True, text=True
        )
        # Names that it does not know are told of, whatever the status.
        mine = [line for line in done.stderr.splitlines() if path.name in line]
        assert len(mine) == told, done.stderr


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_it_is_confined(path: Path) -> None:
    for key, value in {
        "User": "kinfold", "ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes",
        "NoNewPrivileges": "yes", "CapabilityBoundingSet": "", "StateDirectory": "kinfold",
        "EnvironmentFile": "/etc/kinfold/kinfold.env", "Restart": "always",
    }.items():  # fmt: skip
        assert values(path, key) == [value], key


def test_there_is_time_to_finish() -> None:
    (service,) = (path for path in UNITS if path.name == "kinfold.service")
    (granted,) = values(service, "TimeoutStopSec")
    (needed,) = re.findall(
        r"^Environment=KINFOLD_SHUTDOWN_SECONDS=(\d+)$", service.read_text(), re.M
    )
    assert int(granted) > int(needed)


def test_every_setting_exists() -> None:
    texts = [
        path.read_text(encoding="utf-8") for path in [*UNITS, DEPLOY / "systemd" / "kinfold.env"]
    ]
    names = {
        name
        for text in texts
        for name in re.findall(r"^(?:Environment=)?(KINFOLD_\w+)=", text, re.M)
    }
    assert "KINFOLD_REDIS_URL" in names
    assert names <= known_settings(), names - known_settings()
