"""Filters, offsets, least similarities and groups, against picking from the whole ranking."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.galleries import BY_NAME, GALLERIES

import kinfold
from kinfold.arrays import NOTHING
from kinfold.search import nearby

from .selecting import holds, payload_of, picked

MODELS = ["default", "knn"]
FILTERS = [
    None,
    {"column": "camera", "in": [0, 3]},
    {"column": "camera", "eq": 77},
    {"and": [{"column": "tag", "eq": "red"}, {"column": "sharp", "eq": True}]},
    {"not": {"column": "camera", "eq": 1}},
]


@pytest.fixture(scope="module", params=["scan", "engine"])
def way(request):
    """How the nearest allowed items are found; small galleries would always be scanned."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "engine":
            patch.setattr(nearby, "FEW", 0)
            patch.setattr(nearby, "FEW_SHARE", 0)
        yield request.param


@pytest.fixture(scope="module", params=GALLERIES, ids=str)
def gallery(request):
    return request.param


@pytest.fixture(scope="module")
def payload(gallery):
    return payload_of(len(gallery.vectors), 1)


@pytest.fixture(scope="module")
def index(gallery, payload, tmp_path_factory):
    config = kinfold.BuildConfig(
        metric=gallery.metric, k_d=gallery.k_d, min_degree=min(2, gallery.k_d)
    )
    path = tmp_path_factory.mktemp("selected")
    return kinfold.build(gallery.vectors, path, config=config, payload=payload)


def mask_of(expression, payload):
    rows = payload.to_pylist()
    return np.array([expression is None or holds(expression, row) for row in rows])


def groups_of(payload, column):
    """A name for each item's group; one of its own for an item without a value."""
    values = payload[column].to_pylist()
    return [("no value", i) if v is None or v != v else (0, v) for i, v in enumerate(values)]


def check(hits, whole, row, expected, allowed, own=()):
    """One query's hits are those items, with everything that the whole ranking says of them."""
    count = int(hits.counts[row])
    assert hits.positions[row, :count].tolist() == expected
    places = [int(np.flatnonzero(whole.positions[row] == item)[0]) for item in expected]
    np.testing.assert_array_equal(hits.scores[row, :count], whole.scores[row, places])
    np.testing.assert_array_equal(hits.similarities[row, :count], whole.similarities[row, places])
    assert hits.reached[row] == sum(place < whole.reached[row] for place in places)
    assert hits.matched[row] == allowed.sum() - sum(allowed[list(own)])
    assert (hits.positions[row, count:] == NOTHING).all()
    assert (hits.ids[row, count:] == -1).all()
    assert not hits.scores[row, count:].any()
    assert not hits.similarities[row, count:].any()


@pytest.mark.parametrize("expression", FILTERS, ids=str)
@pytest.mark.parametrize("model", MODELS)
def test_picking_from_the_whole_ranking(way, index, gallery, payload, model, expression):
    n = len(index)
    whole = index.search(gallery.queries, n, model)
    allowed = mask_of(expression, payload)
    middle = float(np.median(whole.similarities))
    groups = groups_of(payload, "kind")
    for k, offset, least, by, size in (
        (5, 0, None, None, 1),
        (3, 4, None, None, 1),
        (10 * n, 2, None, None, 1),
        (5, 0, middle, None, 1),
        (10 * n, 0, middle, None, 1),
        (4, 0, None, "kind", 1),
        (n, 1, None, "kind", 3),
        (6, 1, middle, "kind", 2),
    ):
        if expression is None and (offset, least, by) == (0, None, None):
            continue
        hits = index.search(
            gallery.queries, k, model, filter=expression, offset=offset, min_similarity=least,
            group_by=by, group_size=size,
        )  # fmt: skip
        assert hits.positions.shape[1] == hits.counts.max()
        for row in range(len(gallery.queries)):
            near = np.empty(n, dtype=np.float32)
            near[whole.positions[row]] = whole.similarities[row]
            expected = picked(
                whole.positions[row], near, allowed, need=k, offset=offset, least=least,
                groups=None if by is None else groups, size=size,
            )  # fmt: skip
            check(hits, whole, row, expected, allowed)


