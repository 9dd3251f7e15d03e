"""Several models in one index: each what it would be alone, in one or in several steps."""

from __future__ import annotations

import os

import numpy as np
import pytest
from oracles.galleries import BY_NAME

import kinfold
from kinfold import BuildConfig
from kinfold.index import layout
from kinfold.index.publish import VERSIONS, list_versions

CLUSTERS = BY_NAME["clusters"]
CONFIGS = {
    "plain": BuildConfig(similarity=["cosine"], k_d=5, k_m=40),
    "cas": BuildConfig(similarity=["cas"], alpha=0.98),
    "listed": BuildConfig(similarity=["k-reciprocal"], truncation="nearest", max_row=50),
}


def models_of(version):
    """The content of every model's files, and what the manifest says of them but for times."""
    manifest = kinfold.open(version).manifest
    files = {
        name: (version / name).read_bytes() for name in manifest.files if name.startswith("models/")
    }
    return files, {
        name: info.model_dump(exclude={"measured"}) for name, info in manifest.models.items()
    }


def files_of(version, name):
    return {
        file.relative_to(version / "models" / name).as_posix(): file.read_bytes()
        for file in (version / "models" / name).iterdir()
    }


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    return kinfold.build(CLUSTERS.vectors, tmp_path_factory.mktemp("together"), models=CONFIGS)


@pytest.fixture
def index(tmp_path):
    return kinfold.build(
        CLUSTERS.vectors, tmp_path / "c", [f"i{row}" for row in range(len(CLUSTERS.vectors))],
        {"row": list(range(len(CLUSTERS.vectors)))}, models={"plain": CONFIGS["plain"]},
    )  # fmt: skip


