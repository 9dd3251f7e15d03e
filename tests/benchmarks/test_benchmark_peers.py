"""The peer that ratios are measured against computes the same rows of C as the product."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from benchmarks import peers
from benchmarks.galleries import curved_manifolds
from kinfold.diffusion import Solving, diffuse

ROWS, NEAREST, K_D, ALPHA, GAMMA, TOLERANCE = 1200, 99, 10, 0.95, 3.0, 1e-6


@pytest.fixture(scope="module")
def vectors():
    return curved_manifolds(ROWS, 24, queries=10, seed=1).vectors


@pytest.fixture(scope="module")
def found(vectors):
    return peers.neighbors(vectors, NEAREST)


@pytest.fixture(scope="module")
def matrix(found):
    return peers.affinity(*found, K_D, GAMMA)


@pytest.fixture(scope="module")
def chosen(matrix):
    """300 items that have an edge."""
    joined = np.flatnonzero(matrix.sum(axis=1) > 0)
    return np.random.default_rng(0).choice(joined, 300, replace=False)


def test_neighbors_are_the_nearest_others(vectors, found):
    ids, similarities = found
    exact = vectors.astype("f8") @ vectors.T.astype("f8")
    np.fill_diagonal(exact, -2)
    order = np.argsort(-exact, axis=1)[:, :NEAREST]
    np.testing.assert_allclose(similarities, np.take_along_axis(exact, order, 1), atol=1e-5)
    assert (ids != np.arange(ROWS)[:, None]).all()
    np.testing.assert_allclose(np.take_along_axis(exact, ids, 1), similarities, atol=1e-5)


def test_affinity_is_the_mutual_graph_normalised(found, matrix):
    """Against the definition, row by row and dense."""
    ids, similarities = found
    weights = np.zeros((ROWS, ROWS))
    for row in range(ROWS):
        for other, similarity in zip(ids[row, :K_D], similarities[row, :K_D], strict=True):
            weights[row, other] = max(similarity, 0) ** GAMMA
    mutual = np.minimum(weights, weights.T)
    degree = mutual.sum(axis=1)
    scale = np.where(degree > 0, 1 / np.sqrt(np.where(degree > 0, degree, 1)), 0)
    np.testing.assert_allclose(
        matrix.toarray(), mutual * scale[:, None] * scale[None, :], rtol=1e-5, atol=1e-7
    )
    assert (degree == 0).any()


def dense(columns, values):
    row = np.zeros(ROWS)
    row[columns] = values
    return row


def product_rows(matrix, ids, chosen):
    """The product's rows of C, dense."""
    solving = Solving(
        ALPHA, max_row=NEAREST + 1, mass=1.0, tolerance=TOLERANCE, max_iterations=1000
    )
    found = diffuse(sp.csr_array(matrix), solving, 2, nearest=ids.astype(np.uint32))
    return list(found.matrix.toarray()[chosen])


def test_the_peer_and_the_product_agree(found, matrix, chosen):
    ours = product_rows(matrix, found[0], chosen)
    theirs = peers.diffusion_rows(matrix, found[0], chosen, ALPHA, TOLERANCE, threads=2)
    assert len(ours) == len(theirs) == 300
    for item, row, (columns, values, converged) in zip(chosen, ours, theirs, strict=True):
        assert converged
        assert columns[0] == item
        expected = dense(columns, values)
        assert np.linalg.norm(row - expected) <= 1e-4 * np.linalg.norm(expected)
        large = expected > 1e-3 * expected.max()
        assert large.sum() > 1
        np.testing.assert_allclose(row[large], expected[large], rtol=1e-4)


def test_the_peer_solves_its_system(found, matrix, chosen):
    """Against a direct solution in double precision."""
    for item in chosen[:20]:
        columns, values, converged = peers.diffusion_row(
            matrix, found[0][item], int(item), ALPHA, TOLERANCE
        )
        local = matrix.toarray()[np.ix_(columns, columns)].astype("f8")
        right_side = (1 - ALPHA) * (np.arange(NEAREST + 1) == 0)
        exact = np.linalg.solve(np.eye(NEAREST + 1) - ALPHA * local, right_side)
        assert converged
        np.testing.assert_allclose(values, exact, rtol=1e-4, atol=1e-5 * exact.max())


def test_an_item_without_edges_keeps_to_itself(found, matrix):
    lonely = int(np.flatnonzero(matrix.sum(axis=1) == 0)[0])
    columns, values, _ = peers.diffusion_row(matrix, found[0][lonely], lonely, ALPHA, TOLERANCE)
    assert values[0] == pytest.approx(1 - ALPHA)
    assert (values[1:] == 0).all()
    assert columns.tolist() == [lonely, *found[0][lonely].tolist()]
    # The product gives it the weight 1 instead: the same ranking, another scale.
    own = product_rows(matrix, found[0], np.array([lonely]))[0]
    assert np.flatnonzero(own).tolist() == [lonely]


def test_rows_do_not_depend_on_the_threads(found, matrix, chosen):
    rows = chosen[:40]
    one = peers.diffusion_rows(matrix, found[0], rows, ALPHA, TOLERANCE, threads=1)
    two = peers.diffusion_rows(matrix, found[0], rows, ALPHA, TOLERANCE, threads=2)
    for (columns, values, _), (other_columns, other_values, _) in zip(one, two, strict=True):
        np.testing.assert_array_equal(columns, other_columns)
        np.testing.assert_array_equal(values, other_values)
