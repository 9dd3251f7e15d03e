"""`kinfold worker`: runs the builds that are asked for over HTTP."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

DataOption = Annotated[
    str | None,
    typer.Option("--data", help="The data folder. Default: KINFOLD_DATA, else `data`."),
]


def worker(
    data: DataOption = None,
    burst: Annotated[
        bool, typer.Option("--burst", help="End when no job is waiting any more.")
    ] = False,
    once: Annotated[
        bool, typer.Option("--once", help="End after one job, or if there is none.")
    ] = False,
) -> None:
    """Run builds that were asked for over HTTP, one after the other.

    Jobs come from Redis if KINFOLD_REDIS_URL is set, else from the data folder; see docs/jobs.md.
    SIGTERM hands the running job back, with the stages that are done, and ends.

    **Examples**

    `kinfold worker --data data`

    `KINFOLD_REDIS_URL=redis://localhost kinfold worker --data data`
    """
    from workers.local import LocalWorker
    from workers.logs import configure, worker_log
    from workers.queue import open_queue
    from workers.remote import RemoteWorker
    from workers.settings import WorkerSettings, read_settings

    settings = read_settings(WorkerSettings, **({} if data is None else {"data": data}))
    configure(settings.log_level)
    queue = open_queue(settings)
    chosen = LocalWorker(queue) if settings.redis_url is None else RemoteWorker(queue)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: chosen.stop())
    where = "the data folder" if settings.redis_url is None else "Redis"
    worker_log.info("worker for %s takes jobs from %s", settings.data, where)
    ran = chosen.work(burst=burst or once, most=1 if once else None)
    worker_log.info("worker ends after %d jobs", ran)
