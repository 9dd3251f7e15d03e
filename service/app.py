"""The application: settings in, a FastAPI application out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache, partial
from typing import Any

from fastapi import FastAPI

from kinfold import __version__
from service import handlers
from service.collections import Collections
from service.description import SUMMARY
from service.files import FileWork
from service.jobs import Jobs
from service.middleware import RequestLog
from service.openapi import describe_api
from service.pool import SearchPool
from service.routes import GROUPS, all_routes
from service.security.setup import Security, believe_proxies
from service.settings import Settings, load_settings
from service.state import Service
from workers.changes import announce


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the application; what it serves is opened when it starts.

    Parameters
    ----------
    settings:
        None: from the environment.

    Raises
    ------
    InputError
        Bad settings, or an audit log that cannot be written. A data folder that cannot be read is
        refused at the start.
    """
    chosen = load_settings() if settings is None else settings

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        collections = Collections(
            chosen.data, chosen.verify, chosen.watch_seconds, partial(announce, chosen)
        )
        pool = SearchPool(chosen.threads, chosen.queue)
        jobs = Jobs(chosen, collections.watcher.look_now)
        app.state.service = Service(chosen, collections, pool, FileWork(), jobs)
        collections.start()
        security.start()
        jobs.start()
        try:
            yield
        finally:
            await security.close()
            jobs.close()
            pool.close()
            collections.close()
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
    believe_proxies(app, chosen.trusted_proxies)
    handlers.install(app, all_routes())

    @cache
    def description() -> dict[str, Any]:
        return describe_api(app)

    app.openapi = description  # type: ignore[method-assign]
    return app
