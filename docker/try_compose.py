"""Read the compose file as `docker compose` does, as far as ours goes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_UNITS = {"s": 1, "m": 60, "h": 3600}


@dataclass
class Service:
    """What is needed to start a service."""

    name: str
    image: str
    user: str
    command: list[str]
    environment: dict[str, str]
    mounts: list[tuple[str, str, bool]]
    """Volume or absolute path; place inside; whether read-only."""
    tmpfs: list[str]
    healthcheck: list[str] | None
    """None: the image's own; empty: switched off."""
    stop_signal: str
    stop_seconds: float
    needs: dict[str, str] = field(default_factory=dict)


def read(*names: str) -> dict[str, Service]:
    """The services of compose files, a later one adding to an earlier one; variables unset."""
    services: dict[str, dict[str, Any]] = {}
    for name in names:
        text = (HERE / name).read_text(encoding="utf-8")
        told = yaml.safe_load(_VARIABLE.sub(lambda match: match[2] or "", text))
        for service, fields in told["services"].items():
            known = services.setdefault(service, {})
            added = {
                key: known.get(key, []) + fields[key]
                for key in ("ports", "volumes")
                if key in fields
            }
            known.update(fields | added)
    return {name: _service(name, fields) for name, fields in services.items()}


def _service(name: str, fields: dict[str, Any]) -> Service:
    check = fields.get("healthcheck")
    test = None
    if check is not None:
        test = [] if check.get("disable") else check["test"][1:]
    return Service(
        name=name,
        image=fields["image"],
        user=fields["user"],
        command=[str(word).replace("$$", "$") for word in fields["command"] or []]
        if "command" in fields
        else [],
        environment={
            key: str(value)
            for key, value in fields.get("environment", {}).items()
            if value is not None
        },
        mounts=[_mount(text) for text in fields.get("volumes", [])],
        tmpfs=[text.partition(":")[0] for text in fields.get("tmpfs", [])],
        healthcheck=test,
        stop_signal=fields.get("stop_signal", "SIGTERM"),
        stop_seconds=seconds(fields.get("stop_grace_period", "10s")),
        needs={key: value["condition"] for key, value in fields.get("depends_on", {}).items()},
    )


def _mount(text: str) -> tuple[str, str, bool]:
    source, inside, *mode = text.split(":")
    if source.startswith("."):
        source = str((HERE / source).resolve())
    return source, inside, mode == ["ro"]


def seconds(text: str) -> float:
    """A duration such as 1m30s."""
    return sum(
        float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)([smh])", text)
    )
