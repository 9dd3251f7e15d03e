"""The stages of a build: what each one depends on, and which files are its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import faiss
from pydantic import BaseModel, ConfigDict, Field

from kinfold.config import BuildConfig
from kinfold.diffusion import tasks as diffusion_tasks
from kinfold.index import layout
from kinfold.index.manifest import Manifest, TuningInfo
from kinfold.metric import Measure
from kinfold.neighbors import JoinKind, choose_join, engine
from kinfold.pipeline.inputs import ModelPlan
from kinfold.pipeline.keys import stage_key

WIDE = "nearest.npy"
"""(n, width) uint32: neighbours beyond those that a version keeps, for truncation = nearest."""
CENTROIDS, IN_CELLS = "centroids.npy", "cells.npy"
"""(c, d) float32, and (n, s) uint32: the nearest of them to every item."""
SCRATCH = frozenset({WIDE, CENTROIDS, IN_CELLS})
"""Files that are needed on the way only, and lie in the work folder only."""

CHOICE, VECTORS, ITEMS, EXTRAS, KNN = "choice", "vectors", "items", "extras", "knn"
CELLS, NEIGHBORS, SIMILARITY, DIFFUSION = "cells", "neighbors", "similarity", "diffusion"


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Nothing(_Result):
    """Of a stage whose files say it all."""


class ItemsResult(_Result):
    """What the manifest says of ids and payload."""

    ids: Literal["rows", "int64", "string"]
    payload_columns: list[str]


class NeighborsResult(_Result):
    """What the gallery's neighbours say of engine and metric."""

    recall: float = Field(ge=0, le=1)
    scale: float = Field(gt=0)


class DiffusionResult(_Result):
    """What the manifest says of a matrix C."""

    blocks: list[int] = Field(min_length=1)
    stored: int = Field(ge=0)
    longest_row: int = Field(ge=0)
    edges: int = Field(ge=0)
    isolated: int = Field(ge=0)
    not_converged: int = Field(ge=0)
    mean_iterations: float = Field(ge=0)


class ChoiceResult(_Result):
    """What `auto` chose."""

    config: BuildConfig
    tuning: TuningInfo


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a stage gives beside its files: what others need to know, and seconds of its parts."""

    result: BaseModel
    measured: dict[str, float]


_RESULTS: dict[str, type[_Result]] = {
    CHOICE: ChoiceResult,
    ITEMS: ItemsResult,
    NEIGHBORS: NeighborsResult,
    DIFFUSION: DiffusionResult,
}


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a build.

    Attributes
    ----------
    kind:
        What is done, e.g. ``"diffusion"``.
    key:
        Equal where the result would be.
    model:
        Of which model, if it is not of the whole gallery.
    files:
        What it writes into the version; blocks of C come to that.
    scratch:
        Files that are needed on the way only.
    """

    kind: str
    key: str
    model: str | None = None
    files: frozenset[str] = frozenset()
    scratch: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """Unique in a build: ``vectors``, ``diffusion:default``."""
        return self.kind if self.model is None else f"{self.kind}:{self.model}"

    def owns(self, file: str) -> bool:
        """Whether a file is one of those that this stage writes."""
        if file in self.files or file in self.scratch:
            return True
        if self.kind != DIFFUSION or self.model is None:
            return False
        folder = re.escape(layout.model_folder(self.model))
        return re.fullmatch(rf"{folder}(?:indices|values)-[0-9]{{5,}}\.npy", file) is not None

    def expected(self, result: BaseModel) -> set[str]:
        """All files that there have to be with this result."""
        files = set(self.files | self.scratch)
        if isinstance(result, DiffusionResult) and self.model is not None:
            for block in range(len(result.blocks)):
                files.add(layout.indices_file(self.model, block))
                files.add(layout.values_file(self.model, block))
        return files

    def result(self, values: dict[str, Any]) -> BaseModel:
        """The stage's result from what a mark holds; raises `ValidationError`."""
        return _RESULTS.get(self.kind, Nothing).model_validate(values)


