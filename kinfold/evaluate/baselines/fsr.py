"""FSR: diffusion by the largest eigenvectors of the graph."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from pydantic import Field
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from kinfold.arrays import Float32s, Floats
from kinfold.errors import InputError
from kinfold.evaluate.baselines.graph import MutualGraph
from kinfold.evaluate.baselines.registry import Baseline, Prepared, register
from kinfold.validate import row_chunks

DENSE_SPECTRUM = 3_000
"""Items up to which the whole spectrum by LAPACK is quicker than the largest part by ARPACK."""


@register
class Fsr(Baseline):
    """Iscen et al., "Fast spectral ranking for similarity search", CVPR 2018.

    1. S, y as in DFS (Iscen et al., CVPR 2017);
    2. S ≈ U Λ Uᵀ by the r largest eigenvalues (offline);
    3. score = U h(Λ) Uᵀ y, h(λ) = (1 - α) / (1 - α λ).

    With r = n it is exact diffusion. Each connected part of the graph has an eigenvalue 1, its
    eigenvector D^½ on the part: those are written down, largest parts first, because no solver
    can tell them apart, and the rest is solved for.
    """

    name: ClassVar[str] = "fsr"
    title: ClassVar[str] = "FSR"
    source: ClassVar[str] = "Iscen et al., CVPR 2018"
    transductive: ClassVar[bool] = False

    k_d: int = Field(50, ge=1, description="Neighbours an item may be joined to.")
    k_q: int = Field(10, ge=1, description="Neighbours of a query where diffusion starts.")
    gamma: float = Field(3.0, gt=0, le=100, description="Exponent of the affinity.")
    alpha: float = Field(0.99, ge=0, le=0.9999, description="How far diffusion goes.")
    rank: int = Field(1000, ge=1, description="r, the eigenvectors that are kept.")

    def prepare(self, gallery: Float32s) -> PreparedFsr:
        """See `Baseline.prepare`; keeps the gallery and (n, r) eigenvectors."""
        graph = MutualGraph.build(gallery, self.k_d, self.gamma)
        values, vectors = largest_eigenpairs(graph, self.rank)
        response = (1 - self.alpha) / (1 - self.alpha * values)
        return PreparedFsr(graph, vectors, response, self)


class PreparedFsr(Prepared):
    """The gallery's graph, its eigenvectors (n, r), and h of its eigenvalues (r,)."""

    def __init__(self, graph: MutualGraph, vectors: Floats, response: Floats, method: Fsr) -> None:
        self._graph = graph
        self._vectors = vectors
        self._response = response
        self._method = method

    def scores(self, queries: Float32s) -> Float32s:
        """See `Prepared.scores`."""
        out = np.empty((len(queries), len(self._graph.gallery)), dtype=np.float32)
        for rows in row_chunks(*out.shape):
            seeds = self._graph.seeds(queries[rows], self._method.k_q, self._method.gamma)
            spectrum = sp.csr_array(seeds.start) @ self._vectors
            out[rows] = seeds.scores((spectrum * self._response) @ self._vectors.T)
        return out


def largest_eigenpairs(graph: MutualGraph, rank: int) -> tuple[Floats, Floats]:
    """The `rank` largest eigenvalues of S, (r,), and their eigenvectors, (n, r), float64.

    Raises
    ------
    InputError
        If the eigenvalues cannot be found.
    """
    n = len(graph.degree)
    certain = part_vectors(graph, rank)
    missing = min(rank, n) - certain.shape[1]
    if not missing:
        return np.ones(certain.shape[1]), certain.toarray()
    if n <= DENSE_SPECTRUM or missing >= n - 1:
        rest = graph.transition.toarray()
        # Moved to the very end of the spectrum, where the largest of the others cannot meet them.
        rest -= 3 * (certain @ certain.T).toarray()
        values, vectors = scipy.linalg.eigh(rest, subset_by_index=(n - missing, n - 1))
    else:
        values, vectors = _lanczos(graph.transition, certain, missing)
    return (
        np.concatenate([np.ones(certain.shape[1]), values]),
        np.concatenate([certain.toarray(), vectors], axis=1),
    )


def part_vectors(graph: MutualGraph, rank: int) -> sp.csr_array:
    """(n, c) unit eigenvectors of eigenvalue 1: √degree on one of the c <= `rank` largest parts."""
    joined = np.flatnonzero(graph.degree)
    sizes = np.bincount(graph.part[joined], minlength=int(graph.part.max()) + 1)
    parts = np.argsort(-sizes, kind="stable")[: min(rank, int((sizes > 0).sum()))]
    column = np.full(sizes.size, -1)
    column[parts] = np.arange(parts.size)
    inside = joined[column[graph.part[joined]] >= 0]
    chosen = column[graph.part[inside]]
    totals = np.bincount(chosen, weights=graph.degree[inside], minlength=parts.size)
    values = np.sqrt(graph.degree[inside] / totals[chosen])
    return sp.csr_array((values, (inside, chosen)), shape=(graph.degree.size, parts.size))


def _lanczos(transition: sp.csr_array, certain: sp.csr_array, count: int) -> tuple[Floats, Floats]:
    """The `count` largest eigenpairs of S - 3 C Cᵀ; C holds known eigenvectors of value 1."""
    n = transition.shape[0]
    known = certain.T.tocsr()

    def product(vector: Floats) -> Floats:
        result: Floats = transition @ vector - 3 * (certain @ (known @ vector))
        return result

    operator = LinearOperator((n, n), matvec=product, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(n)
    try:
        values, vectors = eigsh(operator, k=count, which="LA", v0=start)
    except ArpackNoConvergence:
        raise InputError(
            f"FSR: the {count} largest eigenvalues of {n:,} items were not found; give a lower rank"
        ) from None
    return values, vectors
