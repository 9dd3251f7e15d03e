"""Searching: kNN, then the linear combination S·C."""

from kinfold.search.filters import Filter, read_filter
from kinfold.search.hits import Explanation, Hits
from kinfold.search.index import Index, open_index
from kinfold.search.timings import SearchTimings

__all__ = [
    "Explanation",
    "Filter",
    "Hits",
    "Index",
    "SearchTimings",
    "open_index",
    "read_filter",
]
