"""nginx takes the proxy's configuration, and it says what the documentation claims."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from deployment_files import DOCKER

PROXY = DOCKER / "proxy"
NGINX = shutil.which("nginx")


def location(path: str) -> str:
    text = (PROXY / "locations.conf").read_text(encoding="utf-8")
    match = re.search(rf"^location {re.escape(path)} {{\n(.*?)^}}", text, re.DOTALL | re.MULTILINE)
    assert match, path
    return match[1]


def prepared(folder: Path, servers: list[str]) -> Path:
    """The files where the container has them, with paths and names of this machine."""
    (folder / "servers").mkdir()
    for path in PROXY.glob("*.conf"):
        text = path.read_text(encoding="utf-8")
        text = text.replace("/etc/nginx/kinfold/", f"{folder}/").replace(
            "/etc/nginx/tls/", f"{folder}/"
        )
        text = re.sub(r"/tmp/(\w+)", rf"{folder}/\1", text)
        text = text.replace("service1:", "127.0.0.1:").replace("service2:", "127.0.0.2:")
        text = text.replace("/dev/stdout", f"{folder}/access.log")
        place = folder / "servers" if path.name in servers else folder
        (place / path.name).write_text(text)
    return folder / "nginx.conf"


@pytest.mark.skipif(NGINX is None, reason="nginx is not on PATH")
@pytest.mark.parametrize("servers", [["plain.conf"], ["plain.conf", "tls.conf"]])
def test_nginx_takes_it(tmp_path: Path, servers: list[str]) -> None:
    if "tls.conf" in servers:
        if shutil.which("openssl") is None:
            pytest.skip("openssl is not on PATH")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x",
             "-keyout", tmp_path / "server.key", "-out", tmp_path / "server.crt"],
            check=True, capture_output=True,
        )  # fmt: skip
    config = prepared(tmp_path, servers)
    command = [str(NGINX), "-e", "stderr", "-t", "-c", str(config)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "test is successful" in done.stderr
    text = config.read_text().replace("least_conn;", "least_con;")
    config.write_text(text)
    assert subprocess.run(command, check=False, capture_output=True).returncode != 0


def test_metrics_stay_inside() -> None:
    assert "return 404;" in location("= /metrics")


def test_events_are_not_held_back() -> None:
    inside = location("~ ^/v1/collections/[^/]+/builds/[^/]+/events$")
    assert "proxy_buffering off;" in inside


@pytest.mark.parametrize("path", ["= /v1/uploads", "~ ^/v1/collections/[^/]+/snapshot$"])
def test_large_bodies_are_streamed(path: str) -> None:
    inside = location(path)
    assert "proxy_request_buffering off;" in inside
    assert "client_max_body_size 0;" in inside
    assert "proxy_next_upstream off;" in inside


def test_only_what_was_not_answered_is_tried_again() -> None:
    text = (PROXY / "forward.conf").read_text(encoding="utf-8")
    (words,) = re.findall(r"^proxy_next_upstream (.*);", text, re.MULTILINE)
    assert words == "error timeout"


def test_the_service_refuses_large_bodies_itself() -> None:
    from service.settings import Settings

    text = (PROXY / "nginx.conf").read_text(encoding="utf-8")
    (megabytes,) = re.findall(r"client_max_body_size (\d+)m;", text)
    assert int(megabytes) << 20 > Settings.model_fields["max_body_bytes"].default
