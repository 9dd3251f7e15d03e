"""The Kubernetes example hangs together: names, labels, ports, probes, confinement."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from deployment_files import DEPLOY, known_settings

FOLDER = DEPLOY / "kubernetes"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text(encoding="utf-8"))
OBJECTS: list[dict[str, Any]] = [
    told
    for name in KUSTOMIZATION["resources"]
    for told in yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8"))
]
WORKLOADS = [told for told in OBJECTS if told["kind"] in ("Deployment", "StatefulSet")]


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {told["metadata"]["name"]: told for told in OBJECTS if told["kind"] == kind}


def labels(workload: dict[str, Any]) -> dict[str, str]:
    return dict(workload["spec"]["template"]["metadata"]["labels"])


def by_name(workload: dict[str, Any]) -> str:
    return str(workload["metadata"]["name"])


def test_what_there_is() -> None:
    assert {(told["apiVersion"], told["kind"]) for told in OBJECTS} == {
        ("v1", "Namespace"), ("v1", "ConfigMap"), ("v1", "PersistentVolumeClaim"),
        ("v1", "Service"), ("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"),
        ("policy/v1", "PodDisruptionBudget"), ("networking.k8s.io/v1", "NetworkPolicy"),
        ("networking.k8s.io/v1", "Ingress"),
    }  # fmt: skip
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert files == set(KUSTOMIZATION["resources"])


def test_selectors_find_one_workload_each() -> None:
    for workload in WORKLOADS:
        assert workload["spec"]["selector"]["matchLabels"].items() <= labels(workload).items()
    selectors = [told["spec"]["selector"] for told in of_kind("Service").values()]
    selectors += [
        t["spec"]["selector"]["matchLabels"] for t in of_kind("PodDisruptionBudget").values()
    ]
    selectors += [
        t["spec"]["podSelector"]["matchLabels"] for t in of_kind("NetworkPolicy").values()
    ]
    for selector in selectors:
        found = [by_name(w) for w in WORKLOADS if selector.items() <= labels(w).items()]
        assert len(found) == 1, f"{selector} finds {found}"


def test_ports_lead_somewhere() -> None:
    for name, service in of_kind("Service").items():
        (workload,) = [
            w for w in WORKLOADS if service["spec"]["selector"].items() <= labels(w).items()
        ]
        (container,) = workload["spec"]["template"]["spec"]["containers"]
        ports = {port["name"] for port in container["ports"]}
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in ports, name
    (ingress,) = of_kind("Ingress").values()
    for rule in ingress["spec"]["rules"]:
        for path in rule["http"]["paths"]:
            backend = path["backend"]["service"]
            ports = of_kind("Service")[backend["name"]]["spec"]["ports"]
            assert backend["port"]["name"] in {port["name"] for port in ports}
            assert not "/metrics".startswith(path["path"])


@pytest.mark.parametrize("workload", WORKLOADS, ids=by_name)
def test_pods_are_confined(workload: dict[str, Any]) -> None:
    pod = workload["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]


def test_the_service_s_probes() -> None:
    pod = of_kind("Deployment")["kinfold"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    paths = {
        kind: container[kind]["httpGet"]["path"] for kind in container if kind.endswith("Probe")
    }
    assert paths == {
        "startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz",
    }  # fmt: skip


def test_settings_exist_and_no_service_overwrites_them() -> None:
    (config,) = of_kind("ConfigMap").values()
    assert config["data"].keys() <= known_settings(), config["data"].keys() - known_settings()
    for name in ("kinfold", "kinfold-worker"):
        pod = of_kind("Deployment")[name]["spec"]["template"]["spec"]
        # A Service called kinfold sets KINFOLD_PORT=tcp://… in pods that take such links.
        assert pod["enableServiceLinks"] is False
        (container,) = pod["containers"]
        assert container["envFrom"] == [{"configMapRef": {"name": "kinfold"}}]
        (claim,) = [v["persistentVolumeClaim"] for v in pod["volumes"] if v["name"] == "data"]
        assert claim["claimName"] in of_kind("PersistentVolumeClaim")


def test_there_is_time_to_finish() -> None:
    pod = of_kind("Deployment")["kinfold"]["spec"]["template"]["spec"]
    (config,) = of_kind("ConfigMap").values()
    pause = int(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    needed = pause + int(config["data"]["KINFOLD_SHUTDOWN_SECONDS"])
    assert pod["terminationGracePeriodSeconds"] > needed


def test_an_update_never_takes_the_last_one_away() -> None:
    spec = of_kind("Deployment")["kinfold"]["spec"]
    assert spec["replicas"] >= 2
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
