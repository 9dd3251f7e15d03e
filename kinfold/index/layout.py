"""Names of the files of a version, the same for the writer and the reader."""

from __future__ import annotations

VECTORS = "vectors.npy"
IDS = "ids.arrow"
IDS_ORDER = "ids-order.npy"
PAYLOAD = "payload.arrow"
ENGINE = "knn.faiss"
NEIGHBORS = "neighbors.npy"
"""(n, k_m) uint32: the nearest neighbours of every item, best first; models are made of them."""
SIMILARITIES = "similarities.npy"
"""(n, k_m) float32: their similarities by the metric; seeds of queries are held against them."""
ID_COLUMN = "id"

BLOCK_VALUES = 1 << 25
"""Values after which a block of C is closed: far below 2^31, and little enough to be held in
memory while a build collects it (200 MB)."""

VALUE_SCALE = 32768.0
"""float16 values of C are stored times this. No entry of C exceeds 1, so this uses the whole
range of normal float16 numbers, down to 2e-9."""


def model_folder(model: str) -> str:
    """What the names of all files of a model begin with."""
    return f"models/{model}/"


def indptr_file(model: str) -> str:
    """(n + 1,) int64: where each row of C begins, counted over all blocks."""
    return f"models/{model}/indptr.npy"


def indices_file(model: str, block: int) -> str:
    """(stored,) uint32: the columns of a block's rows, ascending in each row."""
    return f"models/{model}/indices-{block:05d}.npy"


def values_file(model: str, block: int) -> str:
    """(stored,) float16 or float32: the values of a block's rows."""
    return f"models/{model}/values-{block:05d}.npy"


def scales_file(model: str) -> str:
    """(n,) float32: what row and column of every item in C are multiplied by in a search."""
    return f"models/{model}/scales.npy"


def neighbors_file(model: str) -> str:
    """(n, k_d) uint32: the neighbours that the graph was made of."""
    return f"models/{model}/graph-neighbors.npy"


def similarities_file(model: str) -> str:
    """(n, k_d) float32: their similarities, re-calculated by the model."""
    return f"models/{model}/graph-similarities.npy"
