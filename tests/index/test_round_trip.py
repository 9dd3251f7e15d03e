"""What goes into a build comes out of the index, whatever is chosen for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import kinfold
from kinfold import BuildConfig
from kinfold.index import layout

from .support import BLOCKS, gallery, live, nested_payload, simple_payload, small_blocks, text_ids

ROWS = 60


def normalised(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def by_hand(metric: str, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """All positions, nearest first."""
    if metric == "l2":
        return np.argsort(((queries[:, None] - vectors) ** 2).sum(axis=2), axis=1, kind="stable")
    return np.argsort(-(queries @ vectors.T), axis=1, kind="stable")


@pytest.mark.parametrize("dtype", ["float8", "float16", "float32"])
@pytest.mark.parametrize("engine", ["exact", "hnsw", "ivf"])
@pytest.mark.parametrize("metric", ["cosine", "l2", "inner_product"])
def test_built_and_reopened_answer_alike(tmp_path, metric, engine, dtype):
    config = BuildConfig(metric=metric, neighbors=engine, dtype=dtype, k_d=5)
    vectors = gallery(ROWS)

    built = kinfold.build(vectors, tmp_path, config=config)
    opened = kinfold.open(tmp_path)

    assert opened.manifest == built.manifest
    model = opened.manifest.models["default"]
    assert (opened.manifest.metric, opened.manifest.engine) == (metric, engine)
    assert (model.dtype, model.config) == (dtype, config)
    expected = normalised(vectors) if metric == "cosine" else vectors
    np.testing.assert_allclose(opened.vectors, expected, rtol=1e-6)
    left = built.search(vectors[:9], 5)
    right = opened.search(vectors[:9], 5)
    np.testing.assert_array_equal(left.positions, right.positions)
    np.testing.assert_array_equal(left.scores, right.scores)
    nearest = opened.search(vectors[:9], 5, "knn").positions
    np.testing.assert_array_equal(nearest, by_hand(metric, expected[:9], expected)[:, :5])
    assert kinfold.verify(tmp_path).ok


def test_every_precision_stores_the_same_matrix(tmp_path):
    vectors = gallery(ROWS)
    dtypes = {"float8": 0.032, "float16": 2.0**-11, "float32": 0}
    found = {}
    for dtype in dtypes:
        kinfold.build(vectors, tmp_path / dtype, config=BuildConfig(dtype=dtype, k_d=5))
        found[dtype] = kinfold.open(tmp_path / dtype)

    scales = [found[dtype].manifest.models["default"].value_scale for dtype in dtypes]
    assert scales == [1, 32768, 1]
    for dtype, precision in dtypes.items():
        for (columns, values), (exact_columns, exact) in zip(
            found[dtype].iterate_rows(), found["float32"].iterate_rows(), strict=True
        ):
            # A share of less than 2^-15 of the largest has no code of eight bits.
            there = exact >= 2.0**-15 * exact.max() if dtype == "float8" else exact > 0
            kept = np.isin(exact_columns, columns)
            assert kept[there].all()
            np.testing.assert_array_equal(columns, exact_columns[kept])
            np.testing.assert_allclose(values, exact[kept], rtol=precision)
    for file in (layout.scales_file, layout.order_file, layout.places_file):
        eight, single = (
            np.load(live(tmp_path / d) / file("default")) for d in ("float8", "float32")
        )
        np.testing.assert_array_equal(eight, single)
    exists = [
        (live(tmp_path / dtype) / layout.largest_file("default")).exists() for dtype in dtypes
    ]
    assert exists == [True, False, False]


@pytest.mark.parametrize("dtype", ["float8", "float16", "float32"])
def test_several_blocks_hold_the_same_matrix_as_one(tmp_path, monkeypatch, dtype):
    """Byte by byte: what the blocks hold is what the one holds, cut."""
    vectors, config = gallery(ROWS), BuildConfig(k_d=5, dtype=dtype)
    kinfold.build(vectors, tmp_path / "one", config=config)
    small_blocks(monkeypatch)
    kinfold.build(vectors, tmp_path / "many", config=config)
    one, many = kinfold.open(tmp_path / "one"), kinfold.open(tmp_path / "many")

    assert one.manifest.models["default"].blocks == [0]
    assert many.manifest.models["default"].blocks == BLOCKS
    for left, right in zip(one.iterate_rows(), many.iterate_rows(), strict=True):
        np.testing.assert_array_equal(left[0], right[0])
        np.testing.assert_array_equal(left[1], right[1])
    folders = [live(tmp_path / name) for name in ("one", "many")]
    for file in (layout.indices_file, layout.values_file):
        whole = np.load(folders[0] / file("default", 0))
        parts = [np.load(folders[1] / file("default", block)) for block in range(len(BLOCKS))]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    for name in layout.matrix_files("default", dtype):
        np.testing.assert_array_equal(np.load(folders[0] / name), np.load(folders[1] / name))
    queries = gallery(20, seed=7)
    np.testing.assert_array_equal(
        one.search(queries, 30).positions, many.search(queries, 30).positions
    )
    assert kinfold.verify(tmp_path / "many").ok


ODD_TEXTS = [
    "",
    " ",
    "é",
    "e\u0301",
    "日本語",
    "🙂",
    "a/b\\c",
    "../x",
    "line\nbreak",
    "x" * 5000,
    "0",
]


@pytest.mark.parametrize(
    "ids",
    [
        None,
        [int(v) for v in np.random.default_rng(3).permutation(ROWS)],
        [-(2**63), 2**63 - 1, *range(100, 100 + ROWS - 2)],
        np.arange(ROWS, dtype=np.uint8)[::-1],
        [*ODD_TEXTS, *(f"id {row}" for row in range(ROWS - len(ODD_TEXTS)))],
    ],
    ids=["rows", "shuffled", "extreme integers", "small dtype", "odd texts"],
)
def test_ids_come_back(tmp_path, ids):
    kinfold.build(gallery(ROWS), tmp_path, ids=ids, config=BuildConfig(k_d=5))
    index = kinfold.open(tmp_path)

    expected = list(range(ROWS)) if ids is None else list(ids)
    found = index.ids_of(np.arange(ROWS, dtype=np.uint32)).tolist()
    assert found == expected
    assert [index.position(item) for item in expected] == list(range(ROWS))
    hits = index.search_by_id(expected[:3], 4)
    assert hits.ids.shape == (3, 4)
    assert hits.ids[0].tolist() == [expected[p] for p in hits.positions[0]]
    assert (live(tmp_path) / layout.IDS).exists() == (ids is not None)
    assert kinfold.verify(tmp_path).ok


@pytest.mark.parametrize(
    ("ids", "missing"),
    [
        (None, [-1, ROWS, "0"]),
        (range(10, 10 + ROWS), [9, "10", 2**70]),
        (text_ids(ROWS), ["", 0, "zz"]),
    ],
)
def test_an_unknown_id_is_refused_by_its_value(tmp_path, ids, missing):
    index = kinfold.build(gallery(ROWS), tmp_path, ids=ids, config=BuildConfig(k_d=5))
    for wanted in missing:
        with pytest.raises(kinfold.UnknownNameError, match="no item has the id"):
            index.position(wanted)


def test_payload_of_a_mapping(tmp_path):
    payload = simple_payload(ROWS)
    kinfold.build(gallery(ROWS), tmp_path, payload=payload, config=BuildConfig(k_d=5))
    rows = kinfold.open(tmp_path).payload(np.array([5, 0, 5]))
    assert rows == [{name: column[row] for name, column in payload.items()} for row in (5, 0, 5)]


def test_payload_of_every_arrow_layout(nested):
    index = kinfold.open(nested)
    assert index.manifest.payload_columns == nested_payload(ROWS).column_names
    assert index.payload(np.arange(ROWS)) == nested_payload(ROWS).to_pylist()


def test_payload_in_several_chunks(tmp_path):
    table = nested_payload(ROWS).unify_dictionaries()
    pieces = pa.concat_tables([table.slice(0, 13), table.slice(13, 1), table.slice(14)])
    assert pieces.column(0).num_chunks == 3
    kinfold.build(gallery(ROWS), tmp_path, payload=pieces, config=BuildConfig(k_d=5))
    order = np.random.default_rng(0).permutation(ROWS)
    expected = [table.to_pylist()[row] for row in order]
    assert kinfold.open(tmp_path).payload(order) == expected


def test_no_payload_gives_empty_rows(tmp_path):
    index = kinfold.build(gallery(ROWS), tmp_path, config=BuildConfig(k_d=5))
    assert index.payload(np.array([1, 2])) == [{}, {}]
    assert not (live(tmp_path) / layout.PAYLOAD).exists()


@pytest.mark.parametrize("position", [ROWS, -1, 2**32 - 1])
def test_payload_of_a_position_that_is_not_there(nested, position):
    with pytest.raises(kinfold.InputError, match=f"below {ROWS}, found {position}"):
        kinfold.open(nested).payload(np.array([0, position]))


def test_a_path_may_be_text(tmp_path, full):
    assert kinfold.verify(str(full)).ok
    assert len(kinfold.open(str(full))) == ROWS
    assert isinstance(kinfold.build(gallery(), str(tmp_path / "x")).version, Path)
