"""Small random cases for the property tests of this room."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st


@dataclass
class Case:
    """Rankings of a gallery with n items, and two labels for everything."""

    rankings: np.ndarray
    query_labels: np.ndarray
    gallery_labels: np.ndarray
    query_cameras: np.ndarray
    gallery_cameras: np.ndarray

    def row(self, query: int) -> list[int]:
        return [int(item) for item in self.rankings[query] if item >= 0]

    def same_label(self, query: int) -> list[int]:
        label = self.query_labels[query]
        return [item for item, other in enumerate(self.gallery_labels) if other == label]


def pad(rows: list[list[int]]) -> np.ndarray:
    width = max(1, *(len(row) for row in rows))
    return np.array([row + [-1] * (width - len(row)) for row in rows])


@st.composite
def cases(draw: st.DrawFn, truncated: bool = True) -> Case:
    m = draw(st.integers(1, 4))
    n = draw(st.integers(1, 14))
    rows = []
    for _ in range(m):
        order = draw(st.permutations(range(n)))
        length = draw(st.integers(0, n)) if truncated else n
        rows.append(list(order[:length]))

    def values(count: int, low: int, high: int) -> np.ndarray:
        return np.array(draw(st.lists(st.integers(low, high), min_size=count, max_size=count)))

    return Case(pad(rows), values(m, -1, 3), values(n, -1, 3), values(m, 0, 2), values(n, 0, 2))


@st.composite
def ranked_hits(draw: st.DrawFn) -> tuple[list[bool], int]:
    hits = draw(st.lists(st.booleans(), max_size=20))
    return hits, sum(hits) + draw(st.integers(0, 5))


def cut(rankings: np.ndarray, width: int) -> np.ndarray:
    return rankings[:, : max(1, width)]


def agree(found: float, expected: float) -> bool:
    return bool(np.isclose(found, expected, rtol=1e-12, atol=0, equal_nan=True))
