"""Which stages a build does again, and that what it takes over is what it would have made."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

import kinfold
from kinfold import BuildConfig
from kinfold.index import live_version
from kinfold.index.publish import WORK, VersionWriter
from kinfold.pipeline import plan_build, publish
from kinfold.pipeline.events import Plan

from .stopping import (
    CONFIG,
    OF_MODEL,
    ROWS,
    SHARED,
    STAGES,
    Stopped,
    content,
    everything,
    from_nothing,
    inputs,
    name_of,
    run,
)


def config(**changes):
    return {"config": CONFIG.model_copy(update=changes)}


OTHER = np.random.default_rng(9).normal(size=(ROWS, 5)).astype("f4")
CHANGES = {
    "nothing": ({}, []),
    "only how it is searched": (config(k_q=3, seeds="plain"), []),
    "alpha": (config(alpha=0.5), ["diffusion:default"]),
    "max_row": (config(max_row=20), ["diffusion:default"]),
    "mass": (config(mass=0.9), ["diffusion:default"]),
    "tolerance": (config(tolerance=1e-2), ["diffusion:default"]),
    "max_iterations": (config(max_iterations=7), ["diffusion:default"]),
    "graph": (config(graph="union"), ["diffusion:default"]),
    "min_degree": (config(min_degree=1), ["diffusion:default"]),
    "gamma": (config(gamma=2.0), ["diffusion:default"]),
    "rank_scale": (config(rank_scale=0.0), ["diffusion:default"]),
    "dtype": (config(dtype="float32"), ["diffusion:default"]),
    "unit_diagonal": (config(unit_diagonal=False), ["diffusion:default"]),
    "truncation, inside of the lists": (
        config(truncation="nearest", max_row=10), ["diffusion:default"],
    ),
    "truncation, beyond the lists": (
        config(truncation="nearest"), ["neighbors", "diffusion:default"],
    ),
    "similarity": (
        {"config": BuildConfig(**CONFIG.model_dump(exclude={"similarity"}), similarity=["cas"])},
        OF_MODEL,
    ),
    "k_d": (config(k_d=6), OF_MODEL),
    "k_m": (config(k_m=14), ["neighbors", *OF_MODEL]),
    "neighbors": (config(neighbors="hnsw"), ["knn"]),
    "join": (config(join="cells"), ["cells", "neighbors", *OF_MODEL]),
    "metric": (config(metric="l2"), ["vectors", "knn", "neighbors", *OF_MODEL]),
    "payload": ({"payload": {"row": list(range(1, ROWS + 1))}}, ["items"]),
    "payload's type": ({"payload": {"row": pa.array(range(ROWS), pa.int32())}}, ["items"]),
    "no payload": ({"payload": None}, ["items"]),
    "ids": ({"ids": list(range(ROWS))}, ["items"]),
    "ids as text": ({"ids": [str(row) for row in range(100, 100 + ROWS)]}, ["items"]),
    "vectors": ({"vectors": OTHER}, [stage for stage in STAGES if stage != "items"]),
    "vectors' type": (
        {"vectors": inputs()["vectors"].astype("f8")},
        [stage for stage in STAGES if stage != "items"],
    ),
    "another name": (
        {"config": None, "models": {"other": CONFIG}}, ["similarity:other", "diffusion:other"],
    ),
    "one model more": (
        {"config": None, "models": {"default": CONFIG, "more": CONFIG}},
        ["similarity:more", "diffusion:more"],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    path = tmp_path_factory.mktemp("base") / "c"
    assert run(path) == ([], STAGES)
    return path


def copied(base, target):
    shutil.copytree(base, target)
    return target


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_change_redoes_beside_the_live_version(base, tmp_path, change):
    changes, expected = CHANGES[change]
    path = copied(base, tmp_path / "c")
    before = live_version(path)
    plan = plan_build(**inputs(**changes), path=path)
    reused, done = run(path, **changes)
    assert done == expected
    assert set(reused).isdisjoint(done)
    assert [name_of(stage) for stage in plan.stages if stage.state == "to do"] == expected
    assert plan.version == before.name
    assert content(path) == from_nothing(tmp_path / "fresh", **changes)
    assert kinfold.verify(before).ok
    # What is taken over is the same file, not a copy.
    if "vectors" in reused:
        assert (before / "vectors.npy").samefile(live_version(path) / "vectors.npy")


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_change_redoes_of_an_interrupted_build(tmp_path, change):
    """Stopped as the last stage begins, and run again with another parameter."""
    changes, expected = CHANGES[change]
    path = tmp_path / "c"
    assert run(path, stop="diffusion:default") == ([], STAGES[:-1])
    again = {*expected, *([] if change == "another name" else ["diffusion:default"])}
    plan = plan_build(**inputs(**changes), path=path)
    _, done = run(path, **changes)
    assert set(done) == again
    assert [name_of(stage) for stage in plan.stages if stage.state == "to do"] == done
    assert {stage.state for stage in plan.stages} <= {"to do", "interrupted build"}
    assert content(path) == from_nothing(tmp_path / "fresh", **changes)
    assert not (path / WORK).exists()


def test_files_of_another_build_are_swept(tmp_path):
    path = tmp_path / "c"
    run(path, stop="diffusion:b", models={"a": CONFIG, "b": CONFIG}, config=None)
    (path / WORK / "files" / "stray.npy").write_bytes(b"x")
    (path / WORK / "marks" / ".fresh-x.json").write_bytes(b"x")
    run(path, stop="diffusion:default", vectors=OTHER, payload=None)
    names = sorted(p.name for p in (path / WORK).rglob("*") if p.is_file())
    assert names == sorted([
        "vectors.json", "items.json", "knn.json", "neighbors.json", "similarity@default.json",
        "vectors.npy", "ids.arrow", "ids-order.npy", "neighbors.npy", "similarities.npy",
        "graph-neighbors.npy", "graph-similarities.npy",
    ])  # fmt: skip


def test_fresh_takes_over_nothing(base, tmp_path):
    path = copied(base, tmp_path / "c")
    run(path, stop="diffusion:default", **config(k_m=14))
    assert (path / WORK).exists()
    assert run(path, fresh=True) == ([], STAGES)
    assert content(path) == content(base)
    plan = plan_build(**inputs(), path=path, fresh=True)
    assert {stage.state for stage in plan.stages} == {"to do"}


def test_a_fresh_build_that_is_stopped_can_be_resumed(base, tmp_path):
    path = copied(base, tmp_path / "c")
    run(path, stop="neighbors", fresh=True)
    reused, done = run(path)
    assert reused == STAGES
    assert done == []


def test_the_library_begins_from_nothing_and_leaves_nothing(base, tmp_path):
    path = copied(base, tmp_path / "c")
    run(path, stop="diffusion:default", **config(k_m=14))
    assert (path / WORK).exists()
    assert run(path, resume=False) == ([], STAGES)
    assert not (path / WORK).exists()
    assert content(path) == content(base)
    before = everything(path)
    run(path, resume=False, stop="diffusion:default")
    assert everything(path) == before


def test_a_build_that_is_refused_leaves_nothing_to_resume(tmp_path):
    bad = inputs()["vectors"].copy()
    bad[50, 2] = np.nan
    with pytest.raises(kinfold.InputError, match="row 50"):
        run(tmp_path / "c", vectors=bad)
    assert list(tmp_path.iterdir()) == []


def test_a_plan_writes_nothing(base, tmp_path):
    path = copied(base, tmp_path / "c")
    run(path, stop="diffusion:default", **config(k_m=14))
    assert (path / WORK).exists()
    before = everything(path)
    plan_build(**inputs(**config(k_d=3)), path=path)
    plan_build(**inputs(), path=tmp_path / "none")
    assert everything(path) == before
    assert not (tmp_path / "none").exists()


def test_a_plan_is_told_before_any_stage(base, tmp_path):
    path = copied(base, tmp_path / "c")
    events = []
    publish(**inputs(**config(alpha=0.3)), path=path, resume=True, told=events.append)
    assert [isinstance(event, Plan) for event in events] == [True, *[False] * (len(events) - 1)]
    assert events[0].version == live_version(base).name
    assert [stage.state for stage in events[0].stages] == ["live version"] * 5 + ["to do"]
    assert [event.state for event in events[1:]] == ["reused"] * 5 + ["started", "done"]
    assert {event.source for event in events[1:6]} == {"live version"}


AUTO = BuildConfig(auto=True, k_d=5, max_row=30)


@pytest.fixture
def judged(monkeypatch):
    """How often `auto` had to look, and what it chose."""
    from kinfold.index.manifest import TuningInfo

    asked = []

    def automatic(vectors, given, threads, progress):
        asked.append(given)
        info = TuningInfo(
            by="gallery", reason="told so", changed={"alpha": 0.9}, items=9, queries=9, seconds=1
        )
        return SimpleNamespace(
            config=given.model_copy(update={"alpha": 0.9}), info=info, changed=True
        )

    monkeypatch.setattr("kinfold.pipeline.inputs.automatic", automatic)
    return asked


def test_what_auto_chose_is_kept(judged, tmp_path):
    path = tmp_path / "c"
    assert run(path, config=AUTO, stop="neighbors") == (
        [], ["choice:default", *SHARED[:3]],
    )  # fmt: skip
    plan = plan_build(**inputs(config=AUTO), path=path)
    assert [s.state for s in plan.stages] == ["interrupted build"] * 4 + ["to do"] * 3
    assert run(path, config=AUTO)[0] == ["choice:default", *SHARED[:3]]
    reused, done = run(path, config=AUTO)
    assert (reused, done) == (["choice:default", *STAGES], [])
    assert len(judged) == 1
    info = kinfold.open(path).manifest.models["default"]
    assert info.config.alpha == 0.9
    assert info.tuning.reason == "told so"
    assert content(path) == from_nothing(tmp_path / "fresh", config=AUTO)


def test_a_plan_knows_no_more_than_auto_has_chosen(judged, base, tmp_path):
    plan = plan_build(**inputs(config=AUTO), path=copied(base, tmp_path / "c"))
    states = {name_of(stage): stage.state for stage in plan.stages}
    assert states["vectors"] == "live version"
    assert {states[name] for name in ("choice:default", "neighbors", *OF_MODEL)} == {"to do"}
    assert judged == []


def test_a_version_of_before_there_were_stages_is_built_anew(base, tmp_path):
    from tests.index.support import rewrite_manifest

    path = copied(base, tmp_path / "c")
    rewrite_manifest(path, stages={})
    assert run(path) == ([], STAGES)


def test_another_release_takes_over_nothing(base, tmp_path, monkeypatch):
    path = copied(base, tmp_path / "c")
    monkeypatch.setattr("kinfold.pipeline.keys._code", lambda: "of another release")
    assert run(path) == ([], STAGES)


def test_two_builders_at_once(tmp_path):
    path = tmp_path / "c"
    run(path, stop="diffusion:default")
    before = everything(path)
    with VersionWriter(path), pytest.raises(kinfold.BusyError):
        run(path)
    assert everything(path) == before
    assert run(path)[0] == STAGES[:-1]


@pytest.mark.parametrize("metric", ["cosine", "inner_product"])
def test_a_model_that_was_added_is_known_to_the_next_build(base, tmp_path, metric):
    path = tmp_path / "c"
    first = CONFIG.model_copy(update={"metric": metric})
    run(path, config=first)
    more = BuildConfig(metric=metric, k_d=3, k_m=9, similarity=["cosine"], max_row=30)
    kinfold.add_model(path, "more", more)
    models = {"default": first, "more": more}
    assert run(path, config=None, models=models)[1] == []
    assert content(path) == from_nothing(tmp_path / "fresh", config=None, models=models)
    kinfold.remove_model(path, "more")
    assert not [name for name in kinfold.open(path).manifest.stages if "more" in name]
    assert run(path, config=None, models=models)[1] == ["similarity:more", "diffusion:more"]


def test_a_model_that_was_taken_keeps_its_stages(base, tmp_path):
    path = copied(base, tmp_path / "c")
    models = {"default": CONFIG, "more": CONFIG.model_copy(update={"alpha": 0.4})}
    run(tmp_path / "other", config=None, models=models)
    kinfold.take_model(path, "more", tmp_path / "other")
    assert run(path, config=None, models=models)[1] == []


def test_stopping_by_the_progress_callback(tmp_path):
    def progress(event):
        if event.phase.startswith("neighbors"):
            raise Stopped

    with pytest.raises(Stopped):
        publish(**inputs(), path=tmp_path / "c", resume=True, progress=progress)
    assert run(tmp_path / "c")[0] == STAGES[:3]
