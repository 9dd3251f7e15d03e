"""SIGINT and SIGTERM during long work: stop soon and cleanly; the second one ends at once."""

from __future__ import annotations

import atexit
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from cli.console import err, say_stopped

STOPPED = 130
SIGNALS = (signal.SIGINT, signal.SIGTERM)

UNHEARD_SECONDS = 1.0
"""How long Python may be out of reach, in a kernel, before the process is ended from beside it."""

LEAVING_SECONDS = 20.0
"""How long leaving may take, which is removing files, once Python has heard of it."""


@contextmanager
def stoppable(say: Callable[[], None]) -> Iterator[None]:
    """Let signals end the block by `KeyboardInterrupt`.

    Python hears of a signal only between two of its own steps, and a kernel may be one step for
    long. So somebody waits beside it: after a second it ends the process itself. What is marked as
    done is whole at any time, and a lock ends with its process, so that nothing is lost by this.

    Parameters
    ----------
    say:
        Tells the user what was stopped; called where the process is ended so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard, left = threading.Event(), threading.Event()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if heard.is_set():
            # Of the second one; the watcher ends the process.
            return
        heard.set()
        raise KeyboardInterrupt

    def watch(reader: int) -> None:
        if not _signalled(reader, None):
            return
        last = time.monotonic() + UNHEARD_SECONDS
        was_heard = False
        while not left.is_set():
            if heard.is_set() and not was_heard:
                was_heard, last = True, time.monotonic() + LEAVING_SECONDS
            if _signalled(reader, 0.05):
                _end()
            if time.monotonic() > last:
                say()
                say_stopped()
                _end()

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = {number: signal.signal(number, interrupt) for number in SIGNALS}
    woken = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    watcher = threading.Thread(target=watch, args=(reader,), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        left.set()
        if heard.is_set():
            atexit.register(_ignore)
        signal.set_wakeup_fd(woken)
        for number, handler in before.items():
            # Once stopped, the process only ends: a second signal then ends it at once.
            signal.signal(number, _leave if heard.is_set() else handler)
        os.close(writer)
        watcher.join()
        os.close(reader)


def _signalled(reader: int, seconds: float | None) -> bool:
    """Wait for one of our signals; False when there was none, or will be none any more."""
    while select.select([reader], [], [], seconds)[0]:
        found = os.read(reader, 1)
        if not found:
            return False
        if found[0] in SIGNALS:
            return True
    return False


def _leave(_number: int, _frame: FrameType | None) -> None:
    """The second signal, when the work has ended and the process has not."""
    _end()


def _ignore() -> None:
    """The interpreter's very last steps know no handlers: there a signal would be the exit code."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _end() -> None:
    """Leave now, whatever Python is doing, with the terminal in order."""
    err.show_cursor(True)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(STOPPED)
