"""A gallery to work on, and two ways to run a command: here, or in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from kinfold.index.publish import CURRENT, VERSIONS

ROOT = Path(__file__).resolve().parents[2]
KINFOLD = [sys.executable, "-m", "cli.main"]

ITEMS, QUERIES, DIMENSION = 120, 24, 8
PEOPLE = 6

TWO = ["--data", "data", "--collection", "two"]
BUILD_TWO = ["build", "all.parquet", *TWO, "--query-mask", "is_query"]
TWO_MODELS = ["--model", "near=cosine", "--model", "far=far.toml"]
FAR = """
similarity = ["cas", { name = "k-reciprocal", parameters = { k2 = 4 } }]
alpha = 0.5
k_d = 7
"""


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What was printed: one object on one line, as strict JSON, and nothing else."""
        assert self.out.count("\n") == 1
        assert self.out.endswith("\n")
        values = json.loads(self.out, parse_constant=self._refuse)
        assert isinstance(values, dict)
        return values

    @staticmethod
    def _refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    def error(self) -> str:
        """The one line that says what went wrong; exit code 2, and no word beside it."""
        assert self.code == 2, (self.code, self.err)
        assert "Traceback" not in self.err + self.out
        lines = [line for line in self.err.splitlines() if line.startswith("error:")]
        assert len(lines) == 1, self.err
        assert self.err.rstrip().endswith(lines[0])
        return lines[0].removeprefix("error: ")


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **changes}


def run_process(*arguments: object, **options: Any) -> Outcome:
    """`kinfold …` as a user runs it."""
    done = subprocess.run(
        [*KINFOLD, *map(str, arguments)],
        env=environment(**options.pop("environ", {})),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
        **options,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def gallery_table() -> pa.Table:
    """Items of six people seen by two cameras, among them queries; ids and notes like markup."""
    random = np.random.default_rng(5)
    rows = ITEMS + QUERIES
    person = np.arange(rows) % PEOPLE
    centres = random.normal(size=(PEOPLE, DIMENSION))
    vectors = (centres[person] + 0.7 * random.normal(size=(rows, DIMENSION))).astype("f4")
    return pa.table(
        {
            "id": [f"[/i{row}]" for row in range(rows)],
            "vector": pa.array(list(vectors), pa.list_(pa.float32(), DIMENSION)),
            "person": [f"pérson {number}" for number in person],
            "camera": (np.arange(rows) // PEOPLE) % 2,
            "note": [None if row % 5 == 0 else f"[bold] :smile: {row}" for row in range(rows)],
            "blur": [float("nan") if row % 2 else 0.25 for row in range(rows)],
            "tags": [["a", "b"][: row % 3] for row in range(rows)],
            "is_query": [row % 6 == row // 6 % 6 for row in range(rows)],
        }
    )


def live(collection: Path) -> Path:
    """The folder of the live version."""
    return collection / VERSIONS / (collection / CURRENT).read_text().strip()


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
