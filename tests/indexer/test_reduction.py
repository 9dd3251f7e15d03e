"""Fewer dimensions: principal components, and what cannot be reduced."""

from __future__ import annotations

import numpy as np
import pytest

from indexer.reduction import reduce_source
from indexer.sources import Source
from kinfold.errors import InputError

RNG = np.random.default_rng(2)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("whiten", [False, True])
def test_reduction_is_principal_components(whiten: bool) -> None:
    vectors = (RNG.normal(size=(200, 12)) * np.linspace(3, 0.2, 12)).astype("f4") + 1
    reduced = reduce_source(Source("v", vectors), 4, whiten=whiten)
    centred = unit(vectors.astype("f8"))
    centred = centred - centred.mean(axis=0)
    _, values, directions = np.linalg.svd(centred, full_matrices=False)
    wanted = centred @ directions[:4].T
    wanted = wanted / (values[:4] / np.sqrt(200)) if whiten else wanted
    signs = np.sign((wanted * reduced.vectors).sum(axis=0))
    np.testing.assert_allclose(reduced.vectors, wanted * signs, atol=2e-4)
    if whiten:
        np.testing.assert_allclose(reduced.vectors.std(axis=0), 1, atol=1e-3)
    projection = reduced.extras.projection
    np.testing.assert_allclose(projection.apply(unit(vectors)), reduced.vectors, atol=1e-5)


def test_reductions_that_cannot_be() -> None:
    flat = np.outer(np.arange(1, 30), np.ones(5)).astype("f4")
    flat[:, 0] += RNG.normal(size=29)
    source = Source("v", flat)
    with pytest.raises(InputError, match=r"reduce: expected a dimension from 1 to 5.*found 6"):
        reduce_source(source, 6)
    with pytest.raises(InputError, match=r"at most [12]: the 29 vectors vary in no more"):
        reduce_source(source, 4)
    with pytest.raises(InputError, match="reduced already"):
        reduce_source(reduce_source(source, 1), 1)
