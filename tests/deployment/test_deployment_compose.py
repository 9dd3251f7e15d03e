"""The compose file is one, and says what the image, the proxy and the settings need."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose
from compose_spec.models import ComposeSpecification, Service
from deployment_files import DOCKER, ROOT, known_settings, settings_named

OURS = ("service1", "service2", "worker")
FILES = ("docker-compose.yml", "docker-compose.tls.yml")


def compose(name: str = FILES[0]) -> dict[str, Any]:
    text = (DOCKER / name).read_text(encoding="utf-8")
    return dict(yaml.safe_load(re.sub(r"\$\{\w+(?::-([^}]*))?\}", r"\1", text)))


def schema_problems(told: dict[str, Any]) -> list[str]:
    """What the Compose schema has to say; the models ignore unknown names, so these are asked."""
    ComposeSpecification.model_validate(told)
    known = {
        name for key, field in ComposeSpecification.model_fields.items()
        for name in (key, field.alias) if name
    }  # fmt: skip
    problems = [key for key in told if key not in known and not key.startswith("x-")]
    fields = {n for key, f in Service.model_fields.items() for n in (key, f.alias) if n}
    for name, service in told["services"].items():
        problems += [f"{name}.{key}" for key in service if key not in fields]
    return problems


@pytest.mark.parametrize("name", FILES)
def test_the_schema(name: str) -> None:
    told = compose(name)
    assert schema_problems(told) == []
    PyCompose.from_yaml(yaml.safe_dump(told))


def test_the_schema_would_say_so() -> None:
    told = compose()
    told["services"]["redis"]["helthcheck"] = {}
    assert schema_problems(told) == ["redis.helthcheck"]
    told = compose()
    told["services"]["redis"]["read_only"] = ["yes"]
    with pytest.raises(ValueError, match="read_only"):
        schema_problems(told)


def test_references_inside_the_file() -> None:
    PyCompose.from_yaml(yaml.safe_dump(compose())).validate()
    broken = compose()
    broken["services"]["redis"]["networks"] = ["nowhere"]
    with pytest.raises(Exception, match="nowhere"):
        PyCompose.from_yaml(yaml.safe_dump(broken)).validate()


def test_files_that_are_mounted_exist() -> None:
    for name in FILES:
        for service, fields in compose(name)["services"].items():
            for mount in fields.get("volumes", []):
                source = mount.split(":")[0]
                # The operator's own folders.
                if source.startswith(".") and source not in ("./tls", "./sources"):
                    assert (DOCKER / source).exists(), f"{service}: {mount}"


def test_every_setting_exists() -> None:
    names = settings_named(compose()["services"])
    assert names
    assert names <= known_settings(), names - known_settings()


@pytest.mark.parametrize("name", sorted(compose()["services"]))
def test_every_container_is_confined(name: str) -> None:
    fields = compose()["services"][name]
    assert fields["read_only"] is True
    assert fields["cap_drop"] == ["ALL"]
    assert fields["security_opt"] == ["no-new-privileges:true"]
    assert int(fields["user"].split(":")[0]) > 0
    assert fields["restart"] == "unless-stopped"
    assert "privileged" not in fields


@pytest.mark.parametrize("name", OURS)
def test_our_containers(name: str) -> None:
    fields = compose()["services"][name]
    assert fields["user"] == "10001:10001"
    assert "data:/data" in fields["volumes"]
    assert fields["environment"]["KINFOLD_DATA"] == "/data"
    assert fields["networks"] == ["inside"]
    assert "ports" not in fields
    assert "KINFOLD_AUTH" not in fields["environment"]


def test_only_the_inner_network_has_redis() -> None:
    told = compose()
    assert told["networks"]["inside"]["internal"] is True
    assert told["services"]["redis"]["networks"] == ["inside"]
    published = {name for name, fields in told["services"].items() if "ports" in fields}
    assert published == {"proxy", "grafana"}
    for name in published:
        assert told["services"][name]["ports"][0].startswith("127.0.0.1:")


def test_there_is_time_to_finish() -> None:
    for name in ("service1", "service2"):
        fields = compose()["services"][name]
        granted = int(fields["stop_grace_period"].removesuffix("s"))
        assert granted > int(fields["environment"]["KINFOLD_SHUTDOWN_SECONDS"])


def test_prometheus_asks_both_services() -> None:
    told = yaml.safe_load((DOCKER / "prometheus.yml").read_text(encoding="utf-8"))
    (targets,) = [
        config["targets"] for job in told["scrape_configs"] for config in job["static_configs"]
    ]
    assert targets == ["service1:8000", "service2:8000"]


def test_the_reader_of_the_trial_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCKER))
    import try_compose

    services = try_compose.read(*FILES)
    assert set(services) == set(compose()["services"])
    assert services["service1"].command == ["serve"]
    assert services["service1"].stop_seconds == 45
    assert services["worker"].healthcheck == []
    assert services["service1"].healthcheck is None
    assert services["worker"].needs == {"redis": "service_healthy"}
    inside = [place for _, place, _ in services["proxy"].mounts]
    assert "/etc/nginx/kinfold/servers/tls.conf" in inside
    assert (str(ROOT / "docker" / "prometheus.yml"), "/etc/prometheus/prometheus.yml", True) in (
        services["prometheus"].mounts
    )
    assert try_compose.seconds("1m30s") == 90
    assert Path(services["grafana"].mounts[1][0]) == ROOT / "deploy" / "grafana"