@pytest.mark.parametrize("expression", FILTERS[:3], ids=str)
@pytest.mark.parametrize("model", MODELS)
def test_by_id(way, index, payload, model, expression):
    n = len(index)
    items = list(range(0, n, 7))
    whole = index.search_by_id(items, n - 1, model)
    allowed = mask_of(expression, payload)
    hits = index.search_by_id(items, 4, model, filter=expression, offset=1)
    for row, item in enumerate(items):
        expected = picked(whole.positions[row], np.ones(n), allowed, need=4, offset=1, own=(item,))
        check(hits, whole, row, expected, allowed, (item,))


@pytest.fixture(scope="module")
def clusters(tmp_path_factory):
    gallery = BY_NAME["clusters"]
    payload = payload_of(len(gallery.vectors), 1)
    configs = {
        "near": kinfold.BuildConfig(alpha=0.5, max_row=20),
        "far": kinfold.BuildConfig(alpha=0.99, dtype="float32"),
    }
    path = tmp_path_factory.mktemp("clusters")
    return kinfold.build(gallery.vectors, path, models=configs, payload=payload), payload


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_selections_at_random(clusters, data):
    index, payload = clusters
    n, queries = len(index), BY_NAME["clusters"].queries
    model = data.draw(st.sampled_from(["near", "far", "knn"]))
    row = data.draw(st.integers(0, len(queries) - 1))
    expression = data.draw(st.sampled_from(FILTERS))
    least = data.draw(st.none() | st.floats(-1, 1, width=32))
    by = data.draw(st.sampled_from([None, "camera", "price", "tag", "taken", "nothing", "sharp"]))
    size = 1 if by is None else data.draw(st.integers(1, 40))
    k, offset = data.draw(st.integers(1, n + 9)), data.draw(st.integers(1, n + 9))
    whole = index.search(queries[row], n, model)
    near = np.empty(n, dtype=np.float32)
    near[whole.positions[0]] = whole.similarities[0]
    allowed = mask_of(expression, payload)
    expected = picked(
        whole.positions[0], near, allowed, need=k, offset=offset, least=least, size=size,
        groups=None if by is None else groups_of(payload, by),
    )  # fmt: skip
    hits = index.search(
        queries[row], k, model, filter=expression, offset=offset, min_similarity=least,
        group_by=by, group_size=size,
    )  # fmt: skip
    check(hits, whole, 0, expected, allowed)


@pytest.mark.parametrize("fusion", ["rrf", "score"])
@pytest.mark.parametrize("names", [["near", "far"], ["far", "knn"]], ids="+".join)
def test_fusion_ranks_what_is_allowed(way, clusters, names, fusion):
    """Ranks and shares are those among the allowed items, each model by itself."""
    index, payload = clusters
    expression = {"column": "camera", "in": [0, 3]}
    n, allowed = len(index), mask_of(expression, payload)
    for query in BY_NAME["clusters"].queries:
        total = np.zeros(n)
        for name in names:
            hits = index.search(query, n, name)
            keep = allowed[hits.positions[0]]
            scores, positions = np.maximum(hits.scores[0][keep], 0), hits.positions[0][keep]
            for score, position in zip(scores, positions, strict=True):
                if score > 0:
                    rank = 1 + int((scores > score).sum())
                    total[position] += 1 / (60 + rank) if fusion == "rrf" else score / scores.max()
        hits = index.search(query, n, names, fusion=fusion, filter=expression)
        count = int(hits.counts[0])
        assert sorted(hits.positions[0, :count]) == np.flatnonzero(allowed).tolist()
        np.testing.assert_allclose(hits.scores[0], total[hits.positions[0]], rtol=1e-5)
        assert hits.reached[0] == (total > 0).sum()
        first = index.search(query, 5, names, fusion=fusion, filter=expression, offset=2)
        np.testing.assert_array_equal(first.positions[0], hits.positions[0, 2:7])


def test_fused_offsets_are_pages(clusters):
    index, _ = clusters
    queries = BY_NAME["clusters"].queries
    whole = index.search(queries, 30, ["near", "knn"])
    pages = [index.search(queries, 10, ["near", "knn"], offset=at) for at in (10, 20)]
    for page, at in zip(pages, (10, 20), strict=True):
        np.testing.assert_array_equal(page.positions, whole.positions[:, at : at + 10])
        np.testing.assert_array_equal(page.scores, whole.scores[:, at : at + 10])


@pytest.fixture(scope="module", params=["hnsw", "ivf"])
def approximate(request, tmp_path_factory):
    rng = np.random.default_rng(0)
    vectors = np.repeat(rng.normal(size=(60, 16)), 150, axis=0) + rng.normal(size=(9000, 16))
    payload = pa.table({"part": np.arange(9000) % 3, "rare": np.arange(9000) % 300})
    config = kinfold.BuildConfig(neighbors=request.param, max_row=30)
    path = tmp_path_factory.mktemp("approximate")
    return kinfold.build(vectors, path, config=config, payload=payload)


