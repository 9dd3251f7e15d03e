"""Changing the models of an index: a new version that shares every file that did not change."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from kinfold.config import BuildConfig
from kinfold.errors import InputError, UnknownNameError
from kinfold.index import ModelInfo, StoredIndex, VersionWriter, layout, open_stored
from kinfold.index.files import map_npy
from kinfold.index.publish import live_version
from kinfold.neighbors import NeighborLists, choose_join, self_join
from kinfold.pipeline.gallery import store_lists
from kinfold.pipeline.inputs import ModelPlan, plan, tuned
from kinfold.pipeline.model import write_model
from kinfold.pipeline.stages import DIFFUSION, NEIGHBORS, SIMILARITY, keys_of_added
from kinfold.progress import ProgressCallback, silent
from kinfold.threads import limited_threads
from kinfold.version import __version__


def add_model(
    path: str | Path,
    name: str,
    config: BuildConfig,
    progress: ProgressCallback | None = None,
    *,
    threads: int | None = None,
) -> str:
    """Add a model to the live index at `path` and publish the result; returns the version's name.

    Vectors, ids, payload, kNN index and all other models are kept as they are, and so are the
    neighbour lists unless this model needs longer ones. With exact neighbours the result is the
    one that a build with all models at once would give.

    Raises
    ------
    InputError
        A model of this name is there already; another metric, engine or join than the index has; or
        parameters that cannot be.
    FormatError
        No index at `path`.
    """
    root = Path(path)
    live_version(root)
    with limited_threads(threads) as count, VersionWriter(root) as writer:
        index = open_stored(live_version(root))
        _must_be_new(index, name)
        wanted = _as_in(index, config)
        planned = plan(name, wanted, index.manifest.rows)
        planned = tuned(planned, wanted, index.vectors, progress or silent, count)
        lists, replaced = _stored_lists(index), set[str]()
        if lists.k < planned.width(len(lists.ids)):
            lists = _wider_lists(index, planned, progress or silent)
            if index.similarities.shape[1] < planned.k_m:
                store_lists(writer, lists.first(planned.k_m))
                replaced = {layout.NEIGHBORS, layout.SIMILARITIES}
        info = write_model(
            writer, planned, lists, index.vectors, index.measure, progress or silent, count
        )
        stages = keys_of_added(index.manifest, planned)
        return _publish(
            writer, index, {name: info}, index.manifest.default_model, stages, replaced=replaced
        )


def take_model(
    path: str | Path, name: str, other: str | Path, other_name: str | None = None
) -> str:
    """Copy a finished model from another index of the same gallery; returns the version's name.

    Models can so be made on another machine. The gallery's vectors must be the same, in the same
    order; the copied files are held against their hashes.

    Raises
    ------
    InputError
        The other index was made of another gallery.
    UnknownNameError
        It has no such model.
    CorruptIndexError
        A file of it is damaged.
    """
    root = Path(path)
    live_version(root)
    source = open_stored(Path(other))
    wanted = other_name or name
    if wanted not in source.models:
        raise UnknownNameError(
            f"{source.version}: no model {wanted!r}; it has: {', '.join(sorted(source.models))}"
        )
    with VersionWriter(root) as writer:
        index = open_stored(live_version(root))
        _must_be_new(index, name)
        _must_be_alike(index, source, wanted)
        model = source.models[wanted].info
        plan(name, model.config, index.manifest.rows)  # refuses bad names
        before, after = layout.model_folder(wanted), layout.model_folder(name)
        files = {
            file: after + file.removeprefix(before)
            for file in source.manifest.files
            if file.startswith(before)
        }
        replaced = set[str]()
        if index.similarities.shape[1] < model.config.k_d:
            # Its seeds are held against longer lists than this index has.
            replaced = {layout.NEIGHBORS, layout.SIMILARITIES}
            files |= {file: file for file in replaced}
        for file, target in files.items():
            writer.copy(target, source.version / file, source.manifest.files[file])
        known = source.manifest.stages
        stages = {
            f"{kind}:{name}": known[f"{kind}:{wanted}"]
            for kind in (SIMILARITY, DIFFUSION)
            if f"{kind}:{wanted}" in known
        }
        return _publish(
            writer, index, {name: model}, index.manifest.default_model, stages, replaced=replaced
        )


def remove_model(path: str | Path, name: str) -> str:
    """Publish the live index without a model; returns the version's name.

    Raises
    ------
    InputError
        It is the default: choose another one first.
    UnknownNameError
        There is no such model.
    """
    root = Path(path)
    live_version(root)
    with VersionWriter(root) as writer:
        index = open_stored(live_version(root))
        _must_be_there(index, name)
        if name == index.manifest.default_model:
            others = sorted(set(index.models) - {name})
            raise InputError(
                f"model {name!r} is the default of this index; "
                + (
                    f"make another one the default first: {', '.join(others)}"
                    if others
                    else "it is also the only one, and an index needs one"
                )
            )
        return _publish(writer, index, {}, index.manifest.default_model, without=name)


def set_default(path: str | Path, name: str) -> str:
    """Publish the live index with another default model; returns the version's name."""
    root = Path(path)
    live_version(root)
    with VersionWriter(root) as writer:
        index = open_stored(live_version(root))
        _must_be_there(index, name)
        return _publish(writer, index, {}, name)


