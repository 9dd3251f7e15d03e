"""What stands under the name of a collection, and how the file system says that it has changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from kinfold.index.publish import CURRENT
from service.answers import CollectionState, Status
from service.opened import OpenCollection

Mark = tuple[int, int, int, int]
"""Of a CURRENT file: each new one has another."""

_MOST_PAUSE = 3600.0


@dataclass(frozen=True, slots=True)
class Place:
    """What stands under a collection's name: one reference, exchanged as a whole.

    Attributes
    ----------
    opened:
        The version that answers.
    reason:
        Why the collection failed; of one that is ready: why the live version does not answer.
    next:
        A version that is being opened and warmed up.
    mark:
        Of the CURRENT file that was followed last, successfully or not.
    failures, retry_at:
        How often in a row that failed, and when it is tried again, by ``time.monotonic``.
    """

    name: str
    status: Status
    opened: OpenCollection | None = None
    reason: str | None = None
    next: str | None = None
    mark: Mark | None = None
    failures: int = 0
    retry_at: float = 0.0

    def state(self) -> CollectionState:
        """As a list shows it."""
        opened = self.opened
        return CollectionState(
            name=self.name,
            status=self.status,
            reason=self.reason,
            version=opened.version if opened else None,
            rows=len(opened.index) if opened else None,
            dimension=opened.index.dimension if opened else None,
        )

    def on_the_way_to(self, version: str) -> Place:
        """The same, with a version that is being opened."""
        status: Status = "warming" if self.status == "empty" else self.status
        return replace(self, status=status, next=version)

    def is_due(self, mark: Mark | None, now: float) -> bool:
        """Whether there is something to open: something new, or once more what failed."""
        if mark != self.mark or self.status == "warming":
            return True
        return self.failures > 0 and now >= self.retry_at


def pause_after(failures: int, shortest: float) -> float:
    """Seconds until something is tried again that failed so many times in a row."""
    return float(min(_MOST_PAUSE, shortest * 2 ** min(failures, 20)))


def mark_of(folder: Path) -> Mark | None:
    """What tells the CURRENT file of a collection from any other; None where there is none."""
    try:
        found = (folder / CURRENT).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
