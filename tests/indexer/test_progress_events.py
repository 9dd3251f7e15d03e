"""Events of a build: their fields, their order, how often they come, and the time that is left."""

from __future__ import annotations

import json

import pytest
from source_files import ROWS, vectors

from indexer import build_collection
from indexer.progress import INTERVAL, Reporter, peak_rss_bytes, rss_bytes
from indexer.sources import Source
from kinfold import BuildConfig
from kinfold.errors import CapacityError, InputError
from kinfold.pipeline.events import Plan, PlannedStage, StageEvent
from kinfold.progress import Progress

CONFIG = BuildConfig(k_d=3)
FIELDS = {
    "progress": {
        "stage", "model", "phase", "done", "total", "unit", "rate", "eta_seconds", "stages_done",
        "stages_total", "rss_bytes", "peak_rss_bytes", "elapsed_seconds",
    },
    "plan": {"version", "stages"},
    "stage": {"stage", "model", "state"},
    "done": {"version", "seconds", "bytes", "peak_rss_bytes", "stages"},
    "error": {"type", "message", "stage", "model"},
    "interrupted": {"stage", "model", "done"},
}  # fmt: skip


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def told():
    return []


def built(tmp_path, told, config=CONFIG, **options):
    source = Source("v", vectors(), **options.pop("source", {}))
    return build_collection(source, tmp_path, "c", config, events=told.append, **options)


def test_every_event_is_plain_and_complete(tmp_path, told):
    built(tmp_path, told)
    for event in told:
        assert json.loads(json.dumps(event, allow_nan=False)) == event
        optional = {"source", "seconds"} if event["event"] == "stage" else set()
        assert set(event) - {"event"} - optional == FIELDS[event["event"]]
    kinds = [event["event"] for event in told]
    assert kinds.count("plan") == 1
    assert kinds[-1] == "done"
    assert "plan" in kinds[:2]


def test_events_are_in_the_order_of_the_work(tmp_path, told):
    summary = built(tmp_path, told)
    stages = [(e["stage"], e["state"]) for e in told if e["event"] == "stage"]
    names = ["vectors", "items", "knn", "neighbors", "similarity", "diffusion"]
    assert stages == [(name, state) for name in names for state in ("started", "done")]
    steps = [e for e in told if e["event"] == "progress" and e["stage"]]
    assert [e["stages_done"] for e in steps] == sorted(e["stages_done"] for e in steps)
    assert {e["stages_total"] for e in steps} == {6}
    assert {e["model"] for e in steps} == {None, "default"}
    assert told[-1]["version"] == summary.version
    assert [stage.how for stage in summary.stages] == ["computed"] * 6
    assert 0 < sum(stage.seconds for stage in summary.stages) <= summary.seconds
    assert [s["stage"] for s in told[-1]["stages"]] == names


def test_what_is_reused_is_told_with_its_source(tmp_path, told):
    first = built(tmp_path, [])
    summary = built(tmp_path, told, BuildConfig(k_d=3, alpha=0.5))
    (plan,) = (e for e in told if e["event"] == "plan")
    assert plan["version"] == first.version
    assert [s["state"] for s in plan["stages"]] == ["live version"] * 5 + ["to do"]
    assert {s["estimate_seconds"] for s in plan["stages"][:5]} == {0.0}
    reused = [e for e in told if e["event"] == "stage" and e["state"] == "reused"]
    assert {e["source"] for e in reused} == {"live version"}
    assert [(s.how, s.source) for s in summary.stages] == (
        [("reused", "live version")] * 5 + [("computed", None)]
    )
    fresh = built(tmp_path, [], BuildConfig(k_d=3, alpha=0.5), fresh=True)
    assert {stage.how for stage in fresh.stages} == {"computed"}


class Cancelled(Exception):  # noqa: N818 - no error
    pass


def test_a_build_is_cancelled_by_either_callback_and_goes_on(tmp_path, told):
    def progress(event):
        if event.phase == "neighbors":
            raise Cancelled

    with pytest.raises(Cancelled):
        built(tmp_path, told, progress=progress)
    assert told[-1]["event"] == "interrupted"
    assert (told[-1]["stage"], told[-1]["model"]) == ("neighbors", None)
    assert [stage["stage"] for stage in told[-1]["done"]] == ["vectors", "items", "knn"]

    def events(event):
        if event["event"] == "stage" and event["stage"] == "diffusion":
            raise Cancelled

    with pytest.raises(Cancelled):
        build_collection(Source("v", vectors()), tmp_path, "c", CONFIG, events=events)
    summary = built(tmp_path, told)
    assert [stage.source for stage in summary.stages] == ["interrupted build"] * 5 + [None]