@dataclass(frozen=True, slots=True)
class Content:
    """What a build is made of: hashes of vectors, ids, payload and extras.

    Attributes
    ----------
    extras, extra_files:
        The hash of what there is beside them, if there is anything, and the files it is kept in.
    vectors_key:
        Of the version whose own vectors these are; None: they were given from outside.
    """

    rows: int
    dimension: int
    vectors: str
    ids: str | None
    payload: str | None
    vectors_key: str | None = None
    extras: str | None = None
    extra_files: frozenset[str] = frozenset()


def vectors_stage(content: Content, config: BuildConfig) -> Stage:
    """Checking, normalising and writing the vectors."""
    normalises = Measure(config.metric).normalises
    key = content.vectors_key or stage_key(VECTORS, content=content.vectors, normalises=normalises)
    return Stage(VECTORS, key, files=frozenset({layout.VECTORS}))


def items_stage(content: Content) -> Stage:
    """Ids, their order, and the payload."""
    key = stage_key(ITEMS, ids=content.ids, payload=content.payload)
    files = {layout.IDS, layout.IDS_ORDER} if content.ids is not None else set[str]()
    files |= {layout.PAYLOAD} if content.payload is not None else set()
    return Stage(ITEMS, key, files=frozenset(files))


def extras_stage(content: Content) -> Stage | None:
    """Thumbnails, encoder and projection, if there is any of them."""
    if content.extras is None:
        return None
    key = stage_key(EXTRAS, extras=content.extras)
    return Stage(EXTRAS, key, files=content.extra_files)


def choice_stage(content: Content, name: str, given: BuildConfig) -> Stage:
    """What `auto` chooses: depends on the vectors, and on what was left open."""
    vectors = vectors_stage(content, given).key
    values = given.model_dump(mode="json", exclude_unset=True)
    return Stage(CHOICE, stage_key(CHOICE, vectors=vectors, given=values), name)


def lists_key(vectors: str, how: JoinKind, config: BuildConfig, width: int | None = None) -> str:
    """Of the neighbour lists, however many of their columns are kept.

    An exact join gives the same first neighbours whatever the width, an approximate one does
    not; for metric l2 the graph's k_d sets the scale of the similarities.
    """
    return stage_key(
        "lists",
        vectors=vectors,
        join=how,
        metric=config.metric,
        k_d=config.k_d if config.metric == "l2" else None,
        width=None if how == "exact" else width,
    )


def cells_stage(vectors: str) -> Stage:
    """Where the items lie: for the join by cells, and for an inverted file."""
    key = stage_key(CELLS, vectors=vectors)
    return Stage(CELLS, key, scratch=frozenset({CENTROIDS, IN_CELLS}))


def knn_stage(vectors: str, kind: str, config: BuildConfig) -> Stage:
    """The kNN index; an exact one has no file."""
    constants = (
        engine.HNSW_LINKS, engine.HNSW_BUILD_BEAM, engine.IVF_PROBES, engine.IVF_PROBE_SHARE,
    )  # fmt: skip
    approximate = {"constants": constants, "faiss": faiss.__version__}
    key = stage_key(
        KNN,
        vectors=vectors,
        kind=kind,
        metric=config.metric,
        engine=None if kind == "exact" else approximate,
    )
    return Stage(KNN, key, files=frozenset({layout.ENGINE} if kind != "exact" else ()))


