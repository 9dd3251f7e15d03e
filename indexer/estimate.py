"""What a build will take, said before it starts; and a refusal of what cannot fit."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from kinfold.config import BuildConfig
from kinfold.errors import CapacityError
from kinfold.neighbors import choose_engine
from kinfold.threads import available_cores

# Measured on one core of a current server processor; a rough guide, stated as such.
_EXACT_FLOPS = 30e9
_HNSW_ROWS = 1500.0
_HNSW_DIMENSION = 128
_IVF_ROWS = 8000.0
_ROW_SECONDS = 15e-6
_ROW_ITEM_SECONDS = 0.35e-6
_OVERHEAD_SECONDS = 1.0

_FIXED_MEMORY = 500 << 20
_BYTES_A_VALUE = 6
_MEAN_ROW = 0.35
"""Stored values of a row as a share of max_row, at most; measured rows are shorter."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Rough figures of a build, and what the machine has.

    Attributes
    ----------
    seconds:
        Wall time on the cores that this process may use.
    memory, disk:
        Bytes at the peak.
    memory_available, disk_available:
        Bytes that could be had now.
    """

    rows: int
    dimension: int
    engine: str
    cores: int
    seconds: float
    memory: int
    disk: int
    memory_available: int
    disk_available: int


def estimate(rows: int, dimension: int, config: BuildConfig, path: Path) -> Estimate:
    """Estimate a build of (rows, dimension) at `path`."""
    cores = available_cores()
    engine = choose_engine(config.neighbors, rows, dimension)
    width = max(config.k_d, config.k_m or 0)
    if config.truncation == "nearest":
        width = max(width, config.max_row)
    width = min(width, rows - 1)
    row = min(config.max_row, rows)
    if engine == "exact":
        join = 2.0 * rows**2 * dimension / _EXACT_FLOPS
    else:
        rate = _HNSW_ROWS if engine == "hnsw" else _IVF_ROWS
        join = rows / rate * max(0.25, dimension / _HNSW_DIMENSION)
    diffusion = rows * (_ROW_SECONDS + row * _ROW_ITEM_SECONDS)
    vectors = 4 * rows * dimension
    lists = 8 * rows * width
    value_bytes = _BYTES_A_VALUE + (2 if config.dtype == "float32" else 0)
    matrix = int(rows * max(1.0, row * _MEAN_ROW) * value_bytes)
    copies = 1 if engine == "exact" else 2
    return Estimate(
        rows=rows,
        dimension=dimension,
        engine=engine,
        cores=cores,
        seconds=_OVERHEAD_SECONDS + (join + diffusion) / cores,
        memory=_FIXED_MEMORY + copies * vectors + 3 * lists + 80 * rows * config.k_d,
        disk=copies * vectors + 8 * rows * config.k_d + matrix + 16 * rows,
        memory_available=available_memory(),
        disk_available=available_disk(path),
    )


def check_fits(figures: Estimate) -> None:
    """Refuse a build that cannot fit; raises `CapacityError` with both figures."""
    if figures.memory > figures.memory_available:
        raise CapacityError(
            f"the build needs about {readable(figures.memory)} of memory, "
            f"{readable(figures.memory_available)} are available; use fewer rows, a smaller k_m, "
            "or truncation = 'graph'"
        )
    if figures.disk > figures.disk_available:
        raise CapacityError(
            f"the build needs up to {readable(figures.disk)} on disk, "
            f"{readable(figures.disk_available)} are free; free some space, or lower max_row"
        )


def available_memory() -> int:
    """Bytes of memory that can be had, the control group's limit respected."""
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                available = int(line.split()[1]) * 1024
    except OSError:
        pass
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        used = int((group / "memory.current").read_text(encoding="ascii"))
        if limit != "max":
            available = min(available, int(limit) - used)
    except (OSError, ValueError):
        pass
    return max(0, available)


def available_disk(path: Path) -> int:
    """Bytes free on the disk that will hold `path`."""
    folder = path.absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def readable(size: float) -> str:
    """Bytes for people: 1.5 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit in ("B", "kB") else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
