"""What a build will take, said before it starts; and a refusal of what cannot fit."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kinfold.config import BuildConfig
from kinfold.diffusion.tasks import BLOCK_VALUES
from kinfold.errors import CapacityError, KinfoldError
from kinfold.neighbors import choose_engine, choose_join
from kinfold.neighbors.cells import CELLS_OF_AN_ITEM, cell_count
from kinfold.similarity import SimilarityModel, resolve
from kinfold.similarity.flat import BLOCK_ROWS
from kinfold.similarity.width import list_width
from kinfold.threads import available_cores
from kinfold.tuning.auto import choosing_seconds

# Measured on one core of a current server processor; a rough guide, stated as such.
_EXACT_FLOPS = 30e9
_CELL_FLOPS = 40e9
_CELL_ITEM_SECONDS = 45e-6
_CELL_LISTS = 5
_HNSW_ROWS = 1500.0
_HNSW_DIMENSION = 128
_ROW_SECONDS = 5e-6
_ROW_ITEM_SECONDS = 0.12e-6
_OVERHEAD_SECONDS = 1.0
WRITE_BYTES = 400e6

_FIXED_MEMORY = 300 << 20
_BLOCK_VALUE_BYTES = 44
_FIXED_DISK = 1 << 20
_LINK_BYTES = 192
_BYTES_A_COLUMN = 1.5
_BYTES_A_VALUE = {"float8": 1, "float16": 2, "float32": 4}
_CELL_ITEM_BYTES = 250
_LIST_COPIES = 16
_GRAPH_COPIES = 3
_ORDER_BYTES = 60
_IN_PASSES = {"mean", "cas", "k-reciprocal"}
_LEAST_SHARE = 1 / 32
"""Blocks so much smaller are still worth their administration."""


@dataclass(frozen=True, slots=True)
class _GroupFiles:
    """How one version of control groups names what it knows of memory."""

    controller: str
    limit: str
    used: str
    cache: str


_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?(?:([kKMGT])(i)?)?B?")

_GROUPS = Path("/sys/fs/cgroup")
_GROUPS_OF_PROCESS = Path("/proc/self/cgroup")
_GROUP_FILES = (
    _GroupFiles("", "memory.max", "memory.current", "inactive_file"),
    _GroupFiles("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


@dataclass(frozen=True, slots=True)
class Estimate:
    """Rough figures of a build, and what the machine has.

    Attributes
    ----------
    seconds:
        Wall time on the cores that this process may use.
    memory, disk:
        Bytes at the peak; on disk at most, since rows of C are shorter where the data has shape,
        and with what lies in the work folder on the way.
    blocks:
        Of `memory`, what is only so large because blocks are.
    memory_available, disk_available:
        Bytes that could be had now.
    """

    rows: int
    dimension: int
    engine: str
    cores: int
    seconds: float
    memory: int
    blocks: int
    disk: int
    memory_available: int
    disk_available: int

    @property
    def least_memory(self) -> int:
        """Bytes at the peak when blocks are as small as they may be."""
        return self.memory - int(self.blocks * (1 - _LEAST_SHARE))


def estimate(
    rows: int, dimension: int, config: BuildConfig, path: Path, item_bytes: int = 0
) -> Estimate:
    """Estimate a build of (rows, dimension) at `path`, with `item_bytes` of ids and payload."""
    cores = available_cores()
    engine = choose_engine(config.neighbors, rows, dimension)
    models, k_m = _models(config, rows)
    width = k_m
    if config.truncation == "nearest":
        width = min(max(width, config.max_row), rows - 1)
    costs = [model.cost(k_m, dimension) for model in models]
    row = min(config.max_row, rows)
    how = choose_join(config.join, rows, dimension, config.metric)
    join = _join_seconds(how, rows, dimension) + _engine_seconds(engine, rows, dimension)
    diffusion = rows * (_ROW_SECONDS + row * _ROW_ITEM_SECONDS)
    similarity = rows * sum(cost.seconds for cost in costs)
    vectors = 4 * rows * dimension
    lists = 8 * rows * width
    matrix = int(rows * row * (_BYTES_A_COLUMN + _BYTES_A_VALUE[config.dtype]))
    index = 0 if engine == "exact" else vectors + _LINK_BYTES * rows
    graph = 8 * rows * config.k_d
    kept = 8 * rows * k_m
    # Stages run one after the other. What passes give lies in files, and so does what they read;
    # but pages that are read again and again want to stay.
    search = index if how == "exact" else max(index, _CELL_ITEM_BYTES * rows)
    models_own = rows * (max((cost.memory for cost in costs), default=0) + _LIST_COPIES * k_m)
    graph_own = _GRAPH_COPIES * graph + _ORDER_BYTES * rows
    blocks = _BLOCK_VALUE_BYTES * min(rows * row, BLOCK_VALUES)
    own = max(search, models_own, graph_own)
    written = [c.memory for m, c in zip(models, costs, strict=True) if m.name in _IN_PASSES]
    passes = 0
    if rows > BLOCK_ROWS:  # of a single block nothing is written
        found = 8 * rows * width * (1 if how == "exact" else _CELL_LISTS)
        passes = max(found, rows * max(written, default=0), matrix)
    return Estimate(
        rows=rows,
        dimension=dimension,
        engine=engine,
        cores=cores,
        seconds=_OVERHEAD_SECONDS + (join + similarity + diffusion) / cores,
        memory=_FIXED_MEMORY + vectors + lists + own + blocks,
        blocks=blocks,
        disk=_FIXED_DISK
        + vectors
        + index
        + kept
        + graph
        + matrix
        + passes
        + 60 * rows
        + item_bytes,
        memory_available=available_memory(),
        disk_available=available_disk(path),
    )


def stage_seconds(
    rows: int, dimension: int, models: Mapping[str, BuildConfig], item_bytes: int = 0
) -> dict[str, float]:
    """Roughly the seconds of each stage of a build, by the stage's name, in order."""
    cores, seconds = available_cores(), dict[str, float]()
    first = next(iter(models.values()))
    for name, config in models.items():
        if config.auto:
            seconds[f"choice:{name}"] = choosing_seconds(rows)
    seconds["vectors"] = 4.0 * rows * dimension / WRITE_BYTES
    seconds["items"] = item_bytes / WRITE_BYTES
    engine = choose_engine(first.neighbors, rows, dimension)
    how = choose_join(first.join, rows, dimension, first.metric)
    seconds["knn"] = _engine_seconds(engine, rows, dimension) / cores
    seconds["neighbors"] = _join_seconds(how, rows, dimension) / cores
    for name, config in models.items():
        chain, k_m = _models(config, rows)
        costs = [model.cost(k_m, dimension).seconds for model in chain]
        seconds[f"similarity:{name}"] = rows * sum(costs) / cores
        row = min(config.max_row, rows)
        seconds[f"diffusion:{name}"] = rows * (_ROW_SECONDS + row * _ROW_ITEM_SECONDS) / cores
    return seconds


