"""Checks of `kinfold doctor`: libraries, cores, threads, memory, descriptors, clock."""

from __future__ import annotations

import platform
import re
import resource
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata

from cli.doctor_finding import Finding, failed, ok, warning
from indexer.estimate import readable
from kinfold import __version__
from kinfold.errors import KinfoldError
from kinfold.index import list_versions
from kinfold.threads import available_cores
from service.collections import find_collections
from service.settings import Settings

_LEAST_DESCRIPTORS = 1024
_STAMP = re.compile(r"(\d{8}T\d{6})")
_PAST = datetime(2025, 1, 1, tzinfo=UTC)


def libraries() -> Iterator[Finding]:
    """Whether what is installed is what Kinfold asks for."""
    from packaging.requirements import Requirement

    wrong = []
    try:
        required = metadata.requires("kinfold") or []
    except metadata.PackageNotFoundError:
        required = []
    for text in required:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{requirement} is missing")
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            wrong.append(f"{requirement} wanted, {found} found")
    place = f"kinfold {__version__}, Python {platform.python_version()}"
    if wrong:
        yield failed(
            "libraries",
            f"{place}; {'; '.join(wrong)}",
            "install again: pip install --constraint constraints.txt kinfold",
        )
    else:
        yield ok("libraries", place)


def machine(settings: Settings) -> Iterator[Finding]:
    """Cores, threads of the numeric libraries, memory, file descriptors."""
    import psutil
    from threadpoolctl import threadpool_info

    cores = available_cores()
    pools = ", ".join(f"{pool['internal_api']} {pool['num_threads']}" for pool in threadpool_info())
    found = f"{cores} cores; threads: {pools or 'none'}; searches at once: {settings.threads}"
    wanted = settings.threads * settings.processes
    if wanted > cores:
        yield warning(
            "cores",
            f"{found} × {settings.processes} processes",
            "more than there are cores makes each slower: lower KINFOLD_THREADS",
        )
    else:
        yield ok("cores", found)
    memory = psutil.virtual_memory()
    share = memory.available / memory.total
    text = f"{readable(memory.available)} of {readable(memory.total)} available"
    if share < 0.1:
        yield warning("memory", text, "collections are mapped: what does not fit is read from disk")
    else:
        yield ok("memory", text)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _LEAST_DESCRIPTORS:
        yield warning(
            "descriptors", f"at most {soft} open files", "ulimit -n 65536, or LimitNOFILE=65536"
        )
    else:
        yield ok("descriptors", f"at most {soft} open files")


def clock(settings: Settings) -> Iterator[Finding]:
    """Versions are named by the time, and sorted by their names."""
    present = datetime.now(UTC)
    if present < _PAST:
        yield failed("clock", f"it is {present:%Y-%m-%d}", "set it by NTP (chrony, timesyncd)")
        return
    try:
        names = find_collections(settings.data)
    except KinfoldError:
        return  # said of the data folder itself
    for name in names:
        for version in list_versions(settings.data / name)[-1:]:
            stamp = _STAMP.match(version)
            if stamp and stamp[1] > time.strftime("%Y%m%dT%H%M%S", time.gmtime()):
                yield warning(
                    "clock",
                    f"it is {present:%Y-%m-%d %H:%M} UTC; {name} has a version of later: {version}",
                    "set it by NTP (chrony, timesyncd): new versions would count as older",
                )
                return
    yield ok("clock", f"{present:%Y-%m-%d %H:%M:%S} UTC")