@pytest.mark.parametrize("model", MODELS)
def test_approximate_engines_give_no_fewer_hits_than_there_are(approximate, model, monkeypatch):
    monkeypatch.setattr(nearby, "FEW", 0)
    monkeypatch.setattr(nearby, "FEW_SHARE", 0)
    queries = approximate.vectors[:40].copy()
    for expression, there in (
        ({"column": "part", "eq": 1}, 3000),
        ({"column": "rare", "eq": 7}, 30),
        ({"column": "rare", "lt": 5}, 150),
    ):
        for k in (10, 100, 4000):
            hits = approximate.search(queries, k, model, filter=expression)
            assert (hits.counts == min(k, there)).all()
            assert (hits.matched == there).all()
            for row in range(len(queries)):
                found = hits.positions[row, : hits.counts[row]]
                assert len(set(found.tolist())) == found.size
                assert (np.diff(hits.scores[row, : hits.counts[row]]) <= 0).all()
            kept = approximate.payload(hits.positions[0, : hits.counts[0]])
            (column,) = {expression["column"]}
            assert all(holds(expression, row) for row in kept)
            assert column in kept[0]


def test_approximate_engines_find_most_of_the_nearest_allowed(approximate, monkeypatch):
    monkeypatch.setattr(nearby, "FEW", 0)
    monkeypatch.setattr(nearby, "FEW_SHARE", 0)
    queries = approximate.vectors[100:200].copy()
    similarity = queries @ approximate.vectors.T
    shares = []
    for step, chosen in ((1, {}), (3, {"filter": {"column": "part", "eq": 0}})):
        best = step * np.argsort(-similarity[:, ::step], axis=1)[:, :10]
        hits = approximate.search(queries, 10, "knn", **chosen)
        found = zip(best.tolist(), hits.positions, strict=True)
        shares.append(np.mean([len(set(a) & set(b)) / 10 for a, b in found]))
    assert shares[1] > shares[0] - 0.1, shares
    assert shares[1] > 0.6, shares


def test_an_offset_beyond_what_an_approximate_engine_finds(approximate):
    hits = approximate.search(approximate.vectors[:3].copy(), 50, "knn", offset=8980)
    assert hits.counts.tolist() == [20, 20, 20]


def test_nothing_allowed(clusters):
    index, _ = clusters
    for model in (None, "knn", ["near", "far"]):
        hits = index.search(BY_NAME["clusters"].queries, 5, model, filter=FILTERS[2])
        assert hits.ids.shape == (12, 0)
        assert not hits.counts.any()
        assert not hits.matched.any()


def test_no_query_no_hits(clusters):
    index, _ = clusters
    for model in (None, "knn", ["near", "knn"]):
        hits = index.search(np.empty((0, 12)), 5, model, offset=1)
        assert hits.ids.shape == (0, 0)
    assert len(index.search_by_id([], 5, filter=FILTERS[1])) == 0


def test_padding_among_strings(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(30, 4))
    payload = pa.table({"a": [0] * 28 + [1, 1]})
    names = [f"item {i}" for i in range(30)]
    index = kinfold.build(vectors, tmp_path, ids=names, payload=payload)
    hits = index.search_by_id(["item 29", "item 0"], 3, filter={"column": "a", "eq": 1})
    assert hits.ids.tolist() == [["item 28", None], hits.ids[1].tolist()]
    assert sorted(hits.ids[1].tolist()) == ["item 28", "item 29"]
    assert (hits.counts.tolist(), hits.matched.tolist()) == ([1, 2], [1, 2])


def test_parts_of_a_batch(clusters):
    index, _ = clusters
    queries = BY_NAME["clusters"].queries
    hits = index.search(queries, 7, filter=FILTERS[3], min_similarity=0.3)
    for begin, end in ((0, 1), (3, 9), (0, 12)):
        part = hits.part(begin, end)
        alone = index.search(queries[begin:end], 7, filter=FILTERS[3], min_similarity=0.3)
        width = alone.positions.shape[1]
        np.testing.assert_array_equal(part.counts, alone.counts)
        np.testing.assert_array_equal(part.positions[:, :width], alone.positions)
        np.testing.assert_array_equal(part.scores[:, :width], alone.scores)
        assert np.shares_memory(part.scores, hits.scores)


