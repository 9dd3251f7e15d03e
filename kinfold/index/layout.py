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

THUMBNAILS = "thumbnails.jpegs"
"""Small pictures of the items, JPEG, one behind the other in the order of the items."""
THUMBNAIL_STARTS = "thumbnail-starts.npy"
"""(n + 1,) int64: where each of them begins, in bytes; an item without one has no bytes."""
ENCODER = "encoder.onnx"
"""What made vectors of pictures, and makes them of queries."""
ENCODER_SPEC = "encoder.json"
"""How pictures are prepared for it, and what becomes of its output; see `kinfold.encoders`."""
PROJECTION = "projection.npy"
"""(d' + 1, d) float32: the vectors are [x, 1] times it, x being as long as vectors once were."""

BLOCK_VALUES = 1 << 27
"""Values, at most, of a block of C: below 2^31, and few enough files for a large index."""

VALUE_SCALE = 32768.0
"""float16 values of C are stored times this. No entry of C exceeds 1, so this uses the whole
range of normal float16 numbers, down to 2e-9."""


def model_folder(model: str) -> str:
    """What the names of all files of a model begin with."""
    return f"models/{model}/"


def order_file(model: str) -> str:
    """(n,) uint32: the item in each slot; rows and columns of C are slots."""
    return f"models/{model}/order.npy"


def places_file(model: str) -> str:
    """(n,) uint32: the slot of each item."""
    return f"models/{model}/places.npy"


def indptr_file(model: str) -> str:
    """(n + 1,) int64: where the values of each row of C begin, counted over all blocks."""
    return f"models/{model}/indptr.npy"


def starts_file(model: str) -> str:
    """(n + 1,) int64: where the columns of each row of C begin, in bytes over all blocks."""
    return f"models/{model}/starts.npy"


def indices_file(model: str, block: int) -> str:
    """(bytes,) uint8: the columns of a block's rows, as steps; see `kernels.encode`."""
    return f"models/{model}/indices-{block:05d}.npy"


def values_file(model: str, block: int) -> str:
    """(stored,) uint8 codes, float16 or float32: the values of a block's rows."""
    return f"models/{model}/values-{block:05d}.npy"


def scales_file(model: str) -> str:
    """(n,) float32: what column and row of every slot of C are multiplied by in a search."""
    return f"models/{model}/scales.npy"


def largest_file(model: str) -> str:
    """(n,) float32: the largest value of every row, which codes are shares of; of float8 only."""
    return f"models/{model}/largest.npy"


def matrix_files(model: str, dtype: str) -> set[str]:
    """All files of C but its blocks."""
    files = {order_file, places_file, indptr_file, starts_file, scales_file}
    files |= {largest_file} if dtype == "float8" else set()
    return {file(model) for file in files}


def neighbors_file(model: str) -> str:
    """(n, k_d) uint32: the neighbours that the graph was made of."""
    return f"models/{model}/graph-neighbors.npy"


def similarities_file(model: str) -> str:
    """(n, k_d) float32: their similarities, re-calculated by the model."""
    return f"models/{model}/graph-similarities.npy"
