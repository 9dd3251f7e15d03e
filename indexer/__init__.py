"""The batch job: read a source, estimate, build, publish a version of a collection."""

from indexer.collection import collection_path, collections_in
from indexer.estimate import Estimate, as_bytes, check_fits, estimate
from indexer.job import BuildPlan, BuildSummary, build_collection, plan_collection
from indexer.progress import Event, EventCallback, StageSummary
from indexer.sources import Source, read_source, rebuild_source

__all__ = [
    "BuildPlan",
    "BuildSummary",
    "Estimate",
    "Event",
    "EventCallback",
    "Source",
    "StageSummary",
    "as_bytes",
    "build_collection",
    "check_fits",
    "collection_path",
    "collections_in",
    "estimate",
    "plan_collection",
    "read_source",
    "rebuild_source",
]
