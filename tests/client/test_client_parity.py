"""Every address of the service has a method, in both clients, with one description."""

from __future__ import annotations

import inspect
import json

import pytest

from kinfold.client import AsyncClient, Client
from kinfold.client.method import method
from kinfold.client.methods import Methods
from service.openapi import COMMITTED

METHODS = {
    "search_collection": "search",
    "list_items": "list_items",
    "get_thumbnail": "get_thumbnail",
    "get_map": "get_map",
    "list_collections": "list_collections",
    "describe_collection": "describe_collection",
    "create_collection": "create_collection",
    "drop_collection": "drop_collection",
    "list_versions": "list_versions",
    "activate_version": "activate_version",
    "remove_version": "remove_version",
    "export_snapshot": "download_snapshot",
    "import_snapshot": "upload_snapshot",
    "upload": "upload",
    "ask_for_build": "start_build",
    "list_builds": "list_builds",
    "describe_build": "get_build",
    "follow_build": "wait_for_build",
    "cancel_build": "cancel_build",
    "retry_build": "retry_build",
    "health": "is_alive",
    "readiness": "readiness",
    "metrics": "metrics",
}
"""The client's method for each operation of the description."""


def operations() -> list[str]:
    document = json.loads(COMMITTED.read_text(encoding="utf-8"))
    return [
        operation["operationId"]
        for path in document["paths"].values()
        for operation in path.values()
    ]


@pytest.mark.parametrize("operation", operations())
def test_every_operation_has_a_method(operation: str) -> None:
    name = METHODS[operation]
    for client in (Client, AsyncClient):
        assert callable(getattr(client, name))


def test_both_clients_have_the_same_methods() -> None:
    described = {
        name
        for part in Methods.__mro__
        for name, value in vars(part).items()
        if isinstance(value, method)
    }
    assert described >= set(METHODS.values())
    for name in described:
        assert getattr(Client, name) is getattr(AsyncClient, name)
        assert inspect.getdoc(getattr(Client, name))
    with Client("http://a") as client:
        signature = inspect.signature(client.search)
    assert next(iter(signature.parameters)) == "collection"
    assert signature.parameters["k"].default == 10
