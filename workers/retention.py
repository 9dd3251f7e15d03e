"""Old versions are removed after a build, by the operator's policy."""

from __future__ import annotations

from pathlib import Path

from kinfold.errors import KinfoldError
from kinfold.index.versions import collect_garbage
from workers.logs import worker_log
from workers.settings import WorkerSettings


def remove_old_versions(settings: WorkerSettings, path: Path) -> None:
    """Keep the newest KINFOLD_KEEP_VERSIONS, the live one, and those younger than KEEP_HOURS.

    Trouble here is logged and no more: the build itself went well.
    """
    try:
        garbage = collect_garbage(
            path, keep=settings.keep_versions, keep_seconds=settings.keep_hours * 3600
        )
    except (KinfoldError, OSError) as error:
        worker_log.warning("old versions of %s could not be removed: %s", path.name, error)
    else:
        if garbage.removed:
            worker_log.info("removed of %s: %s", path.name, ", ".join(garbage.removed))
