"""The page of metrics: what was counted, by all processes, and what is looked up now."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector

from kinfold import __version__
from service.answers import CollectionState
from service.metrics.names import REGISTRY

CONTENT_TYPE = CONTENT_TYPE_LATEST
FILES = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that prometheus-client reads."""


class Looked:
    """What needs no counting, since it can be looked up: collections, jobs, the processes."""

    def __init__(self, states: Sequence[CollectionState], jobs: Mapping[str, int]) -> None:
        self._states = states
        self._jobs = jobs

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        yield InfoMetricFamily("kinfold_build", "The running release.", {"version": __version__})
        version = InfoMetricFamily(
            "kinfold_collection_version", "The version that is searched.", labels=["collection"]
        )
        rows = GaugeMetricFamily(
            "kinfold_collection_rows",
            "Items of the version that is searched.",
            None,
            ["collection"],
        )
        ready = GaugeMetricFamily(
            "kinfold_collection_ready", "1: it can be searched.", None, ["collection"]
        )
        for state in self._states:
            ready.add_metric([state.name], float(state.status == "ready"))
            if state.version is not None:
                version.add_metric([state.name], {"version": state.version})
                rows.add_metric([state.name], float(state.rows or 0))
        yield from (version, rows, ready)
        jobs = GaugeMetricFamily("kinfold_jobs", "Build jobs kept, by state.", None, ["state"])
        for name, count in self._jobs.items():
            jobs.add_metric([name], float(count))
        yield jobs
        yield from self._processes()

    def _processes(self) -> Iterator[Metric]:
        count, resident, descriptors = 0, 0, 0
        for process in _of_service():
            try:
                resident += process.memory_info().rss
                descriptors += process.num_fds()
                count += 1
            except psutil.Error:
                continue
        yield GaugeMetricFamily("kinfold_processes", "Processes that serve.", count)
        yield GaugeMetricFamily(
            "kinfold_resident_bytes",
            "Memory of all processes that serve; mapped pages of a gallery count in each.",
            resident,
        )
        yield GaugeMetricFamily(
            "kinfold_open_descriptors", "Open descriptors of all processes that serve.", descriptors
        )


def _of_service() -> list[psutil.Process]:
    """The process that answers, and with several those beside it."""
    me = psutil.Process()
    if not os.environ.get(FILES):
        return [me]
    try:
        beside = psutil.Process(os.getppid()).children()
    except psutil.Error:
        return [me]
    # Multiprocessing's own helpers are children, too; who counts nothing does not serve.
    counting = {path.stem.rpartition("_")[2] for path in Path(os.environ[FILES]).glob("*.db")}
    return [one for one in beside if str(one.pid) in counting] or [me]


def metrics_page(looked: Looked) -> bytes:
    """All metrics as text; reads files where there are several processes, so not on a loop."""
    page = CollectorRegistry()
    collector: Any = looked
    page.register(collector)
    counted = REGISTRY
    if os.environ.get(FILES):
        counted = CollectorRegistry()
        collect: Any = MultiProcessCollector
        collect(counted)
    return generate_latest(counted) + generate_latest(page)