def test_the_first_is_the_default(together):
    assert together.models == ["plain", "cas", "listed", "knn"]
    assert together.manifest.default_model == "plain"
    np.testing.assert_array_equal(
        together.search(CLUSTERS.queries, 20).ids,
        together.search(CLUSTERS.queries, 20, "plain").ids,
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_each_is_what_it_would_be_alone(together, name, tmp_path):
    alone = kinfold.build(CLUSTERS.vectors, tmp_path, config=CONFIGS[name])
    assert files_of(together.version, name) == files_of(alone.version, "default")
    ours, theirs = together.search(CLUSTERS.queries, 30, name), alone.search(CLUSTERS.queries, 30)
    np.testing.assert_array_equal(ours.ids, theirs.ids)
    np.testing.assert_array_equal(ours.scores, theirs.scores)


@pytest.mark.parametrize("order", [["cas", "listed"], ["listed", "cas"]])
def test_added_they_are_what_they_would_be_together(together, index, tmp_path, order):
    for name in order:
        kinfold.add_model(tmp_path / "c", name, CONFIGS[name], threads=1)
    added = kinfold.open(tmp_path / "c")
    assert models_of(added.version) == models_of(together.version)
    assert added.models == together.models
    assert kinfold.verify(tmp_path / "c").ok
    assert added.ids_of(np.array([3], np.uint32)).tolist() == ["i3"]
    assert added.payload(np.array([3])) == [{"row": 3}]


def test_what_did_not_change_is_one_file_in_both_versions(index, tmp_path):
    before = index.manifest
    kinfold.add_model(tmp_path / "c", "cas", CONFIGS["cas"])
    after = kinfold.open(tmp_path / "c")
    for name, info in before.files.items():
        assert after.manifest.files[name] == info
        assert (index.version / name).samefile(after.version / name)
    assert set(after.manifest.files) - set(before.files) == {
        name for name in after.manifest.files if name.startswith("models/cas/")
    }


def test_without_links_files_are_copied(index, tmp_path, monkeypatch):
    def no_links(*_args, **_keywords):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", no_links)
    kinfold.add_model(tmp_path / "c", "cas", CONFIGS["cas"])
    after = kinfold.open(tmp_path / "c")
    assert kinfold.verify(tmp_path / "c").ok
    assert not (index.version / layout.VECTORS).samefile(after.version / layout.VECTORS)


def test_stored_neighbours_spare_the_search(index, tmp_path, monkeypatch):
    """Only a model that needs longer lists than there are has them found again."""
    searches = []
    monkeypatch.setattr(
        "kinfold.pipeline.models.self_join",
        lambda *args, **kwargs: searches.append(args[2]) or original(*args, **kwargs),
    )
    from kinfold.neighbors import self_join as original

    width = np.load(index.version / layout.NEIGHBORS).shape[1]
    kinfold.add_model(
        tmp_path / "c", "short", BuildConfig(similarity=["cosine"], k_d=width, min_degree=1)
    )
    assert searches == []
    kinfold.add_model(
        tmp_path / "c", "long", BuildConfig(similarity=["cosine"], k_d=width + 1, min_degree=1)
    )
    assert searches == [width + 1]


def test_longer_lists_replace_the_stored_ones(index, tmp_path, together):
    """Models made before keep their answers; a model made after finds lists long enough."""
    before = index.search(CLUSTERS.queries, 20)
    longer = BuildConfig(similarity=["cas"], k_m=50)
    kinfold.add_model(tmp_path / "c", "longer", longer)
    after = kinfold.open(tmp_path / "c")
    assert np.load(after.version / layout.NEIGHBORS).shape[1] == 50
    assert np.load(after.version / layout.SIMILARITIES).shape[1] == 50
    hits = after.search(CLUSTERS.queries, 20, "plain")
    np.testing.assert_array_equal(hits.positions, before.positions)
    np.testing.assert_array_equal(hits.scores, before.scores)
    alone = kinfold.build(CLUSTERS.vectors, tmp_path / "alone", config=longer)
    assert files_of(after.version, "longer") == files_of(alone.version, "default")


def test_the_old_version_stays_as_it_was(index, tmp_path):
    expected = index.search(CLUSTERS.queries, 15).ids
    kinfold.add_model(tmp_path / "c", "cas", CONFIGS["cas"])
    kinfold.set_default(tmp_path / "c", "cas")
    kinfold.remove_model(tmp_path / "c", "plain")
    now = kinfold.open(tmp_path / "c")
    assert now.models == ["cas", "knn"]
    assert not (now.version / "models" / "plain").exists()
    assert kinfold.verify(tmp_path / "c").ok
    assert len(list_versions(tmp_path / "c")) == 4
    again = kinfold.open(index.version)
    np.testing.assert_array_equal(again.search(CLUSTERS.queries, 15).ids, expected)
    assert kinfold.verify(index.version).ok


def test_taken_from_another_index(index, together, tmp_path):
    kinfold.take_model(tmp_path / "c", "from-there", together.version, "cas")
    taken = kinfold.open(tmp_path / "c")
    assert taken.models == ["plain", "from-there", "knn"]
    assert kinfold.verify(tmp_path / "c").ok
    assert files_of(taken.version, "from-there") == files_of(together.version, "cas")
    np.testing.assert_array_equal(
        taken.search(CLUSTERS.queries, 25, "from-there").positions,
        together.search(CLUSTERS.queries, 25, "cas").positions,
    )


def test_a_model_taken_brings_lists_that_are_long_enough(together, tmp_path):
    """Seeds are held against k_d neighbours; this index was built with fewer."""
    path = tmp_path / "short"
    short = BuildConfig(similarity=["cosine"], k_d=5)
    index = kinfold.build(CLUSTERS.vectors, path, config=short)
    before = index.search(CLUSTERS.queries, 20)
    kinfold.take_model(path, "cas", together.version)
    taken = kinfold.open(path)
    assert kinfold.verify(path).ok
    for model, expected in (
        ("default", before),
        ("cas", together.search(CLUSTERS.queries, 20, "cas")),
    ):
        hits = taken.search(CLUSTERS.queries, 20, model)
        np.testing.assert_array_equal(hits.positions, expected.positions)
        np.testing.assert_array_equal(hits.scores, expected.scores)


def test_a_damaged_file_is_not_taken(index, together, tmp_path):
    import shutil

    shutil.copytree(together.version, tmp_path / "damaged")
    values = tmp_path / "damaged" / layout.values_file("cas", 0)
    content = bytearray(values.read_bytes())
    content[-1] ^= 1
    values.write_bytes(content)
    before = kinfold.open(tmp_path / "c").version
    with pytest.raises(kinfold.CorruptIndexError, match="expected sha256"):
        kinfold.take_model(tmp_path / "c", "cas", tmp_path / "damaged")
    assert kinfold.open(tmp_path / "c").version == before


@pytest.mark.parametrize(
    ("vectors", "settings", "message"),
    [
        (CLUSTERS.vectors[:-1], {}, "rows 198, found 197"),
        (CLUSTERS.vectors[:, :-1], {}, "dimension 12, found 11"),
        (CLUSTERS.vectors, {"metric": "l2"}, "metric cosine, found l2"),
        (CLUSTERS.vectors[::-1], {}, "vectors with sha256"),
    ],
)
def test_a_model_of_another_gallery_is_refused(index, tmp_path, vectors, settings, message):
    kinfold.build(
        np.ascontiguousarray(vectors), tmp_path / "other", models={"x": BuildConfig(**settings)}
    )
    with pytest.raises(kinfold.InputError, match="another gallery: expected " + message):
        kinfold.take_model(tmp_path / "c", "x", tmp_path / "other")
    assert kinfold.open(tmp_path / "c").version == index.version


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("plain", {}, "'plain': this index has one of that name"),
        ("knn", {}, "plain nearest neighbours"),
        ("../x", {}, "expected a name"),
        ("", {}, "expected a name"),
        ("a" * 65, {}, "expected a name"),
        ("x", {"metric": "l2"}, "compares by 'cosine', found 'l2'"),
        ("x", {"neighbors": "hnsw"}, "engine 'exact', found 'hnsw'"),
        ("x", {"k_d": 198}, "at least 199 items, found 198"),
        ("x", {"similarity": ["nonsense"]}, "unknown similarity model 'nonsense'"),
        ("x", {"similarity": ["k-reciprocal"], "k_m": 17}, "k_m = 17 is too small"),
        (
            "x",
            {"similarity": [{"name": "k-reciprocal", "parameters": {"k2": 60}}], "k_m": 40},
            "k_m = 40 is too small .* needs 60",
        ),
    ],
)
def test_what_cannot_be_added(index, tmp_path, name, config, message):
    with pytest.raises(kinfold.KinfoldError, match=message):
        kinfold.add_model(tmp_path / "c", name, BuildConfig(**config))
    assert kinfold.open(tmp_path / "c").version == index.version
    assert list_versions(tmp_path / "c") == [index.version.name]
    assert not list((tmp_path / "c" / VERSIONS).glob(".building*"))