def test_errors_are_told_with_their_message(tmp_path, told, monkeypatch):
    array = vectors()
    array[5] = 0
    with pytest.raises(InputError):
        build_collection(Source("v", array), tmp_path, "c", CONFIG, events=told.append)
    assert told[-1]["event"] == "error"
    assert told[-1]["type"] == "InputError"
    assert told[-1]["message"].startswith("v: vectors: row 5 is all zeros")
    assert told[-1]["stage"] == "vectors"
    monkeypatch.setattr("indexer.job.check_fits", refuse)
    with pytest.raises(CapacityError):
        built(tmp_path, told)
    assert (told[-1]["type"], told[-1]["stage"]) == ("CapacityError", None)


def refuse(*_given):
    raise CapacityError("too large")


def test_steps_are_told_a_few_times_a_second(clock, told):
    reporter = Reporter(told.append, {"neighbors": 10.0}, clock)
    reporter.stages(StageEvent("neighbors", None, "started"))
    for done in range(1, 1001):
        clock.now += 0.01
        reporter.progress(Progress("neighbors", done, 1000))
    steps = [e for e in told if e["event"] == "progress"]
    assert 40 <= len(steps) <= 10 / INTERVAL + 2
    assert (steps[0]["done"], steps[-1]["done"]) == (1, 1000)
    assert steps[-1]["rate"] == pytest.approx(100)
    assert steps[-1]["elapsed_seconds"] == pytest.approx(10)
    assert steps[-1]["eta_seconds"] == 0


def test_the_first_and_the_last_step_of_every_phase_are_told(clock, told):
    reporter = Reporter(told.append, {}, clock)
    for phase in ("a", "b", "c"):
        for done in (1, 2, 3):
            reporter.progress(Progress(phase, done, 3))
    assert [(e["phase"], e["done"]) for e in told] == [(p, d) for p in "abc" for d in (1, 3)]


def test_the_time_left_is_that_of_the_phase_and_of_the_stages_after_it(clock, told):
    reporter = Reporter(told.append, {"neighbors": 10, "diffusion": 30}, clock)
    reporter.stages(StageEvent("neighbors", None, "started"))
    clock.now += 1
    reporter.progress(Progress("neighbors", 1, 1000))
    assert told[-1]["eta_seconds"] == 10 - 1 + 30, "one of a thousand says nothing yet"
    clock.now += 4
    reporter.progress(Progress("neighbors", 250, 1000))
    assert told[-1]["eta_seconds"] == 15 + 30, "5 s for a quarter"
    clock.now += 15
    reporter.stages(StageEvent("neighbors", None, "done", seconds=20))
    reporter.stages(StageEvent("diffusion", None, "started"))
    reporter.progress(Progress("diffusion", 1, 1000))
    assert told[-1]["eta_seconds"] == 60, "the machine takes twice the estimate"


def test_stages_that_are_not_to_do_cost_no_time(clock, told):
    estimates = {"vectors": 5, "neighbors": 10, "diffusion": 30}
    reporter = Reporter(told.append, estimates, clock)
    states = {"vectors": "live version", "neighbors": "live version", "diffusion": "to do"}
    plan = Plan(tuple(PlannedStage(name, None, state) for name, state in states.items()), "v1")
    reporter.stages(plan)
    reporter.stages(StageEvent("vectors", None, "reused", "live version"))
    reporter.stages(StageEvent("neighbors", None, "reused", "live version"))
    reporter.stages(StageEvent("diffusion", None, "started"))
    reporter.progress(Progress("diffusion", 1, 1000))
    assert told[-1]["eta_seconds"] == 30
    assert (told[-1]["stages_done"], told[-1]["stages_total"]) == (2, 3)


def test_memory_is_that_of_this_process():
    held = bytearray(64 << 20)
    assert 64 << 20 < rss_bytes() <= peak_rss_bytes() + (1 << 20)
    assert peak_rss_bytes() > len(held)


def test_estimates_name_the_stages_that_there_are(tmp_path, told):
    from indexer.estimate import stage_seconds

    models = {"a": CONFIG, "b": BuildConfig(k_d=3, neighbors="auto", similarity=["cas"])}
    source = Source("v", vectors())
    summary = build_collection(source, tmp_path, "c", models=models)
    names = [s.stage if s.model is None else f"{s.stage}:{s.model}" for s in summary.stages]
    assert list(stage_seconds(ROWS, 4, models)) == names
