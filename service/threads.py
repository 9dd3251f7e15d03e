"""How threads that compute share the cores with each other and with the event loop."""

from __future__ import annotations

import os
import sys
from threading import get_native_id

import faiss

_SEARCHING = 5
_LOADING = 10
"""Niceness above that of the process."""


def prepare_searching() -> None:
    """Make the calling thread one that searches: on one core, and after the event loop.

    Under more load than there is room for, searches would else take every core from the one
    thread that says no.
    """
    _use_one_core()
    _give_way(_SEARCHING)


def prepare_loading() -> None:
    """Make the calling thread one that opens and warms up versions: searches come before it."""
    _use_one_core()
    _give_way(_LOADING)


def _use_one_core() -> None:
    """Keep faiss (OpenMP, and the OpenBLAS that it brings) on the calling thread.

    OpenMP's limit belongs to the thread that sets it, so each worker sets its own. Searches run
    side by side instead: together they use `threads` cores, not `threads` times all of them.
    """
    faiss.omp_set_num_threads(1)


def _give_way(nicer: int) -> None:
    """Lower the priority of the calling thread; only Linux has one for each."""
    if sys.platform == "linux":
        thread = get_native_id()
        nice = min(19, os.getpriority(os.PRIO_PROCESS, thread) + nicer)
        os.setpriority(os.PRIO_PROCESS, thread, nice)
