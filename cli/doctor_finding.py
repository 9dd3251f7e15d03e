"""What `kinfold doctor` says of one thing that it looked at."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """A thing, how it is, and what to do about it."""

    check: str
    status: Literal["ok", "warning", "failed"]
    found: str
    advice: str = ""

    def to_json(self) -> dict[str, str]:
        """For machines."""
        return asdict(self)


def ok(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(check, "ok", found)


def warning(check: str, found: str, advice: str) -> Finding:
    """It works, but not as it should, or not for long."""
    return Finding(check, "warning", found, advice)


def failed(check: str, found: str, advice: str) -> Finding:
    """The service cannot work like this."""
    return Finding(check, "failed", found, advice)
