"""The batch job: read a source, estimate, build, publish a version of a collection."""

from indexer.collection import collection_path, collections_in
from indexer.estimate import Estimate, check_fits, estimate
from indexer.job import BuildSummary, build_collection
from indexer.sources import Source, read_source

__all__ = [
    "BuildSummary",
    "Estimate",
    "Source",
    "build_collection",
    "check_fits",
    "collection_path",
    "collections_in",
    "estimate",
    "read_source",
]
