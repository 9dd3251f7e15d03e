"""What all benchmarks share: where they ran, medians, a table and a JSON file."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numba
import numpy as np
import scipy
from rich.console import Console
from rich.table import Table

import kinfold
from kinfold.threads import available_cores

OUTPUT = Path(os.environ.get("KINFOLD_BENCH_OUTPUT", "bench-output"))


def processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()


def machine() -> dict[str, Any]:
    """Cores, processor and versions."""
    return {
        "cores": available_cores(),
        "processor": processor(),
        "python": platform.python_version(),
        "kinfold": kinfold.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "numba": numba.__version__,
        "faiss": faiss.__version__,
    }


def seconds(work: Callable[[], Any]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def median_of(work: Callable[[], Any], runs: int) -> float:
    """Median wall time of several calls."""
    return float(np.median([seconds(work) for _ in range(runs)]))


def finish(name: str, title: str, rows: list[dict[str, Any]], **facts: Any) -> None:
    """Print the table, and write it as JSON with the machine's facts."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in rows[0]:
        table.add_column(column, justify="left" if column == "what" else "right")
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in rows[0]))
    console = Console(width=110, file=sys.stdout)
    console.print(table)
    about = machine()
    console.print(
        "  " + ", ".join(f"{key} {value}" for key, value in {**facts, **about}.items()) + "\n",
        style="dim",
    )
    OUTPUT.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"rows": rows, "facts": facts, "machine": about}, indent=1, default=str)
    (OUTPUT / f"{name}.json").write_text(text + "\n")


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"
    return "" if value is None else str(value)
