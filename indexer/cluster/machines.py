"""The machines of a cluster, as they are now: they come and go."""

from __future__ import annotations

import time
from typing import Any

from kinfold.errors import CapacityError

_LOOK_SECONDS = 5.0


class Machines:
    """Those that are alive and have a core to compute with."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray

    def all(self) -> list[dict[str, Any]]:
        """What Ray knows of each."""
        return [
            node
            for node in self._ray.nodes()
            if node["Alive"] and node["Resources"].get("CPU", 0) >= 1
        ]

    def cores(self) -> list[int]:
        """Of each."""
        return [int(node["Resources"]["CPU"]) for node in self.all()]

    def slots(self, threads: int) -> int:
        """How many blocks of so many threads are computed at a time."""
        return sum(cores // threads for cores in self.cores())

    def smallest_store(self) -> int:
        """Bytes of the smallest object store."""
        found = [int(node["Resources"].get("object_store_memory", 0)) for node in self.all()]
        return min(found, default=0)


class Watch:
    """Looks every few seconds whether there is still somebody who computes.

    Ray itself waits without end for a machine that may come.
    """

    def __init__(self, machines: Machines, threads: int, patience: float) -> None:
        self._machines = machines
        self._threads = threads
        self._patience = patience
        self._alive = self._looked = time.monotonic()

    def look(self, *, landed: bool) -> None:
        """Called again and again, with whether a result came; raises `CapacityError`."""
        now = time.monotonic()
        if landed:
            self._alive = self._looked = now
        elif now > self._looked + min(_LOOK_SECONDS, self._patience):
            self._looked = now
            if self._machines.slots(self._threads):
                self._alive = now
            elif now > self._alive + self._patience:
                raise CapacityError(
                    "the Ray cluster has had no machine left to compute with for "
                    f"{now - self._alive:.0f} s; start workers again, and build again: "
                    "what is done is kept"
                )
