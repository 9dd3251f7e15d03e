"""The one place that imports Ray, which is an extra and takes most of a second."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
from collections.abc import Iterator
from typing import Any

from kinfold.errors import KinfoldError


def ray_library() -> Any:
    """Ray, silent, and telling nobody that it is used; an error that says how to get it."""
    # Read when Ray is imported, and by all processes that it starts.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        raise KinfoldError(
            f"a build on a cluster needs Ray, which cannot be imported ({error}); "
            "pip install 'kinfold[ray]'"
        ) from None
    logging.getLogger("ray").setLevel(logging.ERROR)
    return ray


@contextlib.contextmanager
def silent(ray: Any) -> Iterator[None]:
    """Keep Ray from writing to standard output what happens to workers.

    It has no option for that, and a build that goes on has nothing to say there; one that does not
    says so by an exception.
    """
    worker: dict[str, Any] = vars(ray._private.worker)
    before = worker.get("print_to_stdstream")
    worker["print_to_stdstream"] = _drop
    try:
        yield
    finally:
        worker["print_to_stdstream"] = before


def _drop(*_arguments: Any, **_options: Any) -> None:
    pass
