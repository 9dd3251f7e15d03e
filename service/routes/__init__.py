"""The addresses of the service, a file a group."""

from __future__ import annotations

from fastapi.routing import APIRoute

from service.routes import (
    builds,
    collections,
    items,
    operation,
    search,
    snapshots,
    uploads,
    versions,
    web,
)

GROUPS = (
    search.router, items.router, collections.router, versions.router, snapshots.router,
    builds.router, uploads.router, operation.router, web.router,
)  # fmt: skip
"""All routers, in the order of the description."""


def all_routes() -> list[APIRoute]:
    """Every address of the service."""
    return [route for group in GROUPS for route in group.routes if isinstance(route, APIRoute)]
