"""What was measured of a version, kept beside it: a small file that any reader may do without."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kinfold.index.files import disk_errors

QUALITY = ".quality.json"
_MOST_BYTES = 1 << 20


class Evaluation(BaseModel):
    """Figures of the models of a version, as `kinfold evaluate --save` measured them."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    version: str
    measured: str = Field(description="When, UTC.")
    protocol: str = Field(description="What was asked of what.")
    queries: int = Field(ge=1)
    items: int = Field(ge=1)
    models: dict[str, dict[str, float]] = Field(
        description="Figures by model: of quality from 0 to 1, and ms_per_query; knn is plain "
        "nearest neighbours."
    )


def save_evaluation(collection: Path, evaluation: Evaluation) -> None:
    """Keep figures in the folder of a collection, in the place of those that were there."""
    with disk_errors(collection, "keeping what was measured"):
        handle, name = tempfile.mkstemp(dir=collection, prefix=QUALITY)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(evaluation.model_dump_json(indent=1) + "\n")
            Path(name).replace(collection / QUALITY)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def read_evaluation(collection: Path, version: str) -> Evaluation | None:
    """The figures of a version; None where there are none, or none that can be read."""
    with suppress(OSError, ValueError, ValidationError, RecursionError):
        with (collection / QUALITY).open("rb") as file:
            values: Any = json.loads(file.read(_MOST_BYTES))
        found = Evaluation.model_validate(values)
        return found if found.version == version else None
    return None
