"""Promises, what was measured, and whether they were kept."""

from __future__ import annotations

import sys
from typing import Any

from benchmarks.common import finish


class Verdict:
    """Collects what was promised and found; `close` prints it and ends the program."""

    def __init__(self, name: str, title: str) -> None:
        self._name = name
        self._title = title
        self.rows: list[dict[str, Any]] = []
        self.broken = 0

    def promise(self, what: str, found: float, most: float, unit: str = "") -> None:
        """Note something that may be at most so much."""
        self._note(what, found, f"≤ {most:,.4g}", unit, found <= most)

    def at_least(self, what: str, found: float, least: float, unit: str = "") -> None:
        """Note something that must be at least so much."""
        self._note(what, found, f"≥ {least:,.4g}", unit, found >= least)

    def fact(self, what: str, found: object, unit: str = "") -> None:
        """Note something that nothing was promised of."""
        self.rows.append({"what": what, "found": found, "promised": "", "unit": unit, "kept": ""})

    def _note(self, what: str, found: float, promised: str, unit: str, kept: bool) -> None:
        # A number that is not there (NaN) keeps no promise.
        self.broken += not kept
        self.rows.append(
            {"what": what, "found": found, "promised": promised, "unit": unit,
             "kept": "yes" if kept else "NO"}
        )  # fmt: skip

    def print(self, **facts: Any) -> None:
        """Print the table and write it as JSON."""
        finish(f"dependability-{self._name}", self._title, self.rows, **facts)

    def close(self, **facts: Any) -> None:
        """Print, write, and end the program: with an error if a promise was broken."""
        self.print(**facts)
        sys.exit(1 if self.broken else 0)
