"""Who may do what: every address, every scope, with and without keys."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from service_client import Client, problem, running, server, until
from starlette.datastructures import Headers
from test_service_openapi import DOCUMENT

from service import app as app_module
from service.routes import all_routes
from service.security import scopes
from service.security.guard import network_of, token_in
from service.security.keys import KEYS_FILE
from service.security.scopes import ADDRESSES, SCOPES, covers, find, need_of, shape
from service.security.setup import is_loopback, warnings
from service.security.store import create_key, revoke_key, rotate_key
from service.settings import Settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "security.md"
WRONG = f"kf_{'a' * 10}_{'A' * 43}"
PARTS = {"collection": "photos", "version": "20250301T120000Z-0f3a5c9d1e2b", "job": "j1",
         "file": "main.js"}  # fmt: skip
NEEDS = [
    (method, template, need)
    for template, methods in ADDRESSES.items()
    for method, need in methods.items()
]
CLOSED = [(method, template, need) for method, template, need in NEEDS if need != "open"]


def path_of(template: str) -> str:
    return template.format(**PARTS)


def bearer(token: object) -> dict[str, dict[str, str]]:
    return {"headers": {"Authorization": f"Bearer {token}"}}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A file of keys, and a token of each scope."""
    path = tmp_path_factory.mktemp("keys") / KEYS_FILE
    return path, {scope: str(create_key(path, scope)[1]) for scope in SCOPES}


@pytest.fixture(scope="module")
def tokens(keys: tuple[Path, dict[str, str]]) -> dict[str, str]:
    return keys[1]


@pytest.fixture(scope="module")
def locked(data: Path, keys: tuple[Path, dict[str, str]]) -> Iterator[Client]:
    """The service with keys; what writes is never reached here, but by those who may."""
    path, tokens = keys
    with running(data, wait=False, auth="on", keys=path) as client:
        wait_until_ready(client, tokens["read"])
        yield client


def wait_until_ready(client: Client, token: str) -> None:
    while client.get("/readyz", **bearer(token)).status_code != 200:
        time.sleep(0.02)


def test_every_route_is_declared() -> None:
    """Default-deny: an address without a scope fails here, before it is refused to everybody."""
    for route in all_routes():
        for method in route.methods or ():
            assert need_of(method, route.path) is not None, (
                f"{method} {route.path}: add it to service.security.scopes.ADDRESSES"
            )
    listed = {shape(route.path) for route in all_routes()}
    served = {
        shape(path) for path in app_module.create_app(Settings.model_construct()).openapi()["paths"]
    }
    assert served <= listed


def test_patterns_find_their_own_addresses() -> None:
    for template in ADDRESSES:
        found = find(path_of(template))
        assert found is not None
        assert found.template == template
        assert found.parts.items() <= PARTS.items()
    for path in ("//", "/web", "/web/", "/web/a/b", "/v1",
                 "/v1/collections/", "/v1/collections/a/b", "/healthz/", "/docs/x",
                 "/v1/collections/a/search/", "/v1/collections/{collection}x/y"):  # fmt: skip
        assert find(path) is None


def test_scopes_contain_one_another() -> None:
    assert [[covers(have, need) for need in SCOPES] for have in SCOPES] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]
    assert all(covers(scope, "open") for scope in SCOPES)


@pytest.mark.parametrize(("method", "template", "need"), CLOSED)
def test_without_a_key(locked: Client, method: str, template: str, need: str) -> None:
    answer = locked.send(method, path_of(template))
    found = problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == 'Bearer realm="kinfold"'
    assert "Authorization: Bearer" in found["detail"]
    for headers in (
        bearer(WRONG)["headers"],
        {"X-API-Key": WRONG},
        {"X-API-Key": ""},
        {"Authorization": "Basic eDp5"},
        {"Authorization": "Bearer"},
    ):
        answer = locked.send(method, path_of(template), headers=headers)
        assert answer.status_code in (401, 429)
        assert WRONG not in answer.text
        assert "A" * 43 not in answer.text


@pytest.mark.parametrize(("method", "template", "need"), CLOSED)
def test_with_a_lesser_key(
    locked: Client, tokens: dict[str, str], method: str, template: str, need: Any
) -> None:
    for scope in SCOPES:
        if covers(scope, need):
            continue
        answer = locked.send(method, path_of(template), **bearer(tokens[scope]))
        found = problem(answer, 403, "forbidden")
        assert (found["expected"], found["found"]) == (need, scope)
        assert f'scope="{need}"' in answer.headers["www-authenticate"]
        assert tokens[scope] not in answer.text


@pytest.mark.parametrize(
    ("method", "template"), [(method, path) for method, path, need in NEEDS if need == "read"]
)
def test_with_a_key_that_will_do(
    locked: Client, tokens: dict[str, str], method: str, template: str
) -> None:
    for scope in SCOPES:
        for headers in (bearer(tokens[scope])["headers"], {"X-API-Key": tokens[scope]}):
            answer = locked.send(method, path_of(template), headers=headers)
            assert answer.status_code not in (401, 403, 429), answer.text


