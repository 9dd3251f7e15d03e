"""What the library gives, as dense arrays to compare."""

from __future__ import annotations

import numpy as np


def stored_matrix(index):
    """C of an open index, (n, n) float64."""
    result = np.zeros((len(index), len(index)))
    for row, (columns, values) in enumerate(index.iterate_rows()):
        result[row, columns] = values
    return result


def counted_matrix(index):
    """C as a search takes it, its rows and columns scaled, (n, n) float64."""
    model = index._stored.models[index.manifest.default_model]
    scales = model.scales[model.places].astype(np.float64)
    return stored_matrix(index) * np.outer(scales, scales)


def by_position(hits, values, rows):
    """(m, n): `values` of the hits put where the items are."""
    result = np.zeros((len(hits), rows))
    np.put_along_axis(result, hits.positions.astype(np.int64), values, axis=1)
    return result


def assert_rows_close(found, expected, tolerance):
    """Rows agree to `tolerance` times the largest value of the expected row."""
    largest = np.abs(expected).max(axis=1)
    error = np.abs(found - expected).max(axis=1)
    worst = int(np.argmax(error - tolerance * largest))
    assert (error <= tolerance * largest).all(), (
        f"row {worst}: off by {error[worst]:.3g}, largest value {largest[worst]:.3g}"
    )


def assert_scores_close(found, expected, metric, tolerance):
    """Scores of one query agree; by inner product up to the query's length, which ranks nothing."""
    if metric == "inner_product":
        found = found / found.max(axis=1, keepdims=True)
        expected = expected / expected.max(axis=1, keepdims=True)
    assert_rows_close(found, expected, tolerance)
