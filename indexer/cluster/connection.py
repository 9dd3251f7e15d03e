"""Connecting to a Ray cluster, after making sure that it can do the work."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from indexer.cluster import environment
from indexer.cluster.library import ray_library, silent
from indexer.cluster.machines import Machines
from indexer.cluster.reach import check_reachable, in_a_line, is_local, is_open, loopback, split
from indexer.cluster.runner import RayRunner
from kinfold.errors import KinfoldError
from kinfold.threads import available_cores

AUTO = "auto"
CONNECT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Ray cluster that this process is connected to.

    Attributes
    ----------
    address:
        HOST:PORT.
    machines, cores:
        That compute, as they were when it was connected to.
    started:
        It was started for this, on this machine only, and ends with it.
    processors:
        Their kinds. With more than one, results may differ in last bits from those of one machine.
    """

    address: str
    machines: int
    cores: int
    started: bool
    processors: tuple[str, ...]

    def runner(self, *, num_cpus: int | None = None, shared_files: bool = False) -> RayRunner:
        """What computes blocks on it; see `RayRunner`. This machine shares files with itself."""
        return RayRunner(num_cpus=num_cpus, shared_files=shared_files or self.started)


@contextlib.contextmanager
def connect(
    address: str,
    *,
    threads: int | None = None,
    seconds: float = CONNECT_SECONDS,
    expected: Mapping[str, str] | None = None,
) -> Iterator[Cluster]:
    """Connect to a Ray cluster for as long as the block runs.

    Parameters
    ----------
    address:
        HOST:PORT of a cluster that this machine belongs to; or ``auto``: the one that this process
        is connected to, the one that runs here, or else one that is started here.
    threads:
        Cores of the one that is started; None: all.
    seconds:
        For reaching it, and again for asking its machines what they compute with.
    expected:
        What all machines must have; None: what is here.

    Raises
    ------
    KinfoldError
        Ray is not installed; nobody answers; a machine has another Python, Kinfold or NumPy.
    """
    ray = ray_library()
    if ray.is_initialized():
        if address != AUTO:
            raise KinfoldError(
                "this process is connected to a Ray cluster already; "
                f"say {AUTO!r} to use that one, or call ray.shutdown() before"
            )
        yield _examined(ray, seconds, expected, started=False)
        return
    found = _running(ray) if address == AUTO else address
    started = found is None
    if found is not None:
        check_reachable(found, seconds)
    with silent(ray):
        try:
            _init(ray, found, threads)
            yield _examined(ray, seconds, expected, started=started)
        finally:
            ray.shutdown()


def _running(ray: Any) -> str | None:
    """The address of the cluster that runs on this machine."""
    address = os.environ.get("RAY_ADDRESS") or ray._private.utils.read_ray_address()
    if address is None or address == "local":
        return None
    # Ray leaves the address behind when it is killed.
    if "RAY_ADDRESS" not in os.environ and is_open(address, 1.0) is not None:
        return None
    return str(address)


def _init(ray: Any, address: str | None, threads: int | None) -> None:
    local = address is None or is_local(split(address)[0])
    options: dict[str, Any] = {"address": address or "local"}
    if address is None:
        options |= {"num_cpus": threads or available_cores(), "include_dashboard": False}
    try:
        with _own_signals(), loopback(on=local):
            ray.init(log_to_driver=False, configure_logging=False, logging_level="ERROR", **options)
    except (ray.exceptions.RayError, RuntimeError, ValueError, OSError) as error:
        where = "started here" if address is None else f"connected to at {address}"
        raise KinfoldError(f"Ray cannot be {where}: {in_a_line(str(error))}") from None


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Ray takes SIGTERM for itself; it is the program's."""
    here = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) if here else None
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _examined(
    ray: Any, seconds: float, expected: Mapping[str, str] | None, *, started: bool
) -> Cluster:
    """The cluster, after each of its machines has said what it computes with."""
    machines = Machines(ray)
    nodes = machines.all()
    expected = expected or environment.describe()
    processors = set()
    for node, found in zip(nodes, _ask(ray, nodes, seconds), strict=True):
        environment.check(_name(node), found, expected)
        processors.add(found[environment.PROCESSOR])
    return Cluster(
        address=ray.get_runtime_context().gcs_address,
        machines=len(nodes),
        cores=sum(machines.cores()),
        started=started,
        processors=tuple(sorted(processors)),
    )


def _ask(ray: Any, nodes: list[dict[str, Any]], seconds: float) -> list[dict[str, str]]:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    pickle: Any = ray.cloudpickle

    # By its code: the other side may not have this module, which is what shall be found out.
    pickle.register_pickle_by_value(environment)
    try:
        ask = ray.remote(environment.describe)
        refs = [
            ask.options(
                num_cpus=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], False),
            ).remote()
            for node in nodes
        ]
    finally:
        pickle.unregister_pickle_by_value(environment)
    done, late = ray.wait(refs, num_returns=len(refs), timeout=seconds) if refs else ([], [])
    if late:
        names = ", ".join(
            _name(node) for node, ref in zip(nodes, refs, strict=True) if ref not in done
        )
        for ref in late:
            ray.cancel(ref, force=True)
        raise KinfoldError(
            f"no answer within {seconds:.0f} s from the Ray workers on {names}; "
            "look at their load and at Ray's logs there, or take them out of the cluster"
        )
    try:
        answers: list[dict[str, str]] = ray.get(refs)
    except ray.exceptions.RayError as error:
        raise KinfoldError(
            f"a Ray worker could not say what it computes with: {in_a_line(str(error))}"
        ) from None
    return answers


def _name(node: dict[str, Any]) -> str:
    return f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
