from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinfold.kernels.sort import sort_columns


def sort(columns, count, largest):
    columns = np.array(columns, dtype=np.uint32)
    values = np.arange(columns.size, dtype=np.float32)
    spare = np.empty(columns.size, dtype=np.uint32), np.empty(columns.size, dtype=np.float32)
    histogram = np.full(256, 77, dtype=np.uint32)
    sort_columns(columns, values, count, largest, *spare, histogram)
    return columns.tolist(), values.tolist()


@given(st.data())
def test_equals_sorted(data):
    largest = data.draw(st.one_of(st.integers(0, 70_000), st.integers(0, 2**32 - 2)))
    columns = data.draw(st.lists(st.integers(0, largest), max_size=80))
    count = data.draw(st.integers(0, len(columns)))
    order = sorted(range(count), key=lambda place: columns[place])
    rest = list(range(count, len(columns)))
    assert sort(columns, count, largest) == (
        [columns[place] for place in order + rest],
        [float(place) for place in order + rest],
    )


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_around_every_byte(bits):
    edge = (1 << bits) - 2
    columns = [edge, edge - 1, 0, edge // 2, 1, max(edge - 255, 7), min(255, edge)]
    assert sort(columns, len(columns), edge)[0] == sorted(columns)
