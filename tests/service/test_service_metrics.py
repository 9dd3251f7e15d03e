"""Metrics: right, documented, drawn, few labels, and cheap."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import numpy as np
from prometheus_client.parser import text_string_to_metric_families
from service_client import RAW, Client, problem, running, until

from service.answers import CollectionState
from service.metrics import Looked, metrics_page, note_request, note_search, note_swap
from service.stages import STAGES, Stages

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "monitoring.md"
DASHBOARD = ROOT / "deploy" / "grafana" / "kinfold.json"

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scraped(client: Client) -> Samples:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return samples(answer.text)


def grown(before: Samples, after: Samples, name: str, **labels: str) -> float:
    key = (name, tuple(sorted(labels.items())))
    return after[key] - before.get(key, 0.0)


def families() -> set[str]:
    """Names of all samples that there may be, without a bucket's or a sum's ending."""
    states = [CollectionState(name="c", status="ready", version="v", rows=1, dimension=2)]
    note_swap("families")
    note_request({"method": "GET"}, 200, 0.1)
    text = metrics_page(Looked(states, {"running": 1})).decode()
    return {
        family.name + ("_total" if family.type == "counter" else "")
        + ("_info" if family.type == "info" else "")
        for family in text_string_to_metric_families(text)
        if family.name != "kinfold_http_requests_created"
    }  # fmt: skip


def test_searches_are_counted_by_stage(data: Path, queries: np.ndarray) -> None:
    waiting = ("kinfold_search_waiting", ())
    with running(data, cache="off") as client:
        before = scraped(client)
        for query in queries[:7]:
            raw = query.astype("<f4").tobytes()
            assert client.search_bytes("photos", raw, RAW).status_code == 200
        assert client.search("photos", id=-1).status_code == 404
        after = scraped(client)
        until(lambda: scraped(client)[waiting] == 0)  # it is looked at twice a second
    route = "/v1/collections/{collection}/search"
    count = "kinfold_http_requests_total"
    assert grown(before, after, count, method="POST", route=route, status="200") == 7
    assert grown(before, after, count, method="POST", route=route, status="404") == 1
    assert grown(before, after, "kinfold_http_request_seconds_count", route=route) == 8
    name = "kinfold_search_stage_seconds"
    for stage in ("decode", "knn", "encode"):
        assert grown(before, after, f"{name}_count", stage=stage) == 7, stage
        assert grown(before, after, f"{name}_sum", stage=stage) > 0
    assert grown(before, after, "kinfold_search_pass_searches_count") == 7


def test_collections_and_processes(client: Client) -> None:
    found = scraped(client)
    state = {one["name"]: one for one in client.get("/readyz").json()["collections"]}
    assert found["kinfold_collection_rows", (("collection", "photos"),)] == 300
    assert found["kinfold_collection_ready", (("collection", "words"),)] == 1
    labels = (("collection", "photos"), ("version", state["photos"]["version"]))
    assert found["kinfold_collection_version_info", labels] == 1
    assert found["kinfold_processes", ()] == 1
    assert found["kinfold_resident_bytes", ()] > 10e6
    assert found["kinfold_open_descriptors", ()] > 3


def test_labels_are_few_whatever_is_asked(client: Client) -> None:
    before = set(scraped(client))
    for number in range(50):
        client.get(f"/nothing/{number}")
        client.get(f"/v1/collections/unknown-{number}")
        client.send(f"VERB{number}", "/healthz")
        client.search(f"unknown{number}", id=number)
        client.send("GET", "/healthz", headers={"X-Request-ID": f"id{number}"})
    new = {labels for name, labels in set(scraped(client)) - before if name.endswith("_total")}
    assert len(new) <= 5
    text = client.get("/metrics").text
    assert "unknown" not in text
    assert "VERB" not in text
    assert "nothing" not in text


def test_off(data: Path) -> None:
    with running(data, metrics="off") as client:
        problem(client.get("/metrics"), 404, "not-found")


def test_the_page_lists_every_metric_and_no_other() -> None:
    listed = set(re.findall(r"^\| `(kinfold_\w+)`", PAGE.read_text("utf-8"), re.MULTILINE))
    assert listed == families()


def test_alerts_and_dashboard_name_metrics_that_there_are() -> None:
    known = families()
    drawn = json.loads(DASHBOARD.read_text("utf-8"))
    expressions = [
        target["expr"] for panel in drawn["panels"] for target in panel.get("targets", [])
    ]
    assert len(expressions) >= 12
    page = PAGE.read_text("utf-8")
    expressions += re.findall(r"expr: (.+)", page)
    used = set()
    for expression in expressions:
        names = re.findall(r"kinfold_\w+", expression)
        assert names, expression
        used |= {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}
    assert used <= known
    stages = {stage for one in expressions for stage in re.findall(r'stage="(\w+)"', one)}
    assert stages <= set(STAGES)


def test_the_dashboard_can_be_imported() -> None:
    drawn = json.loads(DASHBOARD.read_text("utf-8"))
    assert drawn["title"] == "Kinfold"
    assert drawn["schemaVersion"] >= 36
    assert drawn["uid"] == "kinfold"
    ids = [panel["id"] for panel in drawn["panels"]]
    assert len(ids) == len(set(ids))
    places = set()
    for panel in drawn["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & places, panel["title"]
        places |= cells
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] == "${source}"


def test_counting_costs_little() -> None:
    """Far below a search; the page says how much it is on a quiet machine."""
    stages = Stages([(stage, 0.0, 0.001) for stage in STAGES], passed_with=3)
    scope = {"method": "POST"}
    start = time.perf_counter()
    for _ in range(2000):
        note_request(scope, 200, 0.003)
        note_search(stages)
    assert (time.perf_counter() - start) / 2000 < 0.0005
