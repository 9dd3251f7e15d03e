"""Noticing what changes in the data folder: by looking again and again, or when told to."""

from __future__ import annotations

import threading
from collections.abc import Callable

from workers.logs import service_log


class Watcher:
    """A thread that looks every so many seconds.

    Parameters
    ----------
    look:
        Called in the watcher's thread; what it raises is logged, and it is called again.
    seconds:
        Between two looks.
    """

    def __init__(self, look: Callable[[], None], seconds: float) -> None:
        self._look = look
        self._seconds = seconds
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kinfold-watch", daemon=True)

    def start(self) -> None:
        """Begin to look; the first time after the first pause."""
        self._thread.start()

    def look_now(self) -> None:
        """Look without waiting for the pause to end: somebody says that something has changed.

        Returns at once. May be called by any thread, as often as it likes.
        """
        self._wake.set()

    def stop(self) -> None:
        """End the thread."""
        self._ended.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while True:
            self._wake.wait(self._seconds)
            # Before looking: what is said from now on may have happened after the look.
            self._wake.clear()
            if self._ended.is_set():
                return
            try:
                self._look()
            except Exception:
                service_log.exception("the data folder could not be looked at")
