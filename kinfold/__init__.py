"""Kinfold: manifold-aware search at the cost of plain kNN.

>>> import kinfold
>>> index = kinfold.build(vectors, "my-index")          # doctest: +SKIP
>>> hits = index.search(queries, k=10)                  # doctest: +SKIP
>>> hits.ids, hits.scores, hits.similarities            # doctest: +SKIP
"""

from kinfold import evaluate
from kinfold.config import BuildConfig
from kinfold.errors import (
    BusyError,
    CapacityError,
    CorruptIndexError,
    FormatError,
    InputError,
    KinfoldError,
    NewerFormatError,
    StorageError,
    UnknownNameError,
)
from kinfold.index import VerifyReport, verify
from kinfold.pipeline import add_model, build, remove_model, set_default, take_model
from kinfold.progress import Progress
from kinfold.search import Explanation, Hits, Index, SearchTimings
from kinfold.search import open_index as open
from kinfold.tuning import TuningReport, tune
from kinfold.version import __version__

__all__ = [
    "BuildConfig",
    "BusyError",
    "CapacityError",
    "CorruptIndexError",
    "Explanation",
    "FormatError",
    "Hits",
    "Index",
    "InputError",
    "KinfoldError",
    "NewerFormatError",
    "Progress",
    "SearchTimings",
    "StorageError",
    "TuningReport",
    "UnknownNameError",
    "VerifyReport",
    "__version__",
    "add_model",
    "build",
    "evaluate",
    "open",
    "remove_model",
    "set_default",
    "take_model",
    "tune",
    "verify",
]