def test_searches(locked: Client, tokens: dict[str, str]) -> None:
    path = "/v1/collections/photos/search"
    answer = locked.send("POST", path, json={"id": 1}, **bearer(tokens["read"]))
    assert answer.status_code == 200
    assert len(answer.json()["results"][0]["hits"]) == 10


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer "])
def test_the_scheme_is_read_leniently(locked: Client, tokens: dict[str, str], scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {tokens['read']}"}
    assert locked.get("/v1/collections", headers=headers).status_code == 200


def test_open_addresses(locked: Client) -> None:
    for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
        assert locked.get(path).status_code == 200
        assert locked.get(path, **bearer(WRONG)).status_code == 200


def test_readiness_names_collections_to_holders_of_keys_only(
    locked: Client, tokens: dict[str, str]
) -> None:
    for given_ in ({}, bearer(WRONG), {"headers": {"X-API-Key": "x"}}):
        answer = locked.get("/readyz", **given_)
        assert answer.json() == {"status": "ready", "reasons": [], "collections": None}
    names = {
        one["name"] for one in locked.get("/readyz", **bearer(tokens["read"])).json()["collections"]
    }
    assert names == {"photos", "words", "parts", "several"}


def test_unknown_addresses_are_for_holders_of_keys(locked: Client, tokens: dict[str, str]) -> None:
    problem(locked.get("/nothing"), 401, "unauthorized")
    problem(locked.get("/nothing", **bearer(tokens["read"])), 404, "not-found")
    problem(locked.send("PATCH", "/v1/collections"), 401, "unauthorized")
    answer = locked.send("PATCH", "/v1/collections", **bearer(tokens["read"]))
    found = problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == found["expected"] == "GET, POST"


def test_other_methods_of_open_addresses_need_no_key(locked: Client) -> None:
    for path in ("/healthz", "/readyz", "/docs"):
        problem(locked.send("POST", path), 405, "method-not-allowed")
        assert locked.send("HEAD", path).status_code == 405


def test_keys_come_and_go_while_the_service_runs(data: Path, tmp_path: Path) -> None:
    """A real process: made, rotated, revoked; never started again."""
    path = tmp_path / "keys.json"
    # A line a request would fill the pipe that nobody reads meanwhile.
    with server(data, auth="on", keys=path, log_level="warning") as (http, process):

        def status(token: object) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            return http.get("/v1/collections", headers=headers).status_code

        key, token = create_key(path, "read")
        until(lambda: status(token) == 200, 10)
        _, new = rotate_key(path, key.id, 1)
        until(lambda: status(new) == 200, 10)
        assert status(token) == 200
        revoke_key(path, key.id)
        # Asked for that often, it counts as guessing.
        until(lambda: {status(token), status(new)} <= {401, 429}, 10)
        process.terminate()
        _, stderr = process.communicate(timeout=30)
    assert b"kinfold keys create" in stderr
    assert token.secret.encode() not in stderr
    assert new.secret.encode() not in stderr


def test_an_undeclared_address_is_never_reached(
    data: Path, keys: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, tokens = keys
    with running(data, wait=False, auth="on", keys=path) as client:
        app: FastAPI = client.app

        @app.get("/v1/forgotten")
        async def forgotten() -> str:
            return "reached"

        problem(client.get("/v1/forgotten", **bearer(tokens["admin"])), 404, "not-found")
        monkeypatch.setitem(scopes.ADDRESSES, "/v1/forgotten", {"GET": "read"})
        assert client.get("/v1/forgotten", **bearer(tokens["read"])).json() == "reached"


def test_no_keys_file(data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The service starts, refuses, says how to make a key, and takes it once it is made."""
    path = tmp_path / "none.json"
    with running(data, wait=False, auth="on", keys=path) as client:
        assert client.get("/healthz").status_code == 200
        problem(client.get("/v1/collections"), 401, "unauthorized")
        problem(client.get("/v1/collections", **bearer(WRONG)), 401, "unauthorized")
        assert "kinfold keys create" in caplog.text
        key, token = create_key(path, "read")
        client.app.state.security.keyring._next_look = 0
        assert client.get("/v1/collections", **bearer(token)).status_code == 200
        revoke_key(path, key.id)
        client.app.state.security.keyring._next_look = 0
        found = problem(client.get("/v1/collections", **bearer(token)), 401, "unauthorized")
        assert "is revoked" in found["detail"]


def test_a_damaged_keys_file_refuses_all(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "keys.json"
    _, token = create_key(path, "admin")
    good = path.read_bytes()
    with running(data, wait=False, auth="on", keys=path) as client:
        wait_until_ready(client, str(token))
        path.write_bytes(good[:-20])
        client.app.state.security.keyring._next_look = 0
        for given_ in ({}, bearer(token)):
            problem(client.get("/v1/collections", **given_), 401, "unauthorized")
        found = problem(client.get("/readyz"), 503, "not-ready")
        assert "API keys" in found["detail"]
        assert str(tmp_path) not in found["detail"]
        assert [r for r in caplog.records if r.levelno == logging.ERROR and "damaged" in r.message]
        path.write_bytes(good)
        client.app.state.security.keyring._next_look = 0
        assert client.get("/v1/collections", **bearer(token)).status_code == 200
        assert client.get("/readyz").status_code == 200


def test_no_secret_is_logged(
    data: Path, keys: tuple[Path, dict[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    path, tokens = keys
    with (
        caplog.at_level("DEBUG"),
        running(data, wait=False, auth="on", keys=path) as client,
    ):
        for token in [*tokens.values(), WRONG]:
            client.get("/v1/collections", **bearer(token))
            client.send("DELETE", "/v1/collections/nothing", headers={"X-API-Key": token})
    logged = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    for token in [*tokens.values(), WRONG]:
        assert token.partition("_")[2].partition("_")[2] not in logged
    lines = [r.fields for r in caplog.records if r.name == "kinfold.access"]  # type: ignore[attr-defined]
    assert tokens["read"].split("_")[1] in {line["key"] for line in lines}


@pytest.mark.parametrize(
    ("host", "loud"),
    [("127.0.0.1", 1), ("localhost", 1), ("::1", 1), ("0.0.0.0", 2), ("::", 2), ("example.org", 2)],  # noqa: S104
)
def test_auth_off_is_loud(
    data: Path, caplog: pytest.LogCaptureFixture, host: str, loud: int
) -> None:
    with running(data, wait=False, host=host):
        pass
    said = [r for r in caplog.records if "KINFOLD_AUTH=off" in r.getMessage()]
    assert len(said) == loud
    assert all(record.levelno == logging.WARNING for record in said)
    assert is_loopback(host) == (loud == 1)


def test_auth_is_on_unless_told() -> None:
    assert Settings.model_fields["auth"].default == "on"
    assert warnings(Settings.model_construct()) == []
    off = Settings.model_construct(auth="off", rate_limit="1/minute")
    assert any("KINFOLD_RATE_LIMIT has no effect" in text for text in warnings(off))


def test_the_description_tells_the_scopes() -> None:
    assert set(DOCUMENT["components"]["securitySchemes"]) == {"bearer", "apiKey"}
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            need = need_of(method.upper(), path)
            if need == "open":
                assert operation["security"] == []
                continue
            assert operation["security"] == [{"bearer": []}, {"apiKey": []}]
            assert operation["x-kinfold-scope"] == need
            assert {"401", "429"} <= set(operation["responses"])
            assert ("403" in operation["responses"]) == (need != "read")
            assert "Retry-After" in operation["responses"]["429"]["headers"]


def test_the_page_tells_the_scopes() -> None:
    listed = dict(re.findall(r"^\| `([A-Z]+ /\S*)` \| (\w+) \|", PAGE.read_text("utf-8"), re.M))
    wanted = {
        f"{method} {template.replace('{collection}', '{c}')}": need
        for method, template, need in NEEDS
    }
    assert listed == wanted


hostile = st.one_of(
    st.sampled_from(
        ["%2e%2e", "%2e%2e%2f%2e%2e", "..%2f..%2fetc%2fpasswd", "%00", "a%00b", "a\x00",
         ".keys.json", ".jobs", "-a", "A", "ａ", "é", "a" * 65, "x" * 4000, "%ff%fe", "a%0ab", "~",
         "con.", "a.b", "CURRENT", "%5c..%5c", "𝕒", "a%20", "%252e%252e"]
    ),
    # A client leaves out "." and ".." itself, and asks for another address.
    st.text(min_size=1, max_size=70).filter(lambda name: name not in (".", "..")),
)  # fmt: skip


@given(hostile, st.sampled_from([t for t in ADDRESSES if "{" in t]), st.data())
def test_hostile_names_reach_nothing(
    client: Client, name: str, template: str, data: st.DataObject
) -> None:
    """No name but one that a collection may have gets past the door, not even without keys."""
    part = quote(name, safe="%")
    method = data.draw(st.sampled_from(sorted(ADDRESSES[template])))
    path = template.replace("{collection}", part).replace("{file}", part).format(**PARTS)
    answer = client.send(method, path)
    assert answer.status_code < 500
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", name):
        assert answer.status_code in (401, 404, 405), (method, path)
        assert answer.headers["content-type"] == "application/problem+json"


@given(st.dictionaries(st.sampled_from(["authorization", "x-api-key"]), st.text(max_size=80)))
def test_any_header_gives_text_or_nothing(headers: dict[str, str]) -> None:
    raw = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
    found = token_in(Headers(raw=raw))
    assert found is None or isinstance(found, str)


def test_addresses_of_one_network_count_as_one() -> None:
    assert network_of("192.0.2.7") == "192.0.2.7"
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:2") != network_of("2001:db9::1")
    assert network_of("testclient") == network_of("") == "unknown"


def test_the_app_is_made_with_a_guard() -> None:
    app = app_module.create_app(Settings.model_construct())
    names = [middleware.cls.__name__ for middleware in app.user_middleware]  # type: ignore[attr-defined]
    assert names == ["RequestLog", "Guard", "BodyTimeout"]
