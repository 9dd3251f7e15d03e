"""build: from vectors to a published version, one stage after the other."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from kinfold.arrays import AnyArray
from kinfold.blocks import BlockRunner, LocalRunner
from kinfold.config import BuildConfig
from kinfold.index import FORMAT_VERSION, VersionWriter, layout
from kinfold.index.extras import Extras
from kinfold.index.publish import VERSIONS
from kinfold.index.writing import FileWriter
from kinfold.pipeline.events import BuildCallback, Plan, nobody
from kinfold.pipeline.inputs import Inputs, ModelPlan, check_inputs, chosen, tuned
from kinfold.pipeline.keys import array_hash, matrix_hash, table_hash
from kinfold.pipeline.model import model_info
from kinfold.pipeline.run import Run
from kinfold.pipeline.stages import (
    ITEMS,
    NEIGHBORS,
    VECTORS,
    ChoiceResult,
    Content,
    DiffusionResult,
    Outcome,
    Stage,
    Stages,
    all_stages,
    choice_stage,
)
from kinfold.pipeline.workshop import Done, Shelf, Workshop, planned
from kinfold.progress import ProgressCallback, silent
from kinfold.search import Index, open_index
from kinfold.threads import limited_threads
from kinfold.version import __version__


def build(
    vectors: AnyArray,
    path: str | Path,
    ids: Sequence[int] | Sequence[str] | AnyArray | None = None,
    payload: Mapping[str, Sequence[Any]] | pa.Table | None = None,
    config: BuildConfig | None = None,
    progress: ProgressCallback | None = None,
    *,
    models: Mapping[str, BuildConfig] | None = None,
    extras: Extras | None = None,
    threads: int | None = None,
    runner: BlockRunner | None = None,
) -> Index:
    """Build an index of a gallery and publish it at `path`; returns it, open.

    Parameters
    ----------
    vectors:
        (n, d), n >= 2; float16, float32, float64 or integers, finite. May be a memory map: it is
        read in pieces. For metric cosine no row may be all zeros; rows need not be normalised.
    path:
        The folder of the collection. An index that is there already stays live until the new
        version is complete, and keeps its own folder afterwards.
    ids:
        n unique integers or strings; None: the row numbers.
    payload:
        Columns of n values kept with the items: a mapping or an Arrow table.
    config:
        `BuildConfig`; None: the defaults. An explicit k_d must be smaller than n; the default is
        lowered for tiny galleries.
    progress:
        Called with `Progress` events, from the calling thread.
    models:
        Instead of `config`, several models by name, the default first: one kNN index, and a
        matrix C each. They must share `metric`, `neighbors` and `join`.
    extras:
        Thumbnails, the encoder of the pictures, and the projection that made `vectors`, kept in
        the index for those who search it.
    threads:
        None: all cores that this process may use. The result does not depend on it.
    runner:
        What computes blocks of rows, possibly on other machines; None: the threads of this
        process. The result does not depend on it.

    Raises
    ------
    InputError
        Anything about the data or parameters, with row and value.
    StorageError
        The disk is full or not writable; nothing published is touched.
    BusyError
        Another process builds at the same path.
    """
    version = publish(
        vectors, path, ids, payload, config, progress,
        models=models, extras=extras, threads=threads, runner=runner,
    )  # fmt: skip
    return open_index(Path(path) / VERSIONS / version)


def publish(
    vectors: AnyArray,
    path: str | Path,
    ids: Sequence[int] | Sequence[str] | AnyArray | None = None,
    payload: Mapping[str, Sequence[Any]] | pa.Table | None = None,
    config: BuildConfig | None = None,
    progress: ProgressCallback | None = None,
    *,
    models: Mapping[str, BuildConfig] | None = None,
    extras: Extras | None = None,
    threads: int | None = None,
    runner: BlockRunner | None = None,
    share: float = 1.0,
    resume: bool = False,
    fresh: bool = False,
    told: BuildCallback = nobody,
) -> str:
    """As `build`, but returns the name of the version that went live instead of opening it.

    Parameters
    ----------
    resume:
        Keep every finished stage when the build ends early, in any way, so that the next one goes
        on from there; and take over from the live version what would come out the same.
    fresh:
        With `resume`: do not take over anything from before.
    told:
        Called with what happens to the stages, from the calling thread.
    runner:
        What computes the blocks of each stage; None: this process, with its threads.
    share:
        How large blocks are, in units of what they usually are: less where memory is little. No
        result depends on it.
    """
    inputs = check_inputs(vectors, ids, payload, config, models, extras)
    progress = progress or silent
    with (
        limited_threads(threads) as count,
        VersionWriter(Path(path)) as writer,
        Workshop(writer, told, resume=resume, fresh=fresh) as shop,
    ):
        content = content_of(inputs, shop.shelf, progress)
        plans, choices = list[ModelPlan](), list[Stage]()
        for plan in inputs.plans:
            given = inputs.given[plan.name]
            if given.auto:
                choices.append(choice_stage(content, plan.name, given))
                plans.append(_chosen(shop, choices[-1], plan, inputs, progress, count))
            else:
                plans.append(plan)
        stages = all_stages(content, plans, choices)
        live = shop.shelf.live
        told(Plan(tuple(shop.expect(stages)), None if live is None else live.name))
        run = Run(shop, inputs, stages, plans, progress, runner or LocalRunner(count), share)
        run.all()
        shop.gather()
        return writer.publish(**_fields(shop, run, inputs, stages, plans))


def plan_build(
    vectors: AnyArray,
    path: str | Path,
    ids: Sequence[int] | Sequence[str] | AnyArray | None = None,
    payload: Mapping[str, Sequence[Any]] | pa.Table | None = None,
    config: BuildConfig | None = None,
    progress: ProgressCallback | None = None,
    *,
    models: Mapping[str, BuildConfig] | None = None,
    extras: Extras | None = None,
    fresh: bool = False,
) -> Plan:
    """What `publish` with `resume` would do; writes nothing, takes no lock.

    Where `auto` has not chosen yet, the stages of its model are all still to do.
    """
    inputs = check_inputs(vectors, ids, payload, config, models, extras)
    shelf = Shelf(Path(path), empty=fresh)
    content = content_of(inputs, shelf, progress or silent)
    plans, choices, unknown = list[ModelPlan](), list[Stage](), set[str | None]()
    for plan in inputs.plans:
        known = plan
        if inputs.given[plan.name].auto:
            choices.append(choice_stage(content, plan.name, inputs.given[plan.name]))
            done = shelf.find(choices[-1])
            if done is None:
                unknown.add(plan.name)
            else:
                known = _as_chosen(plan, done, content.rows)
        plans.append(known)
    stages = all_stages(content, plans, choices)
    found = shelf.plan(stages)
    for stage in stages:
        # The first choice decides about neighbours too.
        if stage.model in unknown or (unknown and stage.kind == NEIGHBORS):
            found[stage.name] = None
    return Plan(tuple(planned(stages, found)), None if shelf.live is None else shelf.live.name)


def content_of(inputs: Inputs, shelf: Shelf, progress: ProgressCallback) -> Content:
    """What the build is made of, looked at once."""
    rows, dimension = inputs.gallery.shape
    vectors = matrix_hash(inputs.gallery, progress)
    known = None
    manifest = shelf.manifest
    if manifest is not None and layout.VECTORS in manifest.files:
        same = manifest.metric == inputs.plans[0].config.metric
        if same and manifest.files[layout.VECTORS].sha256 == vectors:
            # The version's own vectors, prepared already: once more would change their last bits.
            known = manifest.stages.get(VECTORS)
    extras = inputs.extras
    return Content(
        rows,
        dimension,
        vectors,
        array_hash(inputs.ids),
        table_hash(inputs.payload),
        known,
        extras.hash() if extras else None,
        extras.files,
    )


def _chosen(
    shop: Workshop,
    stage: Stage,
    wanted: ModelPlan,
    inputs: Inputs,
    progress: ProgressCallback,
    threads: int,
) -> ModelPlan:
    """The plan with what `auto` chooses."""

    def choose(_writer: FileWriter) -> Outcome:
        found = tuned(wanted, inputs.given[wanted.name], inputs.gallery, progress, threads)
        if found.tuning is None:
            raise ValueError(f"{wanted.name}: auto gave no reason")
        return Outcome(ChoiceResult(config=found.config, tuning=found.tuning), {})

    return _as_chosen(wanted, shop.run(stage, choose), inputs.gallery.shape[0])


def _as_chosen(wanted: ModelPlan, done: Done, rows: int) -> ModelPlan:
    result = done.result
    if not isinstance(result, ChoiceResult):
        raise TypeError(f"{wanted.name}: expected a choice, found {type(result).__name__}")
    return chosen(wanted, result.config, result.tuning, rows)


def _fields(
    shop: Workshop, run: Run, inputs: Inputs, stages: Stages, plans: Sequence[ModelPlan]
) -> dict[str, Any]:
    """What the manifest says, but for the files."""
    rows, dimension = inputs.gallery.shape
    found = {name: done.result.model_dump() for name, done in shop.done.items()}
    seconds = {name: done.measured for name, done in shop.done.items()}
    cells = [stages.cells] if stages.cells else []
    extras = [stages.extras] if stages.extras else []
    shared = [stages.vectors, stages.items, *extras, *cells, stages.knn, stages.neighbors]
    infos = {}
    for plan in plans:
        similarity, diffusion = stages.models[plan.name]
        infos[plan.name] = model_info(
            plan,
            DiffusionResult.model_validate(found[diffusion.name]),
            seconds[similarity.name] | seconds[diffusion.name],
        )
    return {
        "format_version": FORMAT_VERSION,
        "kinfold_version": __version__,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "rows": rows,
        "dimension": dimension,
        "metric": run.measure.metric,
        "metric_scale": run.measure.scale,
        "ids": found[ITEMS]["ids"],
        "payload_columns": found[ITEMS]["payload_columns"],
        "engine": stages.engine,
        "neighbor_recall": found[NEIGHBORS]["recall"],
        "default_model": plans[0].name,
        "models": infos,
        "measured": {name: s for stage in shared for name, s in seconds[stage.name].items()},
        "stages": stages.keys,
    }