def _must_be_new(index: StoredIndex, name: str) -> None:
    if name in index.models:
        raise InputError(
            f"model {name!r}: this index has one of that name already; remove it first, or choose "
            "another name"
        )


def _must_be_there(index: StoredIndex, name: str) -> None:
    if name not in index.models:
        raise UnknownNameError(
            f"no model {name!r} in this index; it has: {', '.join(sorted(index.models))}"
        )


def _must_be_alike(index: StoredIndex, source: StoredIndex, name: str) -> None:
    """Refuse a model of another gallery: its rows would mean other items."""
    ours, theirs = index.manifest, source.manifest
    for what in ("rows", "dimension", "metric", "metric_scale"):
        expected, found = getattr(ours, what), getattr(theirs, what)
        if expected != found:
            raise InputError(
                f"model {name!r} was made for another gallery: expected {what} {expected}, "
                f"found {found}"
            )
    expected, found = (m.files[layout.VECTORS].sha256 for m in (ours, theirs))
    if expected != found:
        raise InputError(
            f"model {name!r} was made for another gallery: expected vectors with sha256 "
            f"{expected[:12]}…, found {found[:12]}…"
        )


def _as_in(index: StoredIndex, config: BuildConfig) -> BuildConfig:
    """The configuration with the index's own metric, engine and join; refuses others."""
    manifest, given = index.manifest, config.model_fields_set
    if "metric" in given and config.metric != manifest.metric:
        raise InputError(
            f"metric: this index compares by {manifest.metric!r}, found {config.metric!r}; models "
            "of one index share its neighbours"
        )
    default = manifest.models[manifest.default_model].config
    if "neighbors" in given and config.neighbors not in (manifest.engine, default.neighbors):
        raise InputError(
            f"neighbors: this index has the engine {manifest.engine!r}, "
            f"found {config.neighbors!r}; models of one index share its neighbours"
        )
    shape = (manifest.rows, manifest.dimension, manifest.metric)
    if "join" in given and choose_join(config.join, *shape) != choose_join(default.join, *shape):
        raise InputError(
            f"join: the neighbours of this index were found with join = {default.join!r}, "
            f"found {config.join!r}; models of one index share its neighbours"
        )
    shared = {"metric": manifest.metric, "neighbors": default.neighbors, "join": default.join}
    return config.model_copy(update=shared)


def _stored_lists(index: StoredIndex) -> NeighborLists:
    """The lists of the self-join, in memory."""
    path = index.version / layout.NEIGHBORS
    ids = map_npy(path, "<u4", index.similarities.shape)
    return NeighborLists(np.array(ids), np.array(index.similarities))


def _wider_lists(
    index: StoredIndex, planned: ModelPlan, progress: ProgressCallback
) -> NeighborLists:
    """Lists long enough for a model that needs longer ones than there are."""
    manifest = index.manifest
    width = planned.width(manifest.rows)
    how = choose_join(planned.config.join, manifest.rows, manifest.dimension, manifest.metric)
    raw = self_join(index.vectors, index.measure, width, how=how, progress=progress)
    return NeighborLists(raw.ids, index.measure.similarity(raw.similarities))


def _publish(
    writer: VersionWriter,
    index: StoredIndex,
    added: dict[str, ModelInfo],
    default_model: str,
    stages: Mapping[str, str] = MappingProxyType({}),
    without: str | None = None,
    replaced: Collection[str] = (),
) -> str:
    """Link what stays, and publish."""
    gone = None if without is None else layout.model_folder(without)
    for file, info in index.manifest.files.items():
        if file not in replaced and (gone is None or not file.startswith(gone)):
            writer.link(file, index.version / file, info)
    models = {name: info for name, info in index.manifest.models.items() if name != without}
    # Lists that were replaced are those of no stage that a build has.
    kept = {
        stage: key
        for stage, key in index.manifest.stages.items()
        if not (replaced and stage == NEIGHBORS)
        and (without is None or stage.partition(":")[2] != without)
    }
    fields = index.manifest.model_dump(exclude={"files", "models"})
    return writer.publish(
        **fields
        | {
            "kinfold_version": __version__,
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "default_model": default_model,
            "models": models | added,
            "stages": kept | dict(stages),
        }
    )
