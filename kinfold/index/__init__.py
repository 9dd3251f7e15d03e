"""The index on disk: format, writing, publishing, opening, verifying."""

from kinfold.index.manifest import FORMAT_VERSION, Manifest, ModelInfo
from kinfold.index.publish import VersionWriter, list_versions, live_version
from kinfold.index.reader import StoredIndex, StoredModel, open_stored
from kinfold.index.verify import VerifyReport, verify

__all__ = [
    "FORMAT_VERSION",
    "Manifest",
    "ModelInfo",
    "StoredIndex",
    "StoredModel",
    "VerifyReport",
    "VersionWriter",
    "list_versions",
    "live_version",
    "open_stored",
    "verify",
]
