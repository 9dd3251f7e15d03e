"""One build of one collection, from source to published version."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from indexer.cluster import connect
from indexer.collection import collection_path
from indexer.estimate import (
    WRITE_BYTES,
    Estimate,
    available_disk,
    check_fits,
    estimate,
    readable,
    stage_seconds,
)
from indexer.progress import Event, EventCallback, Reporter, StageSummary, peak_rss_bytes
from indexer.sources import Source
from kinfold.blocks import BlockRunner
from kinfold.config import BuildConfig
from kinfold.errors import InputError, KinfoldError, StorageError
from kinfold.index import Manifest
from kinfold.index.manifest import read_manifest
from kinfold.index.publish import VERSIONS, WORK
from kinfold.pipeline import plan_build, publish
from kinfold.pipeline.events import Plan
from kinfold.pipeline.inputs import DEFAULT_MODEL
from kinfold.progress import Progress, ProgressCallback, silent
from kinfold.tuning.auto import choosing_seconds
from kinfold.tuning.candidates import candidates

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True, slots=True)
class BuildSummary:
    """What a build left behind.

    Attributes
    ----------
    path:
        The folder of the collection.
    version:
        The version that went live.
    manifest:
        All that is known of it.
    seconds:
        Wall time.
    bytes:
        On disk.
    stages:
        For each stage whether it was computed or reused, and its seconds.
    """

    path: Path
    version: str
    manifest: Manifest
    seconds: float
    bytes: int
    stages: tuple[StageSummary, ...] = ()


def build_collection(
    source: Source,
    data: str | Path,
    collection: str,
    config: BuildConfig | None = None,
    progress: ProgressCallback = silent,
    *,
    models: Mapping[str, BuildConfig] | None = None,
    threads: int | None = None,
    ray: str | None = None,
    ray_shared: bool = False,
    memory: int | None = None,
    events: EventCallback | None = None,
    fresh: bool = False,
) -> BuildSummary:
    """Build `source` into a collection of the data folder and let the new version go live.

    Either `config` says how, or `models`: several by name, the default first.

    Stages that are done are kept when the build ends early, killed or by an exception, which
    `progress` and `events` may raise to stop it; the same call then goes on from there. Stages
    that the live version has already are taken over from it.

    Parameters
    ----------
    ray:
        Compute on a Ray cluster: HOST:PORT of one that this machine belongs to, or ``auto``. This
        process alone reads the source and writes. The result is that of a build without.
    ray_shared:
        Every machine of the cluster sees the data folder at the same path, and reads vectors there.
    memory:
        Bytes that the build may take; None: all that are available. What cannot fit is refused
        before it starts, and blocks are made smaller where little is left. No result depends on it.
    events:
        Called with what happens, as plain values: see docs/builds.md.
    fresh:
        Do everything again, whatever is there.

    Raises
    ------
    InputError
        Bad data or parameters; the message begins with the source's name.
    CapacityError
        The build cannot fit into memory or disk; nothing was started.
    KinfoldError
        The Ray cluster cannot be reached, or has a machine with another environment.
    StorageError
        The disk is full, or refuses to write; what is done so far is kept.
    """
    path = collection_path(data, collection)
    reporter = Reporter(events or _nobody, _seconds_of_stages(source, config, models))
    start = time.perf_counter()
    try:
        with _runner(ray, threads, shared=ray_shared) as runner:
            version = _publish(
                source, path, config, models, progress, threads, runner, memory, reporter, fresh
            )
    except (KinfoldError, MemoryError, OSError) as error:
        reporter.tell(
            "error",
            type=type(error).__name__,
            message=str(error),
            stage=reporter.stage,
            model=reporter.model,
        )
        raise
    except BaseException:
        kept = [] if not (path / WORK).exists() else [s.as_json() for s in reporter.summaries]
        reporter.tell("interrupted", stage=reporter.stage, model=reporter.model, done=kept)
        raise
    folder = path / VERSIONS / version
    summary = BuildSummary(
        path=path,
        version=version,
        manifest=read_manifest(folder),
        seconds=time.perf_counter() - start,
        bytes=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
        stages=tuple(reporter.summaries),
    )
    reporter.tell(
        "done",
        version=version,
        seconds=round(summary.seconds, 3),
        bytes=summary.bytes,
        peak_rss_bytes=peak_rss_bytes(),
        stages=[stage.as_json() for stage in summary.stages],
    )
    return summary


@contextmanager
def _runner(ray: str | None, threads: int | None, *, shared: bool) -> Iterator[BlockRunner | None]:
    """What computes on the cluster, connected to as long as it is needed; None without one."""
    if ray is None:
        yield None
        return
    with connect(ray, threads=threads) as cluster:
        yield cluster.runner(shared_files=shared)


def _publish(
    source: Source,
    path: Path,
    config: BuildConfig | None,
    models: Mapping[str, BuildConfig] | None,
    progress: ProgressCallback,
    threads: int | None,
    runner: BlockRunner | None,
    memory: int | None,
    reporter: Reporter,
    fresh: bool,
) -> str:
    """Check that the build fits, and run it; returns the version's name."""
    figures = _figures(source, path, config, models)
    share = 1.0 if figures is None else check_fits(figures, memory)

    def told(event: Progress) -> None:
        progress(event)
        reporter.progress(event)

    try:
        return publish(
            source.vectors, path, source.ids, source.payload, config, told,
            models=models, extras=source.extras, threads=threads, runner=runner, share=share,
            resume=True, fresh=fresh, told=reporter.stages,
        )  # fmt: skip
    except InputError as error:
        raise InputError(f"{source.name}: {error}") from None
    except StorageError as error:
        if getattr(error.__cause__, "errno", None) not in _NO_ROOM or figures is None:
            raise
        done = ", ".join(dict.fromkeys(stage.stage for stage in reporter.summaries))
        raise StorageError(
            f"{error}; the build needs up to {readable(figures.disk)} beside what was there, "
            f"{readable(available_disk(path))} are free"
            + (
                f"; what is done is kept, and the same build goes on after it: {done}"
                if done
                else ""
            )
        ) from error


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """What a build would do.

    Attributes
    ----------
    plan:
        Its stages, and which of them are done.
    estimate:
        Of all of it, from nothing.
    seconds:
        Estimate of each stage by its name, done or not.
    """

    plan: Plan
    estimate: Estimate
    seconds: dict[str, float]


