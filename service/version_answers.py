"""What the service takes and answers where collections and versions are changed."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from kinfold.index.publish import COLLECTION_NAME


class NewCollection(BaseModel):
    """A collection to be created."""

    model_config = ConfigDict(strict=True, extra="forbid")

    name: str = Field(
        pattern=f"^{COLLECTION_NAME.pattern}$",
        description="1 to 64 of a-z, 0-9, _ and -, the first a letter or digit.",
    )


class DroppedCollection(BaseModel):
    """A collection that is no more."""

    collection: str
    dropped: bool = True


class VersionState(BaseModel):
    """One version of a collection."""

    version: str
    live: bool = Field(description="Whether it is the one that whoever opens the collection gets.")
    bytes: int = Field(description="Of all its files.")
    own_bytes: int = Field(
        description="Of those that no other version shares: what removing it would free."
    )
    damaged: str | None = Field(None, description="Why it cannot be opened.")
    created: str | None = Field(None, description="When it was built, UTC.")
    rows: int | None = None
    dimension: int | None = None
    models: list[str] = []
    default_model: str | None = None


class VersionList(BaseModel):
    """The versions of a collection, oldest first."""

    collection: str
    live: str | None = Field(description="The live version; null before the first.")
    serving: str | None = Field(
        description="The version that this process answers from; for a moment another one, while "
        "a new live version is opened."
    )
    disk_bytes: int = Field(
        description="Of all its files; one that several versions share counts once."
    )
    versions: list[VersionState]


class Activated(BaseModel):
    """A version that is live now."""

    collection: str
    version: str
    previous: str | None = Field(description="The version that was live before.")
    serving: bool = Field(
        description="Whether this process answers from it already. Otherwise it is still opening "
        "it, and answers from the version before meanwhile."
    )


class RemovedVersion(BaseModel):
    """A version that is no more."""

    collection: str
    version: str
    freed_bytes: int