def test_the_metric_of_the_index_is_taken_where_none_is_said(tmp_path):
    gallery = BY_NAME["clusters"].vectors
    kinfold.build(gallery, tmp_path, config=BuildConfig(metric="l2"))
    kinfold.add_model(tmp_path, "cas", BuildConfig(similarity=["cas"]))
    both = kinfold.build(
        gallery, tmp_path / "both",
        models={"default": BuildConfig(metric="l2"),
                "cas": BuildConfig(metric="l2", similarity=["cas"])},
    )  # fmt: skip
    added = kinfold.open(tmp_path)
    assert files_of(added.version, "cas") == files_of(both.version, "cas")
    assert added.manifest.models["cas"].config.metric == "l2"


def test_what_cannot_be_removed_or_made_the_default(index, tmp_path):
    with pytest.raises(kinfold.InputError, match=r"'plain' is the default .* the only one"):
        kinfold.remove_model(tmp_path / "c", "plain")
    for change in (kinfold.remove_model, kinfold.set_default):
        with pytest.raises(kinfold.UnknownNameError, match=r"no model 'x' .* it has: plain"):
            change(tmp_path / "c", "x")
    kinfold.add_model(tmp_path / "c", "cas", CONFIGS["cas"])
    with pytest.raises(kinfold.InputError, match="make another one the default first: cas"):
        kinfold.remove_model(tmp_path / "c", "plain")


@pytest.mark.parametrize("change", ["add", "take", "remove", "default"])
def test_where_there_is_no_index(tmp_path, together, change):
    path = tmp_path / "nothing"
    with pytest.raises(kinfold.FormatError, match="no kinfold index here"):
        match change:
            case "add":
                kinfold.add_model(path, "x", BuildConfig())
            case "take":
                kinfold.take_model(path, "x", together.version, "cas")
            case "remove":
                kinfold.remove_model(path, "x")
            case _:
                kinfold.set_default(path, "x")
    assert not path.exists()


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ({}, "at least one, found none"),
        ({"a": BuildConfig(), "b": BuildConfig(metric="l2")}, "'b': metric = 'l2', but 'a'"),
        ({"a": BuildConfig(neighbors="hnsw"), "b": BuildConfig()}, "'b': neighbors = 'auto'"),
        ({"knn": BuildConfig()}, "plain nearest neighbours"),
        ({"a/b": BuildConfig()}, "expected a name"),
    ],
)
def test_models_that_cannot_be_built_together(tmp_path, models, message):
    with pytest.raises(kinfold.InputError, match=message):
        kinfold.build(CLUSTERS.vectors, tmp_path / "c", models=models)
    assert not (tmp_path / "c").exists()


def test_config_and_models_exclude_each_other(tmp_path):
    with pytest.raises(kinfold.InputError, match="either config or models"):
        kinfold.build(
            CLUSTERS.vectors, tmp_path / "c", config=BuildConfig(), models={"a": BuildConfig()}
        )
