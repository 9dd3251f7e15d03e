"""The results of a published version's stages, as its manifest has them."""

from __future__ import annotations

from pydantic import BaseModel

from kinfold.index.manifest import Manifest
from kinfold.pipeline.stages import (
    CHOICE,
    DIFFUSION,
    ITEMS,
    NEIGHBORS,
    SIMILARITY,
    ChoiceResult,
    DiffusionResult,
    ItemsResult,
    NeighborsResult,
    Nothing,
    Stage,
)

_OF_SIMILARITY = "similarity_seconds"


def taken_result(manifest: Manifest, stage: Stage) -> tuple[BaseModel, dict[str, float]] | None:
    """A stage's result and the seconds that it took; None where the manifest does not say."""
    if stage.model is None:
        own = f"{stage.kind}_seconds"
        measured = {name: value for name, value in manifest.measured.items() if name == own}
        return _of_gallery(manifest, stage), measured
    info = manifest.models.get(stage.model)
    if info is None:
        return None
    if stage.kind == CHOICE:
        if info.tuning is None:
            return None
        return ChoiceResult(config=info.config, tuning=info.tuning), {}
    mine = stage.kind == SIMILARITY
    measured = {n: value for n, value in info.measured.items() if (n == _OF_SIMILARITY) == mine}
    if stage.kind == DIFFUSION:
        known = DiffusionResult.model_fields
        return DiffusionResult(**{name: getattr(info, name) for name in known}), measured
    return Nothing(), measured


def _of_gallery(manifest: Manifest, stage: Stage) -> BaseModel:
    if stage.kind == ITEMS:
        return ItemsResult(ids=manifest.ids, payload_columns=manifest.payload_columns)
    if stage.kind == NEIGHBORS:
        return NeighborsResult(recall=manifest.neighbor_recall, scale=manifest.metric_scale)
    return Nothing()
