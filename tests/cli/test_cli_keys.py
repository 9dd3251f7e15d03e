"""`kinfold keys`, as an operator uses it."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest
from cli_support import run_process

from service.security.keyring import Keyring
from service.security.keys import KEYS_FILE, Key

TOKEN = re.compile(r"kf_[a-z0-9]{10}_[A-Za-z0-9_-]{43}\n")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("DATA", "KEYS"):
        monkeypatch.delenv(f"KINFOLD_{name}", raising=False)
    (tmp_path / "data").mkdir()
    return tmp_path


def good(token: str, path: str | Path = f"data/{KEYS_FILE}") -> bool:
    return isinstance(Keyring(Path(path)).verify(token.strip()), Key)


def test_the_life_of_a_key(kinfold, here):
    made = kinfold("keys", "create", "--scope", "write", "--name", "the [red] indexer")
    assert made.code == 0
    assert TOKEN.fullmatch(made.out)
    assert "shown only this once" in made.err
    assert made.out.strip() not in made.err
    path = here / "data" / KEYS_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert good(made.out)
    key_id = made.out.split("_")[1]

    listed = kinfold("keys", "list")
    assert listed.code == 0
    assert re.search(rf"{key_id} +the \[red\] indexer +write +valid", listed.out)
    assert made.out.strip()[-43:] not in listed.out

    turned = kinfold("keys", "rotate", key_id, "--overlap-hours", 1)
    assert TOKEN.fullmatch(turned.out)
    assert good(made.out)
    assert good(turned.out)
    assert "the secret before it until" in kinfold("keys", "list").out

    gone = kinfold("keys", "revoke", key_id)
    assert gone.out == f"revoked {key_id}\n"
    assert not good(made.out)
    assert not good(turned.out)
    assert "revoked" in kinfold("keys", "list").out
    assert "is revoked" in kinfold("keys", "rotate", key_id).error()


def test_as_json(kinfold):
    made = kinfold(
        "keys",
        "create",
        "--scope",
        "read",
        "--expires-days",
        2,
        "--rate-limit",
        "9/minute",
        "--json",
    ).json
    assert good(made["token"])
    assert (made["scope"], made["rate_limit"], made["state"]) == ("read", "9/minute", "valid")
    listed = kinfold("keys", "list", "--json").json
    assert listed["keys"] == [{name: value for name, value in made.items() if name != "token"}]
    assert "hash" not in json.dumps(listed)
    turned = kinfold("keys", "rotate", made["id"], "--json").json
    assert good(turned["token"])
    assert turned["overlap_until"]
    assert kinfold("keys", "revoke", made["id"], "--json").json["state"] == "revoked"


def test_where_the_file_is(kinfold, here, monkeypatch):
    (here / "other").mkdir()
    token = kinfold("keys", "create", "--scope", "read", "--data", "other").out
    assert good(token, f"other/{KEYS_FILE}")
    token = kinfold("keys", "create", "--scope", "read", "--keys-file", "mine.json").out
    assert good(token, "mine.json")
    monkeypatch.setenv("KINFOLD_KEYS", "theirs.json")
    token = kinfold("keys", "create", "--scope", "read").out
    assert good(token, "theirs.json")
    assert good(
        kinfold("keys", "create", "--scope", "read", "--keys-file", "mine.json").out, "mine.json"
    )


def test_no_keys_yet(kinfold):
    assert "kinfold keys create" in kinfold("keys", "list").out
    assert kinfold("keys", "list", "--json").json["keys"] == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["create", "--scope", "read", "--rate-limit", "often"], "--rate-limit: expected requests"),
        (["create", "--scope", "read", "--expires-days", "0"], "--expires-days"),
        (["create", "--scope", "read", "--data", "nowhere"], "writing API keys"),
        (["revoke", "nobody1234"], "no key 'nobody1234'"),
        (["rotate", "nobody1234"], "no key 'nobody1234'"),
        (["rotate", "nobody1234", "--overlap-hours", "-1"], "--overlap-hours"),
    ],
)
def test_mistakes(kinfold, arguments, says):
    assert says in kinfold("keys", *arguments).error()


def test_a_scope_that_does_not_exist(kinfold):
    outcome = kinfold("keys", "create", "--scope", "root")
    assert outcome.code == 2
    assert "root" in outcome.err


def test_a_damaged_file_is_left_alone(kinfold, here):
    path = here / "data" / KEYS_FILE
    path.write_text('{"keys": [{"id": "secret stuff"}]}')
    for verb in (["create", "--scope", "read"], ["list"], ["revoke", "abcdefghij"]):
        message = kinfold("keys", *verb).error()
        assert "damaged" in message
        assert "secret stuff" not in message
    assert path.read_text() == '{"keys": [{"id": "secret stuff"}]}'


def test_from_the_shell(here):
    """`TOKEN=$(kinfold keys create …)` is the token and nothing else."""
    done = run_process("keys", "create", "--scope", "admin", cwd=here)
    assert done.code == 0
    assert TOKEN.fullmatch(done.out)
    assert good(done.out)


def test_serve_without_authentication_is_loud(here):
    """On the terminal, before anything else; the address is one that it cannot listen on."""
    arguments = ["serve", "--data", "data", "--host", "192.0.2.1"]
    outcome = run_process(*arguments, cwd=here, environ={"KINFOLD_AUTH": "off"})
    assert outcome.code == 2
    first, second, *_ = outcome.err.splitlines()
    assert first.startswith("WARNING: KINFOLD_AUTH=off: everybody who reaches this service may")
    assert "open to the network" in second
    assert "WARNING" not in run_process(*arguments, cwd=here).err
