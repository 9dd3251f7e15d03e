"""Published query-time re-ranking methods, to measure the pre-computed index against.

A method is a file here, found by its name in the registry.
"""

# Each module registers its methods.
from kinfold.evaluate.baselines import (
    cas as _cas,
)
from kinfold.evaluate.baselines import (
    dfs as _dfs,
)
from kinfold.evaluate.baselines import (
    dqe as _dqe,
)
from kinfold.evaluate.baselines import (
    egt as _egt,
)
from kinfold.evaluate.baselines import (
    fsr as _fsr,
)
from kinfold.evaluate.baselines import (
    gnn as _gnn,
)
from kinfold.evaluate.baselines import (
    k_reciprocal as _k_reciprocal,
)
from kinfold.evaluate.baselines import (
    knn as _knn,
)
from kinfold.evaluate.baselines import (
    knn_reranking as _knn_reranking,
)
from kinfold.evaluate.baselines import (
    query_expansion as _query_expansion,
)
from kinfold.evaluate.baselines import (
    rdp as _rdp,
)
from kinfold.evaluate.baselines import (
    superglobal as _superglobal,
)
from kinfold.evaluate.baselines.order import best_first
from kinfold.evaluate.baselines.registry import (
    DENSE_ROWS,
    Baseline,
    Prepared,
    baseline_names,
    refuse_large,
    register,
    resolve,
)

__all__ = [
    "DENSE_ROWS",
    "Baseline",
    "Prepared",
    "baseline_names",
    "best_first",
    "refuse_large",
    "register",
    "resolve",
]

del (
    _cas,
    _dfs,
    _dqe,
    _egt,
    _fsr,
    _gnn,
    _k_reciprocal,
    _knn,
    _knn_reranking,
    _query_expansion,
    _rdp,
    _superglobal,
)
