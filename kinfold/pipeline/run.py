"""Running the stages: each one reads what those before it have written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from kinfold.arrays import Float32s, UInt32s
from kinfold.blocks import BlockRunner
from kinfold.errors import CorruptIndexError
from kinfold.index import layout
from kinfold.index.files import map_npy
from kinfold.index.writing import FileWriter
from kinfold.metric import Measure
from kinfold.neighbors import Cells, NeighborLists
from kinfold.pipeline.gallery import (
    find_cells,
    make_engine,
    make_extras,
    make_items,
    make_neighbors,
    make_vectors,
)
from kinfold.pipeline.inputs import Inputs, ModelPlan
from kinfold.pipeline.model import make_diffusion, make_similarity
from kinfold.pipeline.passes import FilePasses
from kinfold.pipeline.stages import (
    CELLS,
    CENTROIDS,
    EXTRAS,
    IN_CELLS,
    ITEMS,
    KNN,
    NEIGHBORS,
    SIMILARITY,
    VECTORS,
    WIDE,
    NeighborsResult,
    Outcome,
    Stage,
    Stages,
)
from kinfold.pipeline.workshop import Workshop
from kinfold.progress import ProgressCallback, silent

Loaded = TypeVar("Loaded")

_TOLD_ROWS = 100_000


class Run:
    """The stages of one build, after what `auto` chose is known."""

    def __init__(
        self,
        shop: Workshop,
        inputs: Inputs,
        stages: Stages,
        plans: Sequence[ModelPlan],
        progress: ProgressCallback,
        runner: BlockRunner,
        share: float,
    ) -> None:
        self._shop = shop
        self._inputs = inputs
        self._stages = stages
        self._plans = {plan.name: plan for plan in plans}
        self._first = plans[0].config
        self._progress = progress
        self._runner = runner
        self._share = share
        self._rows, self._dimension = inputs.gallery.shape
        self._unscaled = Measure(self._first.metric)

    def all(self) -> None:
        """Run every stage that is not done."""
        for stage in self._stages.after_choices:
            self._shop.run(stage, self._work(stage))

    @property
    def measure(self) -> Measure:
        """The metric with the scale that the gallery gave it."""
        result = self._shop.done[NEIGHBORS].result
        scale = result.scale if isinstance(result, NeighborsResult) else 1.0
        return Measure(self._first.metric, scale)

    def _work(self, stage: Stage) -> Callable[[FileWriter], Outcome]:
        """What a stage does, given a folder to write to."""
        inputs, progress = self._inputs, self._progress
        if stage.kind == VECTORS:
            return lambda w: make_vectors(w, inputs.gallery, self._unscaled, progress)
        if stage.kind == ITEMS:
            return lambda w: make_items(w, inputs.ids, inputs.payload)
        if stage.kind == EXTRAS:
            return lambda w: make_extras(w, inputs.extras)
        if stage.kind == CELLS:
            return lambda w: find_cells(w, self._vectors, self._passes(stage))
        if stage.kind == KNN:
            return lambda w: make_engine(
                w,
                self._stages.engine,
                self._vectors,
                self._unscaled,
                self._cells() if self._stages.engine == "ivf" else None,
                progress,
            )
        if stage.kind == NEIGHBORS:
            return lambda w: make_neighbors(
                w,
                self._vectors,
                self._unscaled,
                how=self._stages.join,
                width=self._stages.width,
                stored=self._stages.stored,
                k_d=self._first.k_d,
                cells=self._cells() if self._stages.join == "cells" else None,
                passes=self._passes(stage),
            )
        plan = self._plans[stage.model or ""]
        if stage.kind == SIMILARITY:
            return lambda w: make_similarity(
                w, plan, self._lists, self._vectors, self.measure, self._passes(stage), progress
            )
        return lambda w: make_diffusion(
            w, plan, self._graph_lists(plan), self._nearest(plan), self._passes(stage)
        )

    def _passes(self, stage: Stage) -> FilePasses:
        """Where a stage keeps the blocks that are done."""
        # Of a small gallery the models tell in percent; their many passes are over in a moment.
        is_quick = stage.kind == SIMILARITY and self._rows <= _TOLD_ROWS
        progress = silent if is_quick else self._progress
        return self._shop.passes(stage, self._runner, progress, self._share)

    def _read(self, stage: Stage, opened: Callable[[Path], Loaded]) -> Loaded:
        """What a stage wrote; made again where it was found and turns out to be damaged."""
        done = self._shop.done[stage.name]
        try:
            return opened(done.folder)
        except CorruptIndexError:
            if done.source == "to do":
                raise
        return opened(self._shop.redo(stage, self._work(stage)).folder)

    @cached_property
    def _vectors(self) -> Float32s:
        shape = (self._rows, self._dimension)
        return self._read(
            self._stages.vectors, lambda folder: map_npy(folder / layout.VECTORS, "<f4", shape)
        )

    def _cells(self) -> Cells | None:
        if self._stages.cells is None:
            return None
        return self._read(
            self._stages.cells,
            lambda folder: Cells(
                map_npy(folder / CENTROIDS, "<f4", (None, self._dimension)),
                map_npy(folder / IN_CELLS, "<u4", (self._rows, None)),
            ),
        )

    @cached_property
    def _lists(self) -> NeighborLists:
        shape = (self._rows, self._stages.stored)
        return self._read(
            self._stages.neighbors,
            lambda folder: NeighborLists(
                map_npy(folder / layout.NEIGHBORS, "<u4", shape),
                map_npy(folder / layout.SIMILARITIES, "<f4", shape),
            ),
        )

    def _nearest(self, plan: ModelPlan) -> UInt32s | None:
        if plan.config.truncation != "nearest":
            return None
        if self._stages.width == self._stages.stored:
            return self._lists.ids
        shape = (self._rows, self._stages.width)
        return self._read(
            self._stages.neighbors, lambda folder: map_npy(folder / WIDE, "<u4", shape)
        )

    def _graph_lists(self, plan: ModelPlan) -> NeighborLists:
        shape, name = (self._rows, plan.config.k_d), plan.name
        similarity, _ = self._stages.models[name]
        return self._read(
            similarity,
            lambda folder: NeighborLists(
                map_npy(folder / layout.neighbors_file(name), "<u4", shape),
                map_npy(folder / layout.similarities_file(name), "<f4", shape),
            ),
        )