def model_stages(plan: ModelPlan, lists: str) -> tuple[Stage, Stage]:
    """The two stages of a model: its similarities, and its matrix C."""
    config = plan.config
    chain = [[model.name, model.model_dump(mode="json")] for model in plan.chain]
    similarity = stage_key(SIMILARITY, lists=lists, k_m=plan.k_m, k_d=config.k_d, chain=chain)
    diffusion = stage_key(
        DIFFUSION,
        similarity=similarity,
        graph=[config.graph, config.min_degree, config.exponent, config.rank_scale],
        solve=[config.alpha, config.tolerance, config.max_iterations],
        row=[config.truncation, config.max_row, config.mass],
        walk=[diffusion_tasks.WALK_STEPS, diffusion_tasks.REACH],
        nearest=lists if config.truncation == "nearest" else None,
        stored=[config.dtype, config.unit_diagonal, layout.VALUE_SCALE, layout.BLOCK_VALUES],
    )
    name = plan.name
    lists_of = frozenset({layout.neighbors_file(name), layout.similarities_file(name)})
    matrix = frozenset(layout.matrix_files(name, config.dtype))
    return (
        Stage(SIMILARITY, similarity, name, files=lists_of),
        Stage(DIFFUSION, diffusion, name, files=matrix),
    )


@dataclass(frozen=True, slots=True)
class Stages:
    """All stages of a build in the order in which they run, with what was decided for them."""

    vectors: Stage
    items: Stage
    extras: Stage | None
    cells: Stage | None
    knn: Stage
    neighbors: Stage
    models: dict[str, tuple[Stage, Stage]]
    choices: list[Stage]
    engine: engine.EngineKind
    join: JoinKind
    width: int
    stored: int

    def __iter__(self) -> Iterator[Stage]:
        yield from self.choices
        yield from self.after_choices

    @property
    def after_choices(self) -> list[Stage]:
        """All but what `auto` does first."""
        pairs = [stage for pair in self.models.values() for stage in pair]
        cells = [self.cells] if self.cells else []
        extras = [self.extras] if self.extras else []
        return [self.vectors, self.items, *extras, *cells, self.knn, self.neighbors, *pairs]

    @property
    def keys(self) -> dict[str, str]:
        """What the manifest keeps."""
        return {stage.name: stage.key for stage in self}


def all_stages(content: Content, plans: Sequence[ModelPlan], choices: Sequence[Stage]) -> Stages:
    """The stages that these models need, the default first."""
    rows, first = content.rows, plans[0].config
    kind = engine.choose_engine(first.neighbors, rows, content.dimension)
    width = max(plan.width(rows) for plan in plans)
    stored = max(plan.k_m for plan in plans)
    vectors = vectors_stage(content, first)
    how = choose_join(first.join, rows, content.dimension, first.metric)
    cells = cells_stage(vectors.key) if kind == "ivf" or how == "cells" else None
    knn = knn_stage(vectors.key, kind, first)
    lists = lists_key(vectors.key, how, first, width)
    # Recall is that of the first model's k_d.
    recall_at = None if how == "exact" else first.k_d
    neighbors = stage_key(NEIGHBORS, lists=lists, width=width, stored=stored, recall=recall_at)
    return Stages(
        vectors=vectors,
        items=items_stage(content),
        extras=extras_stage(content),
        cells=cells,
        knn=knn,
        neighbors=Stage(
            NEIGHBORS,
            neighbors,
            files=frozenset({layout.NEIGHBORS, layout.SIMILARITIES}),
            scratch=frozenset({WIDE} if width > stored else ()),
        ),
        models={plan.name: model_stages(plan, lists) for plan in plans},
        choices=list(choices),
        engine=kind,
        join=how,
        width=width,
        stored=stored,
    )


def keys_of_added(manifest: Manifest, plan: ModelPlan) -> dict[str, str]:
    """Keys of a model that was added to a version, where a whole build would have the same.

    That is so for exact neighbours; approximate ones depend on how many were searched, and those
    of metric l2 on the model that was the first.
    """
    known = manifest.stages
    how = choose_join(plan.config.join, manifest.rows, manifest.dimension, manifest.metric)
    if how != "exact" or manifest.metric == "l2" or VECTORS not in known:
        return {}
    lists = lists_key(known[VECTORS], how, plan.config)
    return {stage.name: stage.key for stage in model_stages(plan, lists)}
