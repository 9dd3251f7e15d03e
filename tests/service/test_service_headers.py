"""Headers that every answer carries; pages of other origins; proxies."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from service_client import Client, running

from kinfold import InputError
from service import web_files
from service.page import CONTENT_SECURITY_POLICY
from service.search import steps
from service.security.headers import SAFE
from service.settings import load_settings

ORIGIN = "https://photos.example.org"
PREFLIGHT = {
    "Origin": ORIGIN,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}
LIST = "/v1/collections"


def check(answer: httpx.Response, **otherwise: str) -> None:
    expected = {**{name.lower(): value for name, value in SAFE.items()}, **otherwise}
    for name, value in expected.items():
        assert answer.headers.get_list(name) == [value], (name, answer.url)
    assert "server" not in answer.headers
    assert "x-powered-by" not in answer.headers


def test_every_answer_is_safe(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("/healthz", "/readyz", "/openapi.json", LIST, "/v1/collections/photos", "/no"):
        check(client.get(path))
    check(client.search("photos", id=1))
    check(client.search("photos", id=None))
    check(client.send("PATCH", LIST))
    check(client.get("/docs"), **{"content-security-policy": CONTENT_SECURITY_POLICY})
    for path in ("/", "/web/main.js"):
        kept = {"content-security-policy": web_files.CONTENT_SECURITY_POLICY}
        check(client.get(path), **kept, **{"cache-control": "no-cache"})
    assert "unsafe" not in web_files.CONTENT_SECURITY_POLICY
    assert "script-src" not in CONTENT_SECURITY_POLICY
    assert "frame-ancestors 'none'" in CONTENT_SECURITY_POLICY

    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(steps, "check", fail)
    answer = client.search("photos", id=1, k=7)  # not one that is kept already
    assert answer.status_code == 500
    check(answer)


def test_refusals_are_safe(data: Path, tmp_path: Path) -> None:
    with running(data, wait=False, auth="on", keys=tmp_path / "k", cors_origins="*") as client:
        check(client.get(LIST))
        check(client.send("OPTIONS", LIST, headers=PREFLIGHT))


def test_no_origin_by_default(client: Client) -> None:
    answer = client.get(LIST, headers={"Origin": ORIGIN})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert client.send("OPTIONS", LIST, headers=PREFLIGHT).status_code == 405


def test_origins_are_exact(data: Path, tmp_path: Path) -> None:
    """A browser asks without a key; what it then sends needs one."""
    origins = f"{ORIGIN}, http://localhost:3000"
    keys = tmp_path / "keys.json"
    with running(data, wait=False, auth="on", keys=keys, cors_origins=origins) as client:
        answer = client.send("OPTIONS", "/v1/collections/photos/search", headers=PREFLIGHT)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "Authorization" in answer.headers["access-control-allow-headers"]
        answer = client.get(LIST, headers={"Origin": "http://localhost:3000"})
        # Refused for want of a key, and the page may read why.
        assert answer.status_code == 401
        assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
        assert "Retry-After" in answer.headers["access-control-expose-headers"]
        for other in ("https://example.org", f"{ORIGIN}.evil.org", "null", ORIGIN + ":444"):
            headers = {**PREFLIGHT, "Origin": other}
            assert "access-control-allow-origin" not in client.get(LIST, headers=headers).headers
            answer = client.send("OPTIONS", LIST, headers=headers)
            assert answer.status_code == 400
            assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origins", ["*", ORIGIN])
def test_never_with_credentials(data: Path, origins: str) -> None:
    with running(data, wait=False, cors_origins=origins) as client:
        for answer in (
            client.send("OPTIONS", LIST, headers=PREFLIGHT),
            client.get(LIST, headers={"Origin": ORIGIN, "Cookie": "a=b"}),
        ):
            assert answer.headers["access-control-allow-origin"] == origins
            assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cors_origins", "example.org"), ("cors_origins", "https://*.example.org"),
        ("cors_origins", "https://example.org/"), ("cors_origins", "https://Example.org"),
        ("cors_origins", "null"), ("cors_origins", "https://a b"),
        ("trusted_proxies", "*"), ("trusted_proxies", "proxy"), ("trusted_proxies", "10.0.0.1/8"),
        ("rate_limit", "fast"), ("auth", "maybe"), ("auth", "false"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_used(name: str, value: str) -> None:
    with pytest.raises(InputError, match=f"KINFOLD_{name.upper()}: "):
        load_settings(**{name: value})


@pytest.mark.parametrize(
    ("trusted", "sent", "client_is"),
    [
        ("", "203.0.113.9", "127.0.0.1"),
        ("10.0.0.0/8", "203.0.113.9", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("127.0.0.0/8", "203.0.113.9, 127.0.0.5", "203.0.113.9"),
        # What a client puts in front by itself is not believed.
        ("127.0.0.1", "198.51.100.1, 203.0.113.9", "203.0.113.9"),
        ("127.0.0.1", "", "127.0.0.1"),
    ],
)
def test_clients_behind_proxies(
    data: Path, caplog: pytest.LogCaptureFixture, trusted: str, sent: str, client_is: str
) -> None:
    caplog.set_level("INFO", "kinfold.access")
    with running(data, wait=False, trusted_proxies=trusted) as client:
        client.get("/healthz", headers={"X-Forwarded-For": sent})
    lines = [r.fields for r in caplog.records if r.name == "kinfold.access"]  # type: ignore[attr-defined]
    assert lines[-1]["client"] == client_is
