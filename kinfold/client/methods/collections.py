"""Collections and their versions."""

from __future__ import annotations

from pydantic import BaseModel

from kinfold.client.addresses import COLLECTIONS, collection_at
from kinfold.client.answers import Activated, CollectionInfo, CollectionState, VersionInfo
from kinfold.client.calls import Call, Steps
from kinfold.client.method import Caller, answer_of, content_of, method
from kinfold.client.methods.search import json_call


class _States(BaseModel):
    collections: list[CollectionState]


class _Versions(BaseModel):
    versions: list[VersionInfo]


class Collections:
    """Collections: listed, described, created, dropped; and their versions."""

    @method
    def list_collections(self: Caller) -> Steps[list[CollectionState]]:
        """All collections, by name, with their states."""
        return (yield from answer_of(self, Call("GET", COLLECTIONS), _States)).collections

    @method
    def describe_collection(self: Caller, collection: str) -> Steps[CollectionInfo]:
        """One collection: rows, dimension, models, and what its build measured."""
        call = Call("GET", collection_at(collection))
        return (yield from answer_of(self, call, CollectionInfo))

    @method
    def create_collection(self: Caller, collection: str) -> Steps[CollectionState]:
        """Make an empty collection, for builds to fill; `ConflictError` if there is one."""
        call = json_call("POST", COLLECTIONS, {"name": collection}, repeatable=False)
        return (yield from answer_of(self, call, CollectionState))

    @method
    def drop_collection(self: Caller, collection: str) -> Steps[None]:
        """Remove a collection with all its versions, for good."""
        call = Call("DELETE", collection_at(collection), gone="unknown-collection")
        yield from content_of(self, call)

    @method
    def list_versions(self: Caller, collection: str) -> Steps[list[VersionInfo]]:
        """The versions of a collection, one of them live."""
        call = Call("GET", collection_at(collection, "versions"))
        return (yield from answer_of(self, call, _Versions)).versions

    @method
    def activate_version(self: Caller, collection: str, version: str) -> Steps[Activated]:
        """Let another version answer searches: back to an older one, or forth again."""
        call = Call("POST", collection_at(collection, "versions", version) + "/activate")
        return (yield from answer_of(self, call, Activated))

    @method
    def remove_version(self: Caller, collection: str, version: str) -> Steps[None]:
        """Remove a version that is not live, for good."""
        path = collection_at(collection, "versions", version)
        yield from content_of(self, Call("DELETE", path, gone="unknown-version"))
