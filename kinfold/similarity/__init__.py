"""Similarity models of R-DiP: neighbour lists in, re-calculated neighbour lists out.

A model is a file here, found by its name in the registry; models chain in any order.
"""

from kinfold.similarity import cosine as _cosine  # registers itself
from kinfold.similarity.registry import (
    SimilarityModel,
    apply_models,
    model_names,
    register,
    resolve,
)

__all__ = ["SimilarityModel", "apply_models", "model_names", "register", "resolve"]

del _cosine
