"""Builds on a Ray cluster: the same blocks as on one machine, computed on many."""

from indexer.cluster.connection import Cluster, connect
from indexer.cluster.runner import RayRunner

__all__ = ["Cluster", "RayRunner", "connect"]