def test_plain_hits_count_themselves(clusters):
    index, _ = clusters
    hits = index.search(BY_NAME["clusters"].queries, 7)
    assert hits.counts.tolist() == [7] * 12
    assert hits.matched.tolist() == [198] * 12
    assert index.search_by_id([3], 7).matched.tolist() == [197]


def test_timings(clusters):
    index, _ = clusters
    queries = BY_NAME["clusters"].queries
    plain, chosen, near = (kinfold.SearchTimings() for _ in range(3))
    index.search(queries, 5, timings=plain)
    assert plain.knn_seconds > 0
    assert plain.combine_seconds > 0
    assert plain.filter_seconds == 0
    index.search(queries, 5, filter={"column": "camera", "eq": -4}, timings=chosen)
    assert min(chosen.knn_seconds, chosen.combine_seconds, chosen.filter_seconds) > 0
    before = chosen.knn_seconds
    index.search_by_id([5], 5, "knn", timings=near)
    assert near.knn_seconds > 0
    assert near.combine_seconds == 0
    index.search_examples([5], [7], timings=chosen)
    assert chosen.knn_seconds > before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"offset": -1}, "offset: expected a whole number of at least 0, found -1"),
        ({"offset": 1.0}, "offset: expected"),
        ({"offset": True}, "offset: expected"),
        ({"min_similarity": float("nan")}, "min_similarity: expected a finite number, found nan"),
        ({"min_similarity": "1"}, "min_similarity: expected a finite number, found '1'"),
        ({"min_similarity": True}, "min_similarity: expected"),
        ({"group_by": 3}, "group_by: expected the name of a column, found 3"),
        ({"group_by": "other"}, "group_by: the payload has no column 'other'"),
        ({"group_by": "tags"}, "group_by: column 'tags' holds list.*single values"),
        ({"group_by": "tag", "group_size": 0}, "group_size: expected .* at least 1, found 0"),
        ({"group_size": 2}, "group_size = 2: expected group_by with it"),
        ({"k": 0, "offset": 1}, "k: expected a whole number of at least 1, found 0"),
    ],
)
def test_refusals(clusters, options, message):
    index, _ = clusters
    query = BY_NAME["clusters"].queries[0]
    for search in (
        lambda **given: index.search(query, **given),
        lambda **given: index.search_by_id([3], **given),
        lambda **given: index.search_examples([3], **given),
    ):
        with pytest.raises(kinfold.InputError, match=message):
            search(**options)


def test_threads_get_what_one_gets(clusters):
    index, _ = clusters
    queries = BY_NAME["clusters"].queries
    calls = [
        {"filter": {"column": "camera", "in": [number % 4, 3]}, "model": model, "offset": offset}
        for number in range(12)
        for model, offset in ((None, 0), ("knn", 3), (["near", "far"], 1))
    ]
    fresh = kinfold.open(index.version)
    serial = [index.search(queries, 8, **how) for how in calls]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda how: fresh.search(queries, 8, **how), calls * 3))
    for have, want in zip(found, serial * 3, strict=True):
        for name in ("ids", "scores", "similarities", "reached", "counts", "matched"):
            np.testing.assert_array_equal(getattr(have, name), getattr(want, name))


def test_a_damaged_column_is_reported(tmp_path):
    """An offset that leads outside: Arrow would follow it."""
    vectors = np.random.default_rng(0).normal(size=(40, 4))
    payload = pa.table({"note": [f"note {i:04d}" for i in range(40)], "sound": list(range(40))})
    index = kinfold.build(vectors, tmp_path, payload=payload)
    file = index.version / "payload.arrow"
    content = bytearray(file.read_bytes())
    offsets = np.arange(0, 9 * 41, 9, dtype="<i4").tobytes()
    at = content.index(offsets)
    content[at + 4 * 20 : at + 4 * 20 + 4] = np.int32(2**30).tobytes()
    del index
    file.chmod(0o644)
    file.write_bytes(content)
    damaged = kinfold.open(tmp_path)
    for options in ({"filter": {"column": "note", "eq": "a"}}, {"group_by": "note"}):
        with pytest.raises(kinfold.CorruptIndexError, match="column 'note' cannot be read"):
            damaged.search(vectors[0], 3, **options)
    hits = damaged.search(vectors[0], 3, filter={"column": "sound", "lt": 2})
    assert hits.counts.tolist() == [2]
