"""Sources: files that hold a gallery, read into vectors, ids and payload."""

from indexer.sources.read import read_source
from indexer.sources.rebuild import rebuild_source
from indexer.sources.source import Columns, Source

__all__ = ["Columns", "Source", "read_source", "rebuild_source"]
