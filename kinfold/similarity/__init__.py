"""Similarity models of R-DiP: neighbour lists in, re-calculated neighbour lists out.

A model is a file here, found by its name in the registry; models chain in any order.
"""

# Each module registers its model.
from kinfold.similarity import (
    alpha_qe as _alpha_qe,
)
from kinfold.similarity import (
    boundary as _boundary,
)
from kinfold.similarity import (
    c_crf as _c_crf,
)
from kinfold.similarity import (
    cas as _cas,
)
from kinfold.similarity import (
    conaff as _conaff,
)
from kinfold.similarity import (
    cosine as _cosine,
)
from kinfold.similarity import (
    k_reciprocal as _k_reciprocal,
)
from kinfold.similarity import (
    lhrr as _lhrr,
)
from kinfold.similarity import (
    mean as _mean,
)
from kinfold.similarity import (
    rdp as _rdp,
)
from kinfold.similarity import (
    superglobal as _superglobal,
)
from kinfold.similarity.registry import (
    SimilarityModel,
    apply_models,
    model_names,
    register,
    resolve,
)

__all__ = ["SimilarityModel", "apply_models", "model_names", "register", "resolve"]

del (
    _alpha_qe,
    _boundary,
    _c_crf,
    _cas,
    _conaff,
    _cosine,
    _k_reciprocal,
    _lhrr,
    _mean,
    _rdp,
    _superglobal,
)