def plan_collection(
    source: Source,
    data: str | Path,
    collection: str,
    config: BuildConfig | None = None,
    progress: ProgressCallback = silent,
    *,
    models: Mapping[str, BuildConfig] | None = None,
    fresh: bool = False,
) -> BuildPlan:
    """What `build_collection` would do; reads the source, and writes nothing."""
    path = collection_path(data, collection)
    try:
        plan = plan_build(
            source.vectors, path, source.ids, source.payload, config, progress,
            models=models, extras=source.extras, fresh=fresh,
        )  # fmt: skip
    except InputError as error:
        raise InputError(f"{source.name}: {error}") from None
    rows, dimension = source.vectors.shape
    configs = list((models or {}).values()) or [config or BuildConfig()]
    figures = estimate_models(rows, dimension, configs, path, source.item_bytes)
    return BuildPlan(plan, figures, _seconds_of_stages(source, config, models))


def _figures(
    source: Source,
    path: Path,
    config: BuildConfig | None,
    models: Mapping[str, BuildConfig] | None,
) -> Estimate | None:
    """The estimate, less what an interrupted build has written; None for what is no gallery."""
    if source.vectors.ndim != 2:
        return None
    rows, dimension = source.vectors.shape
    configs = list((models or {}).values()) or [config or BuildConfig()]
    figures = estimate_models(rows, dimension, configs, path, source.item_bytes)
    return replace(figures, disk=max(0, figures.disk - work_bytes(path)))


def _seconds_of_stages(
    source: Source, config: BuildConfig | None, models: Mapping[str, BuildConfig] | None
) -> dict[str, float]:
    if source.vectors.ndim != 2 or (models is not None and not models):
        return {}
    rows, dimension = source.vectors.shape
    named = models or {DEFAULT_MODEL: config or BuildConfig()}
    extras = {"extras": source.extras.bytes / WRITE_BYTES} if source.extras else {}
    return stage_seconds(rows, dimension, named, source.item_bytes) | extras


def work_bytes(path: Path) -> int:
    """What an interrupted build of the collection at `path` has on disk."""
    size = 0
    with suppress(OSError):
        for file in (path / WORK).rglob("*"):
            with suppress(OSError):
                size += file.lstat().st_size
    return size


def _nobody(_event: Event) -> None:
    pass


def estimate_models(
    rows: int, dimension: int, configs: Sequence[BuildConfig], path: Path, item_bytes: int = 0
) -> Estimate:
    """Estimate a build of several models of one gallery, at least one.

    They are made one after the other: memory is that of the largest. Vectors, payload and the
    search for neighbours count once; disk is a little high, since ids, links of the kNN index and
    headers count for every model.
    """
    each = [_estimate(rows, dimension, config, path, item_bytes) for config in configs]
    first, *others = each
    if not others:
        return first
    once = _shared_bytes(first, item_bytes)
    search = estimate(rows, dimension, _least(configs[0]), path).seconds
    return replace(
        first,
        seconds=first.seconds + sum(max(0.0, figures.seconds - search) for figures in others),
        memory=max(figures.memory for figures in each),
        disk=first.disk + sum(max(0, figures.disk - once) for figures in others),
    )


def _estimate(
    rows: int, dimension: int, config: BuildConfig, path: Path, item_bytes: int = 0
) -> Estimate:
    """An estimate of one model; with `auto` of the most that it may choose, and of choosing."""
    if not config.auto:
        return estimate(rows, dimension, config, path, item_bytes)
    each = [estimate(rows, dimension, one, path, item_bytes) for one in candidates(config, rows)]
    return replace(
        each[0],
        seconds=max(figures.seconds for figures in each) + choosing_seconds(rows),
        memory=max(figures.memory for figures in each),
        disk=max(figures.disk for figures in each),
    )


def check_added_fits(manifest: Manifest, config: BuildConfig, path: Path) -> None:
    """Refuse a further model of the index at `path` that cannot fit; raises `CapacityError`."""
    alike = config.model_copy(update={"metric": manifest.metric, "neighbors": manifest.engine})
    figures = _estimate(manifest.rows, manifest.dimension, alike, path)
    check_fits(replace(figures, disk=max(0, figures.disk - _shared_bytes(figures))))


def _shared_bytes(figures: Estimate, item_bytes: int = 0) -> int:
    """What the models of an index hold together: vectors, once more in a kNN index, and payload."""
    vectors = 4 * figures.rows * figures.dimension
    return item_bytes + (vectors if figures.engine == "exact" else 2 * vectors)


def _least(config: BuildConfig) -> BuildConfig:
    """A model that costs little beside the search for neighbours."""
    return BuildConfig(
        metric=config.metric,
        neighbors=config.neighbors,
        join=config.join,
        similarity=["cosine"],
        k_d=1,
        min_degree=1,
        max_row=1,
    )
