"""How many neighbours a chain of similarity models is handed."""

from __future__ import annotations

from collections.abc import Sequence

from kinfold.config import BuildConfig
from kinfold.errors import InputError
from kinfold.similarity.cosine import Cosine
from kinfold.similarity.registry import SimilarityModel


def list_width(config: BuildConfig, chain: Sequence[SimilarityModel], rows: int) -> int:
    """Neighbours handed to the models; a given k_m that is too small for one is refused."""
    for model in chain:
        if config.k_m is not None and config.k_m < model.least_neighbors():
            raise InputError(
                f"k_m = {config.k_m} is too small for the similarity model {model.name!r}, "
                f"which needs {model.least_neighbors()} neighbours with its parameters"
            )
    wanted = config.k_m or max(model.neighbors_needed() for model in chain)
    if config.k_m is None and any(not isinstance(model, Cosine) for model in chain):
        # Models put the lists into another order: let the graph's neighbours be a choice.
        wanted = max(wanted, 2 * config.k_d)
    return min(max(wanted, config.k_d), rows - 1)
