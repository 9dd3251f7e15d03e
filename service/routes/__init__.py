"""The addresses of the service, a file a group."""

from __future__ import annotations

from fastapi.routing import APIRoute

from service.routes import collections, operation, search, snapshots, versions

GROUPS = (search.router, collections.router, versions.router, snapshots.router, operation.router)
"""All routers, in the order of the description."""


def all_routes() -> list[APIRoute]:
    """Every address of the service."""
    return [route for group in GROUPS for route in group.routes if isinstance(route, APIRoute)]
