"""The script that kills builds sees what there is to see."""

from __future__ import annotations

import json

import pytest

from benchmarks.dependability.build_kills import Trial, events, where

PLAN = {"event": "plan", "stages": [{"stage": "vectors"}, {"stage": "knn"}]}


def stage(name: str, state: str) -> dict[str, str]:
    return {"event": "stage", "stage": name, "state": state}


def test_a_line_that_the_kill_cut_off_is_no_event():
    text = json.dumps(PLAN) + "\nwarning: something\n3\n" + json.dumps(stage("knn", "done"))[:-4]
    assert events(text) == [PLAN]


@pytest.mark.parametrize(
    ("told", "stage_of_the_kill"),
    [
        ([], "before the first stage"),
        ([PLAN, stage("vectors", "started")], "vectors"),
        ([PLAN, stage("vectors", "started"), stage("vectors", "done")], "between stages"),
        (
            [PLAN, stage("vectors", "reused"), stage("knn", "done")],
            "gathering and publishing",
        ),
        ([PLAN, {"event": "done", "seconds": 1.0}], "after the end"),
    ],
)
def test_the_stage_of_a_kill(told, stage_of_the_kill):
    assert where(told) == stage_of_the_kill


@pytest.mark.long
def test_builds_that_were_killed_end_as_if_they_had_not_been(tmp_path):
    tried = Trial(tmp_path, 600, [], seed=1)
    tried.run(1)
    assert tried.happened.wrong == []
    assert tried.happened.stages.total() == 1
    assert tried.happened.builds >= 1
