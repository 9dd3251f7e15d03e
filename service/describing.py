"""What the service tells of a collection and of its versions."""

from __future__ import annotations

from collections.abc import Callable

from kinfold.index import Manifest
from kinfold.index.extras import Extras
from kinfold.index.manifest import TuningInfo
from kinfold.index.quality import read_evaluation
from kinfold.index.versions import VersionInfo, disk_bytes
from kinfold.search.index import KNN
from service.answers import CollectionInfo, EncoderInfo, ModelInfo, PicturesInfo, Quality
from service.collections import Collections
from service.version_answers import VersionState


def describe(collections: Collections, name: str) -> CollectionInfo:
    """All that the manifest tells of a collection, and where it stands; reads the disk.

    Raises
    ------
    ProblemError
        No such collection, or it is not open yet, or it failed.
    """
    place = collections.place(name)
    if place.status != "empty":
        collections.opened(name)
    bare = CollectionInfo(
        name=name,
        status=place.status,
        reason=place.reason,
        next=place.next,
        disk_bytes=disk_bytes(collections.path(name)),
    )
    if place.opened is None:
        return bare
    index = place.opened.index
    manifest = index.manifest
    return bare.model_copy(
        update={
            "version": place.opened.version,
            "created": manifest.created,
            "kinfold_version": manifest.kinfold_version,
            "rows": manifest.rows,
            "dimension": manifest.dimension,
            "metric": manifest.metric,
            "ids": manifest.ids,
            "payload_columns": manifest.payload_columns,
            "engine": manifest.engine,
            "neighbor_recall": manifest.neighbor_recall,
            "default_model": manifest.default_model,
            "models": index.models,
            "evaluation": read_evaluation(collections.path(name), place.opened.version),
            "pictures": _describe_pictures(index.extras),
            "details": [_describe_model(model, manifest) for model in index.models if model != KNN],
        }
    )


def _describe_pictures(extras: Extras) -> PicturesInfo:
    encoder = None
    if extras.encoder is not None:
        size = extras.encoder.spec.get("size", [])
        encoder = EncoderInfo(
            name=str(extras.encoder.spec.get("name", "")),
            size=[size, size] if isinstance(size, int) else size,
        )
    return PicturesInfo(thumbnails=extras.thumbnails is not None, encoder=encoder)


def _describe_model(name: str, manifest: Manifest) -> ModelInfo:
    info = manifest.models[name]
    return ModelInfo(
        name=name,
        parameters=info.config,
        stored=info.stored,
        mean_row=round(info.stored / manifest.rows, 2),
        longest_row=info.longest_row,
        dtype=info.dtype,
        edges=info.edges,
        isolated=info.isolated,
        not_converged=info.not_converged,
        mean_iterations=info.mean_iterations,
        quality=None if info.tuning is None else quality_of(info.tuning),
    )


def quality_of(tuning: TuningInfo) -> Quality:
    """The scores of the parameters before and after the choice, as far as they were measured."""
    first = tuning.tried[0].parameters if tuning.tried else {}
    chosen = [
        tried.score
        for tried in tuning.tried
        if {key: value for key, value in tried.parameters.items() if value != first.get(key)}
        == tuning.changed
    ]
    return Quality(
        by=tuning.by,
        score=chosen[0] if chosen else None,
        score_before=tuning.tried[0].score if tuning.tried else None,
        queries=tuning.queries,
        reason=tuning.reason,
    )


def describe_version(info: VersionInfo, shorten: Callable[[str], str]) -> VersionState:
    """One version in a list; `shorten` makes a message fit for clients."""
    manifest = info.manifest
    return VersionState(
        version=info.name,
        live=info.live,
        bytes=info.bytes,
        own_bytes=info.own_bytes,
        damaged=None if info.damaged is None else shorten(info.damaged),
        created=manifest.created if manifest else None,
        rows=manifest.rows if manifest else None,
        dimension=manifest.dimension if manifest else None,
        models=sorted(manifest.models) if manifest else [],
        default_model=manifest.default_model if manifest else None,
    )
