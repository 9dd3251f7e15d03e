"""More than 2^31 values: the arrays are real and of that size, on files that are mostly holes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinfold.config import BuildConfig
from kinfold.diffusion import DiffuseGroups, Solving
from kinfold.index.manifest import ModelInfo
from kinfold.index.matrix import EncodedRows
from kinfold.index.reader import StoredModel
from kinfold.kernels.order import local_groups, relabel
from kinfold.search.combine import Combiner

FAR = (1 << 31) + 77


@pytest.fixture
def behind(tmp_path: Path):
    """(values, name) -> the values at the end of an array in which FAR entries come before them."""

    def made(values: np.ndarray, name: str) -> np.ndarray:
        path = tmp_path / f"{name}.bin"
        with path.open("wb") as file:
            file.truncate((FAR + values.size) * values.itemsize)
            file.seek(FAR * values.itemsize)
            file.write(values.tobytes())
        return np.memmap(path, values.dtype, "r").view(np.ndarray)

    return made


def info(dtype: str) -> ModelInfo:
    return ModelInfo(
        config=BuildConfig(), blocks=[0], stored=FAR + 6, dtype=dtype, value_scale=1.0,
        longest_row=3, edges=1, isolated=0, not_converged=0, mean_iterations=1.0,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", ["float8", "float16", "float32"])
def test_rows_behind_two_thousand_million_values_are_read(behind, dtype):
    values = {
        "float8": np.array([240, 224, 208, 240, 224, 240], np.uint8),
        "float16": np.array([1, 0.5, 0.25, 1, 0.5, 1], np.float16).view(np.uint16),
        "float32": np.array([1, 0.5, 0.25, 1, 0.5, 1], np.float32),
    }[dtype]
    steps = np.array([0, 1, 2, 1, 2, 3], np.uint8)
    order = np.arange(4, dtype=np.uint32)
    model = StoredModel(
        name="far", info=info(dtype), order=order, places=order,
        # The first row would hold everything that is a hole.
        indptr=np.array([0, FAR, FAR + 3, FAR + 5, FAR + 6], np.int64),
        starts=np.array([0, FAR, FAR + 3, FAR + 5, FAR + 6], np.int64),
        first_rows=[0], columns=[behind(steps, "steps")], values=[behind(values, "values")],
        scales=np.ones(4, np.float32),
        largest=np.ones(4, np.float32) if dtype == "float8" else None,
    )  # fmt: skip
    columns, found = model.entries(1)
    assert columns.tolist() == [0, 1, 3]
    assert found.tolist() == [1, 0.5, 0.25]
    assert model.entries(3)[0].tolist() == [3]
    hits, scores = np.empty(4, np.uint32), np.empty(4, np.float32)
    seeds = np.array([1, 2], np.uint32)
    count = Combiner(4).combine(model, seeds, np.array([1, 2], np.float32), hits, scores)
    assert dict(zip(hits[:count].tolist(), scores[:count].tolist(), strict=True)) == {
        0: 1.0, 1: 2.5, 3: 1.25,
    }  # fmt: skip


def ring(nodes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = np.arange(nodes)
    both = np.sort(np.stack([(rows - 1) % nodes, (rows + 1) % nodes], axis=1), axis=1)
    weights = np.random.default_rng(0).uniform(0.1, 0.4, nodes)
    values = np.where(
        both == (rows[:, None] + 1) % nodes, weights[:, None], weights[(rows - 1) % nodes][:, None]
    )
    indptr = np.arange(0, 2 * nodes + 1, 2, dtype=np.uint64)
    return indptr, both.ravel().astype(np.uint32), values.ravel().astype(np.float32)


def test_a_graph_behind_two_thousand_million_edges_is_walked_and_solved(behind):
    nodes = 50
    indptr, indices, values = ring(nodes)
    task = EncodedRows(DiffuseGroups(Solving(0.9, 20, 0.99, 1e-5, 100)), "float8")
    starts = np.array([0, 16, 32, 48, nodes], np.int64)
    near = {"indptr": indptr, "indices": indices, "values": values, "starts": starts}
    far = near | {
        "indptr": indptr + np.uint64(FAR),
        "indices": behind(indices, "indices"),
        "values": behind(values, "edges"),
    }
    expected, found = task(near, 0, nodes, 1), task(far, 0, nodes, 1)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_its_nodes_are_ordered_and_named_anew(behind):
    nodes = 50
    indptr, indices, values = ring(nodes)
    results = []
    for base, columns, weights in (
        (0, indices, values),
        (FAR, behind(indices, "indices"), behind(values, "edges")),
    ):
        order, starts = np.empty(nodes, np.uint32), np.empty(nodes + 1, np.int64)
        groups = local_groups(indptr + np.uint64(base), columns, weights, 16, order, starts)
        places = np.argsort(order).astype(np.uint32)
        new = np.empty(nodes + 1, np.uint64), np.empty(100, np.uint32), np.empty(100, np.float32)
        relabel(indptr + np.uint64(base), columns, weights, order, places, *new)
        results.append([starts[: groups + 1], order, *new])
    for near, far in zip(*results, strict=True):
        np.testing.assert_array_equal(near, far)


def test_offsets_of_rows_are_of_64_bits():
    indptr, indices, values = ring(50)
    arrays = {
        "indptr": indptr, "indices": indices, "values": values,
        "starts": np.array([0, 16, 32, 48, 50], np.int64),
    }  # fmt: skip
    rows = EncodedRows(DiffuseGroups(Solving(0.9, 20, 0.99, 1e-5, 100)), "float8")(arrays, 0, 50, 1)
    assert rows["length"].dtype == rows["bytes"].dtype == np.int64
