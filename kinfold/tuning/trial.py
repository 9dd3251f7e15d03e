"""Rankings under many settings: one self-join and one run of each similarity model for all."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from kinfold.affinity import build_graph
from kinfold.arrays import Float32s, Int64s
from kinfold.config import BuildConfig, Metric
from kinfold.diffusion import Solving, diffuse
from kinfold.metric import Measure
from kinfold.neighbors import NeighborLists, scaled_measure, self_join
from kinfold.search.seeds import seed_weights
from kinfold.similarity import apply_models, resolve
from kinfold.similarity.width import list_width
from kinfold.tuning.sample import closeness_of


class Trial:
    """A gallery and queries that are not in it, ranked in memory as an index would.

    The arithmetic is a build's and a search's, without rounding to float16.
    """

    def __init__(
        self, vectors: Float32s, queries: Float32s, metric: Metric, width: int, threads: int
    ) -> None:
        """Find all neighbours.

        Parameters
        ----------
        vectors, queries:
            (n, d) and (m, d), of length one (or zero) for cosine.
        width:
            Neighbours that the widest setting needs.
        """
        self._vectors, self._threads = vectors, threads
        self._measure = Measure(metric)
        self._raw = self_join(vectors, self._measure, width)
        self._closeness = closeness_of(queries, vectors, self._measure)
        self.nearest: Int64s = np.argsort(-self._closeness, axis=1, kind="stable")
        self._recalculated: dict[tuple[str, int, int], NeighborLists] = {}

    @property
    def lists(self) -> NeighborLists:
        """The neighbours of every item, by closeness."""
        return self._raw

    def rankings(self, config: BuildConfig, depth: int) -> Int64s:
        """(m, depth) positions for every query, best first."""
        rows = self._vectors.shape[0]
        scores = self._scores(config)
        order: Int64s = np.argsort(-scores, axis=1, kind="stable")[:, : min(depth, rows)]
        for row, reached in enumerate((scores > 0).sum(axis=1)):
            # What diffusion did not reach follows in the order of plain neighbours.
            if reached < order.shape[1]:
                rest = self.nearest[row][scores[row, self.nearest[row]] <= 0]
                order[row, reached:] = rest[: order.shape[1] - reached]
        return order

    def _scores(self, config: BuildConfig) -> Float32s:
        """(m, n) F = S·C, rows of C normalised as the configuration has it."""
        rows = self._vectors.shape[0]
        measure = scaled_measure(self._raw, self._measure, config.k_d)
        matrix = self._matrix(config, measure)
        count = min(config.k_q, rows)
        positions = self.nearest[:, :count]
        similarities = measure.similarity(np.take_along_axis(self._closeness, positions, axis=1))
        weights = seed_weights(
            positions.astype(np.uint32),
            similarities,
            measure.similarity(self._raw.similarities),
            measure,
            config,
            config.seeds,
        )
        indptr = np.arange(0, positions.size + 1, count)
        chosen = sp.csr_array(
            (weights.ravel(), positions.ravel(), indptr), shape=(len(positions), rows)
        )
        dense: Float32s = (chosen @ matrix).toarray()
        return dense

    def _matrix(self, config: BuildConfig, measure: Measure) -> sp.csr_array:
        graph = build_graph(
            self._similarities(config, measure),
            config.k_d,
            config.graph,
            config.min_degree,
            config.exponent,
            config.rank_scale,
        )
        found = diffuse(
            graph.matrix,
            Solving.of(config),
            self._threads,
            nearest=self._raw.ids if config.truncation == "nearest" else None,
        )
        matrix = found.matrix
        if config.unit_diagonal:
            scales = 1 / np.sqrt(found.diagonal)
            lengths = np.diff(matrix.indptr)
            matrix.data *= np.repeat(scales, lengths) * scales[matrix.indices]
        return matrix

    def _similarities(self, config: BuildConfig, measure: Measure) -> NeighborLists:
        """What the similarity models say; kept, since settings differ in more than these."""
        chain = [resolve(spec) for spec in config.similarity]
        width = list_width(config, chain, self._vectors.shape[0])
        name = "+".join(spec.model_dump_json() for spec in config.similarity)
        # Under l2 similarities have a scale that depends on k_d.
        key = (name, width, config.k_d if measure.by_distance else 0)
        if key not in self._recalculated:
            relative = measure.relative(measure.similarity(self._raw.similarities[:, :width]))
            lists = NeighborLists(np.ascontiguousarray(self._raw.ids[:, :width]), relative)
            self._recalculated[key] = apply_models(chain, lists, self._vectors)
        return self._recalculated[key]


def width_of(configs: list[BuildConfig], rows: int) -> int:
    """Neighbours that a self-join has to find for all of these settings."""
    widths = [
        max(
            list_width(config, [resolve(spec) for spec in config.similarity], rows),
            config.max_row - 1 if config.truncation == "nearest" else 0,
        )
        for config in configs
    ]
    return min(max(widths), rows - 1)
