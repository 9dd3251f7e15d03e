"""Our description is good enough for a generator: what it makes of it works on a real service."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import kinfold
from benchmarks.dependability.processes import REPOSITORY, Service, until
from service.openapi import COMMITTED

CONFIG = REPOSITORY / "openapi" / "python-client.yml"
PACKAGE = "kinfold_generated"


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of the package, made without a network and importable."""
    folder = tmp_path_factory.mktemp("generated")
    command = [
        sys.executable, "-m", "openapi_python_client", "generate", "--path", str(COMMITTED),
        "--config", str(CONFIG), "--meta", "none", "--output-path", str(folder / PACKAGE),
        "--fail-on-warning",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "arning" not in done.stdout + done.stderr
    sys.path.insert(0, str(folder))
    yield PACKAGE
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def models(generated: str) -> ModuleType:
    return importlib.import_module(f"{generated}.models")


@pytest.fixture(scope="module")
def http(generated: str, service: Service) -> Iterator[Any]:
    client = importlib.import_module(f"{generated}.client").Client(base_url=service.url)
    with client as entered:
        yield entered


def address(package: str, group: str, name: str) -> ModuleType:
    return importlib.import_module(f"{package}.api.{group}.{name}")


def test_every_module_can_be_imported(generated: str) -> None:
    folder = Path(importlib.import_module(generated).__path__[0])
    modules = sorted(folder.rglob("*.py"))
    assert len(modules) > 20
    for path in modules:
        parts = path.relative_to(folder.parent).with_suffix("").parts
        importlib.import_module(".".join(part for part in parts if part != "__init__"))


def test_search(
    generated: str, http: Any, models: ModuleType, data: Path, vectors: np.ndarray
) -> None:
    search = address(generated, "search", "search_collection")
    body = models.SearchByVector(vector=vectors[0].tolist(), k=5, with_payload=True)
    answer = search.sync("photos", client=http, body=body)
    hits = kinfold.open(data / "photos").search(vectors[0], 5)
    assert [hit.id for hit in answer.results[0].hits] == hits.ids[0].tolist()
    assert answer.results[0].hits[0].payload["name"] == f"photo {hits.ids[0, 0]}"
    batch = models.SearchByIds(ids=["wörd 1", "wörd 2"], model=["far", "knn"], fusion="score")
    fused = search.sync("words", client=http, body=batch)
    assert len(fused.results) == 2
    assert fused.model == ["far", "knn"]


def test_list_and_describe(generated: str, http: Any) -> None:
    listed = address(generated, "collections", "list_collections").sync(client=http)
    assert {"photos", "words"} <= {state.name for state in listed.collections}
    told = address(generated, "collections", "describe_collection").sync("words", client=http)
    assert told.rows == 200
    assert told.details[0].parameters.alpha == 0.98
    assert address(generated, "operation", "readiness").sync(client=http).status == "ready"


def test_an_error_is_a_problem(generated: str, http: Any, models: ModuleType) -> None:
    search = address(generated, "search", "search_collection")
    body = models.SearchByVector(vector=[1.0, 2.0])
    answer = search.sync_detailed("photos", client=http, body=body)
    assert answer.status_code == 422
    assert isinstance(answer.parsed, models.ProblemDetails)
    assert answer.parsed.type_ == "/docs#wrong-dimension"
    assert (answer.parsed.expected, answer.parsed.found) == (8, 2)
    missing = address(generated, "collections", "describe_collection").sync("no", client=http)
    assert missing.status == 404


def test_a_build(generated: str, http: Any, models: ModuleType, vectors: np.ndarray) -> None:
    file = BytesIO()
    np.save(file, vectors)
    body = importlib.import_module(f"{generated}.types").File(BytesIO(file.getvalue()))
    sent = address(generated, "builds", "upload").sync(client=http, body=body)
    assert sent.bytes_ == len(file.getvalue())
    new = models.NewCollection(name="generated")
    made = address(generated, "collections", "create_collection").sync(client=http, body=new)
    assert made.status == "empty"
    spec = models.BuildSpec(upload=sent.upload)
    asked = address(generated, "builds", "ask_for_build").sync("generated", client=http, body=spec)
    told = address(generated, "builds", "describe_build")
    until(lambda: told.sync("generated", asked.id, client=http).status == "done", "the build")
    drop = address(generated, "collections", "drop_collection")
    assert drop.sync("generated", client=http).dropped
