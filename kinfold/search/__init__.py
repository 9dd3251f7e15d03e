"""Searching: kNN, then the linear combination S·C."""

from kinfold.search.hits import Explanation, Hits
from kinfold.search.index import Index, open_index

__all__ = ["Explanation", "Hits", "Index", "open_index"]
