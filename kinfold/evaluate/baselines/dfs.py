"""DFS: diffusion over the whole gallery, solved while the query waits."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from kinfold.arrays import Float32s, Floats
from kinfold.evaluate.baselines.graph import MutualGraph
from kinfold.evaluate.baselines.registry import Baseline, Prepared, register
from kinfold.validate import row_chunks


@register
class Dfs(Baseline):
    """Iscen et al., "Efficient diffusion on region manifolds", CVPR 2017, on global descriptors.

    1. A_ij = max(x_i · x_j, 0)^γ where each is among the other's k_d nearest, S = D^-½ A D^-½
       (offline);
    2. y_i = max(q · x_i, 0)^γ at the k_q items nearest to q, 0 elsewhere;
    3. f: (I - α S) f = (1 - α) y, by conjugate gradient; score = f.

    Items that no path joins to a seed follow in the order of similarity, see `Seeds.scores`.

    The query is outside the graph. Twenty iterations are the paper's; α = .99 is then not solved
    to its end, so the exact diffusion of the tables takes ``iterations=1000``. The paper's k_d is
    meant for classes of about 50 items and more. The item itself does not count among the k_d,
    which published programs that search by k_d do count.
    """

    name: ClassVar[str] = "dfs"
    title: ClassVar[str] = "DFS"
    source: ClassVar[str] = "Iscen et al., CVPR 2017"
    transductive: ClassVar[bool] = False

    k_d: int = Field(50, ge=1, description="Neighbours an item may be joined to.")
    k_q: int = Field(10, ge=1, description="Neighbours of a query where diffusion starts.")
    gamma: float = Field(3.0, gt=0, le=100, description="Exponent of the affinity.")
    alpha: float = Field(0.99, ge=0, le=0.9999, description="How far diffusion goes.")
    iterations: int = Field(20, ge=1, description="Most conjugate gradient iterations.")
    tolerance: float = Field(1e-6, gt=0, lt=1, description="Relative residual that is enough.")

    def prepare(self, gallery: Float32s) -> PreparedDfs:
        """See `Baseline.prepare`; builds the graph, sparse, and keeps the gallery."""
        return PreparedDfs(MutualGraph.build(gallery, self.k_d, self.gamma), self)


class PreparedDfs(Prepared):
    """The gallery's graph."""

    def __init__(self, graph: MutualGraph, method: Dfs) -> None:
        self._graph = graph
        self._method = method

    def scores(self, queries: Float32s) -> Float32s:
        """See `Prepared.scores`."""
        method = self._method
        out = np.empty((len(queries), len(self._graph.gallery)), dtype=np.float32)
        for rows in row_chunks(*out.shape):
            seeds = self._graph.seeds(queries[rows], method.k_q, method.gamma)
            diffused = self.solve((1 - method.alpha) * seeds.start)
            out[rows] = seeds.scores(diffused)
        return out

    def solve(self, start: Floats) -> Floats:
        """F with F (I - α S) = `start`, (m, n) float64, every row by its own conjugate gradient.

        Rows run side by side and stop one by one, at the relative residual or the last iteration.
        """
        method = self._method
        solution = np.zeros_like(start)
        open_rows = np.flatnonzero(start.any(axis=1))
        residual = start[open_rows].copy()
        direction = residual.copy()
        square = np.einsum("ij,ij->i", residual, residual)
        enough = method.tolerance**2 * square
        for _ in range(method.iterations):
            if not open_rows.size:
                break
            # S is symmetric: S dᵀ is (d S)ᵀ, and sparse matrices multiply from the left.
            image = direction - method.alpha * (self._graph.transition @ direction.T).T
            step = square / np.einsum("ij,ij->i", direction, image)
            solution[open_rows] += step[:, None] * direction
            residual -= step[:, None] * image
            before, square = square, np.einsum("ij,ij->i", residual, residual)
            left = square > enough
            direction = residual[left] + (square[left] / before[left])[:, None] * direction[left]
            residual, square, enough = residual[left], square[left], enough[left]
            open_rows = open_rows[left]
        return solution
