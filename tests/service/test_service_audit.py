"""The log of writes: a line for each, for those that were refused, too; and none is lost."""

from __future__ import annotations

import json
import logging
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from service_client import Client, running, server

from kinfold import InputError
from service.security.audit import AuditLog
from service.security.keys import KEYS_FILE
from service.security.scopes import ADDRESSES
from service.security.setup import Security
from service.security.store import create_key
from service.settings import Settings

GONE = "/v1/collections/nothing"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def drop(client: Client, token: object = None, path: str = GONE, request_id: str = "r1") -> int:
    headers = {"X-Request-ID": request_id} | ({"X-API-Key": str(token)} if token else {})
    return client.send("DELETE", path, headers=headers).status_code


def test_writes_and_what_was_refused(data: Path, tmp_path: Path) -> None:
    keys, log = tmp_path / KEYS_FILE, tmp_path / "audit.jsonl"
    admin, token = create_key(keys, "admin")
    reader, lesser = create_key(keys, "read")
    with running(data, wait=False, auth="on", keys=keys, audit_log=log) as client:
        assert drop(client, token) in (404, 405)
        assert drop(client, lesser) == 403
        assert drop(client) == 401
        client.get("/v1/collections", headers={"X-API-Key": str(token)})
        client.get("/healthz")
    first, second, third = lines(log)
    assert set(first) == {
        "time", "key", "action", "collection", "status", "request_id", "client",
    }  # fmt: skip
    assert first["time"].endswith("+00:00")
    assert {
        "key": admin.id, "action": "DELETE /v1/collections/{collection}", "collection": "nothing",
        "request_id": "r1", "client": "127.0.0.1",
    }.items() <= first.items()  # fmt: skip
    assert (second["key"], second["status"]) == (reader.id, 403)
    assert (third["key"], third["status"]) == (None, 401)
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert str(token) not in log.read_text()


def test_every_address_that_needs_more_than_read_is_noted(data: Path, tmp_path: Path) -> None:
    keys, log = tmp_path / KEYS_FILE, tmp_path / "audit.jsonl"
    wanted = []
    with running(data, wait=False, auth="on", keys=keys, audit_log=log) as client:
        for template, methods in ADDRESSES.items():
            for method, need in methods.items():
                path = template.format(collection="c", version="v", job="j", file="f.js")
                assert client.send(method, path).status_code in (200, 401, 404, 503)
                if need in ("write", "admin"):
                    wanted.append(f"{method} {template}")
    assert [line["action"] for line in lines(log)] == wanted
    assert len(wanted) >= 10


def test_without_a_file_it_is_in_the_log(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the level of the log."""
    above = logging.getLogger("kinfold")
    before = above.level
    above.setLevel(logging.ERROR)
    try:
        with running(data, wait=False) as client:
            drop(client)
    finally:
        above.setLevel(before)
    (record,) = [record for record in caplog.records if record.name == "kinfold.audit"]
    fields = record.fields  # type: ignore[attr-defined]
    assert fields["action"] == "DELETE /v1/collections/{collection}"
    assert fields["key"] is None


def test_a_new_collection_is_named(tmp_path: Path) -> None:
    """Its name is in the body, not in the address."""
    log = tmp_path / "audit.jsonl"
    (tmp_path / "data").mkdir()
    with running(tmp_path / "data", audit_log=log) as client:
        assert client.send("POST", "/v1/collections", json={"name": "new"}).status_code == 201
        assert client.send("DELETE", "/v1/collections/new").status_code == 200
        assert client.send("POST", "/v1/collections", json={"name": "../new"}).status_code == 422
    assert [(line["collection"], line["status"]) for line in lines(log)] == [
        ("new", 201), ("new", 200), (None, 422),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("trusted", "client_is"), [("", "127.0.0.1"), ("127.0.0.1", "203.0.113.9")]
)
def test_a_real_server_believes_trusted_proxies_only(
    data: Path, tmp_path: Path, trusted: str, client_is: str
) -> None:
    log = tmp_path / "audit.jsonl"
    given = {"audit_log": log, "trusted_proxies": trusted, "log_level": "warning"}
    with server(data, **given) as (http, _):
        answer = http.delete(GONE, headers={"X-Forwarded-For": "203.0.113.9"})
        assert answer.status_code == 404
        assert "server" not in answer.headers
    assert [line["client"] for line in lines(log)] == [client_is]


def test_hostile_text_stays_one_line(data: Path, tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    with running(data, wait=False, audit_log=log) as client:
        for name in ("a%0ab", "%00", "x" * 5000, "%22,%22key%22:%22", "%ff", "%e2%80%a8"):
            drop(client, path=f"/v1/collections/{name}")
    found = lines(log)
    assert len(found) == 6
    assert all(line["key"] is None and line["status"] == 404 for line in found)
    assert max(len(line) for line in log.read_bytes().splitlines()) < 1000


def test_a_rotated_file_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path)
    log.note(action="one")
    path.rename(tmp_path / "audit.jsonl.1")
    log.note(action="two")
    path.unlink()
    log.note(action="three")
    log.close()
    log.note(action="four")
    log.close()
    assert [line["action"] for line in lines(tmp_path / "audit.jsonl.1")] == ["one"]
    assert [line["action"] for line in lines(path)] == ["three", "four"]


def test_writers_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"

    def write(number: int) -> None:
        log = AuditLog(path)
        for count in range(200):
            log.note(action="x" * 150, who=number, count=count)
        log.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = lines(path)
    assert len(found) == 1600
    for number in range(8):
        assert [line["count"] for line in found if line["who"] == number] == list(range(200))


def test_what_cannot_be_written_is_said_at_the_start(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, audit_log=tmp_path / "no" / "audit.jsonl")
    with pytest.raises(InputError, match=r"KINFOLD_AUDIT_LOG: .*cannot be written"):
        Security(settings)


def test_a_line_that_cannot_be_written_goes_to_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    log = AuditLog(folder / "audit.jsonl")
    (folder / "audit.jsonl").unlink()
    folder.rmdir()
    log.note(action="lost?", key="abc")
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.fields["audit"] == {"action": "lost?", "key": "abc"}  # type: ignore[attr-defined]
