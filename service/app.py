"""The application: settings in, a FastAPI application out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from kinfold import __version__
from service import handlers
from service.cache import open_cache
from service.collections import Collections
from service.description import SUMMARY
from service.files import FileWork
from service.jobs import Jobs
from service.metrics.names import WAITING
from service.middleware import RequestLog
from service.openapi import describe_api
from service.pool import SearchPool
from service.redis_link import open_links
from service.routes import GROUPS, all_routes
from service.security.setup import Security, believe_proxies
from service.settings import Settings, load_settings
from service.state import Service
from service.tracing import Traced, tracing_of
from workers.changes import announce

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_LOOK_SECONDS = 0.05
_SAMPLE_SECONDS = 0.5


def create_app(
    settings: Settings | None = None,
    *,
    first: bool = True,
    warm_first: bool = False,
    tracing: TracerProvider | None = None,
) -> FastAPI:
    """Build the application; what it serves is opened when it starts.

    Parameters
    ----------
    settings:
        None: from the environment.
    first:
        Whether to do what only one of several processes should.
    warm_first:
        Whether to take no request before the collections are warmed up, since others serve
        meanwhile.
    tracing:
        What makes spans. None: as KINFOLD_OTEL says.

    Raises
    ------
    InputError
        Bad settings, or an audit log that cannot be written. A data folder that cannot be read is
        refused at the start.
    """
    chosen = load_settings() if settings is None else settings
    tracing = tracing_of(chosen) if tracing is None else tracing

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        collections = Collections(
            chosen.data, chosen.verify, chosen.watch_seconds, partial(announce, chosen)
        )
        pool = SearchPool(
            chosen.threads,
            chosen.queue,
            batch=chosen.batch,
            patience=chosen.queue_ms / 1000,
        )
        jobs = Jobs(chosen, collections.watcher.look_now, works=first)
        links = await open_links(chosen)
        # The last one is that of answers alone, where there is one.
        cache = open_cache(chosen, next(reversed(links.values()), None))
        app.state.service = Service(
            chosen, collections, pool, FileWork(), jobs, redis=links, cache=cache
        )
        collections.start()
        security.start()
        jobs.start()
        sampling = asyncio.create_task(_sample(pool))
        while warm_first and collections.unsettled():
            await asyncio.sleep(_LOOK_SECONDS)
        try:
            yield
        finally:
            sampling.cancel()
            await security.close()
            jobs.close()
            pool.close()
            collections.close()
            if cache is not None:
                await cache.close()
            for link in links.values():
                await link.close()
            if tracing is not None:
                await asyncio.to_thread(tracing.shutdown)
            # Files stay mapped as long as anything refers to them.
            del app.state.service

    app = FastAPI(
        title="Kinfold",
        summary=SUMMARY,
        version=__version__,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        lifespan=lifespan,
        # FastAPI's own pages load scripts from another host; `routes` has one that does not.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for group in GROUPS:
        app.include_router(group)
    # The last one that is added is the first that a request meets.
    security = Security(chosen)
    security.guard(app)
    app.add_middleware(RequestLog)
    if tracing is not None:
        app.add_middleware(Traced, provider=tracing)
    believe_proxies(app, chosen.trusted_proxies)
    handlers.install(app, all_routes())

    @cache
    def description() -> dict[str, Any]:
        return describe_api(app)

    app.openapi = description  # type: ignore[method-assign]
    return app


async def _sample(pool: SearchPool) -> None:
    """Tell the metrics how many wait; counting each that comes and goes would cost more."""
    while True:
        WAITING.set(pool.waiting)
        await asyncio.sleep(_SAMPLE_SECONDS)