def _join_seconds(how: str, rows: int, dimension: int) -> float:
    """Seconds of one core that the self-join takes."""
    if how == "exact":
        return 2.0 * rows**2 * dimension / _EXACT_FLOPS
    share = CELLS_OF_AN_ITEM**2 * rows / cell_count(rows) + cell_count(rows)
    return rows * (2.0 * share * dimension / _CELL_FLOPS + _CELL_ITEM_SECONDS)


def _engine_seconds(engine: str, rows: int, dimension: int) -> float:
    """Seconds of one core that making the kNN index takes."""
    if engine == "exact":
        return 0.0
    if engine == "ivf":
        return 2.0 * rows * cell_count(rows) * dimension / _CELL_FLOPS
    return rows / _HNSW_ROWS * max(0.25, dimension / _HNSW_DIMENSION)


def _models(config: BuildConfig, rows: int) -> tuple[list[SimilarityModel], int]:
    """The similarity models and their k_m; none where they cannot be, which the build says."""
    try:
        models = [resolve(spec) for spec in config.similarity]
        return models, list_width(config, models, rows)
    except KinfoldError:
        return [], min(config.k_d, rows - 1)


def check_fits(figures: Estimate, memory: int | None = None) -> float:
    """Refuse a build that cannot fit; raises `CapacityError` with both figures.

    Parameters
    ----------
    memory:
        Bytes that it may take; None: all that are available.

    Returns
    -------
    float
        How large blocks may be, in units of what they usually are, for it to fit.
    """
    most = figures.memory_available if memory is None else memory
    room = min(most, figures.memory_available)
    least = figures.least_memory
    if least > room:
        allowed = room < most or memory is None
        raise CapacityError(
            f"the build needs about {readable(least)} of memory, {readable(room)} are "
            + ("available" if allowed else "allowed to it")
            + "; use fewer rows, a smaller k_m, or truncation = 'graph'"
            + ("" if allowed else ", or allow it more")
        )
    if figures.disk > figures.disk_available:
        raise CapacityError(
            f"the build needs up to {readable(figures.disk)} on disk, "
            f"{readable(figures.disk_available)} are free; free some space, or lower max_row"
        )
    spare = room - (figures.memory - figures.blocks)
    return min(1.0, spare / figures.blocks) if figures.blocks else 1.0


def available_memory() -> int:
    """Bytes of memory that can be had, the control group's limit respected."""
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                available = int(line.split()[1]) * 1024
    except OSError:
        pass
    return max(0, min([available, *_left_to_groups()]))


def _left_to_groups() -> Iterator[int]:
    """What the control groups of this process, each inside the next, still allow."""
    try:
        lines = _GROUPS_OF_PROCESS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        for version in _GROUP_FILES:
            if version.controller in controllers.split(","):
                root = _GROUPS / version.controller
                # Inside a container the name may be that of the host; the root is always ours.
                group = root / name.strip("/")
                for folder in (group, *group.parents):
                    yield from _left(folder, version)
                    if folder == root:
                        break


def _left(group: Path, files: _GroupFiles) -> Iterator[int]:
    """Limit minus use, where the group has a limit; a cache that can be dropped is no use."""
    try:
        limit = int((group / files.limit).read_text(encoding="ascii"))
        used = int((group / files.used).read_text(encoding="ascii"))
        counts = (group / "memory.stat").read_text(encoding="ascii").splitlines()
        cache = sum(int(line.split()[1]) for line in counts if line.split()[0] == files.cache)
    except (OSError, ValueError):
        return
    yield limit - used + cache


def available_disk(path: Path) -> int:
    """Bytes free on the disk that will hold `path`."""
    folder = path.absolute()
    while True:
        try:
            return shutil.disk_usage(folder).free
        except OSError:
            if folder == folder.parent:
                raise
            folder = folder.parent


def as_bytes(text: str) -> int:
    """Bytes as people write them: ``8G``, ``512 MB``, ``1.5GiB``; raises `ValueError`."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"expected a size such as 8G, 512MB or 1.5GiB, found {text!r}")
    base = 1024 if match[3] else 1000
    size = int(float(match[1]) * base ** " KMGT".index((match[2] or " ").upper()))
    if size < 1:
        raise ValueError(f"expected a size of at least one byte, found {text!r}")
    return size


def readable(size: float) -> str:
    """Bytes for people: 1.5 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit in ("B", "kB") else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
