"""The file of API keys: what it holds, who may write it, what is believed of it."""

from __future__ import annotations

import json
import stat
import string
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from service_client import REPOSITORY

from kinfold.errors import FormatError, InputError, StorageError, UnknownNameError
from service.security import keyring as keyring_module
from service.security import store, tokens
from service.security.keyring import Keyring, Refusal
from service.security.keys import KEYS_FILE, Former, Key, KeysFile, parse_keys, read_keys
from service.security.scopes import SCOPES
from service.security.store import create_key, revoke_key, rotate_key
from service.security.tokens import Token, hash_secret, matches, new_id, new_token, parse_token

LETTERS = string.ascii_lowercase + string.digits
PLACE = Path("keys.json")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / KEYS_FILE


def state_of(path: Path, token: object) -> str:
    """Whose token it is, as a service that starts now says; or why it is nobody's."""
    found = Keyring(path).verify(str(token))
    return found.reason if isinstance(found, Refusal) else found.id


def test_tokens_are_taken_apart_as_they_are_made() -> None:
    for _ in range(200):
        token = new_token(new_id())
        assert parse_token(str(token)) == token
        assert len(token.secret) == 43
        assert token.secret not in repr(token)
        assert hash_secret(token.secret) != token.secret


@given(st.text(max_size=100) | st.from_regex(r"kf_[a-z0-9]{7,13}_[A-Za-z0-9_=-]{42,44}"))
def test_whatever_is_a_token_is_one_in_one_way_only(text: str) -> None:
    token = parse_token(text)
    if token is not None:
        assert str(token) == text
        assert text.isascii()


@given(st.text(LETTERS, min_size=8, max_size=12), st.integers(0, 42), st.integers(0, 99))
def test_a_changed_secret_matches_nothing(key_id: str, place: int, other: int) -> None:
    secret = new_token(key_id).secret
    # The secret is random: what is drawn may not depend on it.
    letters = sorted(set(LETTERS) - {secret[place]})
    letter = letters[other % len(letters)]
    changed = secret[:place] + letter + secret[place + 1 :]
    kept = hash_secret(secret)
    assert matches(secret, kept) == [True]
    assert matches(changed, kept) == [False]
    assert matches(changed, kept, hash_secret(changed)) == [False, True]
    assert matches(secret) == []


def test_unknown_ids_cost_the_same_comparisons(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown, known, rotated: as many comparisons, each of them in constant time."""
    counted: list[int] = []
    compare = tokens.hmac.compare_digest
    monkeypatch.setattr(
        tokens.hmac, "compare_digest", lambda a, b: (counted.append(1), compare(a, b))[1]
    )
    one, token = create_key(path, "read")
    two, _ = create_key(path, "read")
    rotate_key(path, two.id, 1)
    keyring = Keyring(path)
    for key_id in (one.id, two.id, "zzzzzzzzzz"):
        counted.clear()
        assert isinstance(keyring.verify(f"kf_{key_id}_{'A' * 43}"), Refusal)
        assert len(counted) == 2
    counted.clear()
    assert isinstance(keyring.verify(str(token)), Key)
    assert len(counted) == 2


moments = st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))
hashes = st.binary(min_size=32, max_size=32).map(bytes.hex)
kept = st.builds(
    Key,
    id=st.text(LETTERS, min_size=8, max_size=12),
    name=st.text(st.characters(exclude_categories=["Cs"]), max_size=100),
    scope=st.sampled_from(SCOPES),
    created=moments,
    expires=st.none() | moments,
    revoked=st.none() | moments,
    rate_limit=st.sampled_from(["", "5/minute", "20/second;100/2 hour"]),
    hash=hashes,
    former=st.none() | st.builds(Former, hash=hashes, expires=moments),
)
files = st.lists(kept, max_size=5, unique_by=lambda key: key.id).map(
    lambda keys: KeysFile(keys=tuple(keys))
)


@given(files)
def test_what_is_written_is_read(file: KeysFile) -> None:
    assert parse_keys(file.to_bytes(), PLACE) == file


@given(files, st.data())
def test_damage_is_refused_or_harmless(file: KeysFile, data: st.DataObject) -> None:
    """Never a traceback, never a word of the content, never a key that is not well formed."""
    content = bytearray(file.to_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        if data.draw(st.booleans()):
            content[place] = data.draw(st.integers(0, 255))
        else:
            del content[place:]
            content += b" "
    try:
        read = parse_keys(bytes(content), PLACE)
    except FormatError as error:
        assert "damaged" in str(error)
        assert not any(key.hash in str(error) for key in file.keys)
    else:
        assert KeysFile.model_validate(read.model_dump()) == read


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)


@given(json_values)
def test_other_files_are_refused(values: object) -> None:
    content = json.dumps(values).encode()
    if values == {}:
        assert parse_keys(content, PLACE).keys == ()
    else:
        with pytest.raises(FormatError, match=r"keys\.json: damaged"):
            parse_keys(content, PLACE)


@pytest.mark.parametrize(
    "change",
    [
        {"hash": "A" * 64}, {"hash": ""}, {"scope": "root"}, {"id": "../x"}, {"id": "x" * 13},
        {"rate_limit": "often"}, {"created": "2024-01-01T00:00:00"}, {"expires": "soon"},
        {"secret": "s"}, {"name": "n" * 101}, {"former": {"hash": "0" * 64}},
    ],
)  # fmt: skip
def test_each_field_is_checked(path: Path, change: dict[str, object]) -> None:
    create_key(path, "read")
    values = json.loads(path.read_bytes())
    values["keys"][0] |= change
    path.write_text(json.dumps(values))
    with pytest.raises(FormatError, match="damaged") as caught:
        read_keys(path)
    assert "often" not in str(caught.value)
    assert isinstance(Keyring(path).verify(str(new_token("aaaaaaaaaa"))), Refusal)
    # Nor is it written over.
    before = path.read_bytes()
    with pytest.raises(FormatError):
        create_key(path, "read")
    assert path.read_bytes() == before


def test_equal_ids_and_huge_files_are_refused(path: Path) -> None:
    create_key(path, "read")
    values = json.loads(path.read_bytes())
    values["keys"] *= 2
    path.write_text(json.dumps(values))
    with pytest.raises(FormatError, match="every id once"):
        read_keys(path)
    path.write_bytes(b" " * (5 << 20))
    with pytest.raises(FormatError, match="at most"):
        read_keys(path)


def test_the_file_is_private_and_holds_no_secret(path: Path) -> None:
    key, token = create_key(path, "write", name="indexer", expires_days=3, rate_limit="5/minute")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert token.secret not in path.read_text()
    assert hash_secret(token.secret) in path.read_text()
    assert key.expires is not None
    assert timedelta(days=2.9) < key.expires - datetime.now(UTC) <= timedelta(days=3)
    assert read_keys(path).keys == (key,)
    assert {one.name for one in path.parent.iterdir()} == {KEYS_FILE, f"{KEYS_FILE}.lock"}


def test_a_key_dies_by_revocation(path: Path) -> None:
    key, token = create_key(path, "read")
    other, second = create_key(path, "read")
    assert state_of(path, token) == key.id
    revoke_key(path, key.id)
    assert state_of(path, token) == f"the API key {key.id} is revoked"
    assert state_of(path, second) == other.id
    # Who does not know the secret does not learn that there was such a key.
    assert state_of(path, Token(key.id, "A" * 43)) == "the API key is not known"
    with pytest.raises(InputError, match="is revoked"):
        rotate_key(path, key.id, 1)


def test_a_key_dies_of_age(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, token = create_key(path, "read", expires_days=1)
    later = datetime.now(UTC) + timedelta(days=1, seconds=1)
    assert state_of(path, token) == key.id
    monkeypatch.setattr(keyring_module, "now", lambda: later)
    assert state_of(path, token) == f"the API key {key.id} is expired"


def test_rotation_overlaps(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, old = create_key(path, "write", name="n", rate_limit="9/minute")
    rotated, new = rotate_key(path, key.id, 2)
    assert (rotated.name, rotated.scope, rotated.rate_limit) == ("n", "write", "9/minute")
    assert state_of(path, old) == state_of(path, new) == key.id
    monkeypatch.setattr(
        keyring_module, "now", lambda: datetime.now(UTC) + timedelta(hours=2, seconds=1)
    )
    assert "overlap is over" in state_of(path, old)
    assert state_of(path, new) == key.id
    monkeypatch.undo()
    _, newest = rotate_key(path, key.id, 0)
    assert state_of(path, new) == "the API key is not known"
    assert state_of(path, newest) == key.id


def test_changes_are_seen_by_a_running_service(path: Path) -> None:
    keyring = Keyring(path)
    key, token = create_key(path, "read")
    assert isinstance(keyring.verify(str(token)), Key)
    revoke_key(path, key.id)
    end = time.monotonic() + 3
    while isinstance(keyring.verify(str(token)), Key):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_file_that_anybody_may_write_is_not_believed(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, token = create_key(path, "admin")
    path.chmod(0o602)
    keyring = Keyring(path)
    assert isinstance(keyring.verify(str(token)), Refusal)
    assert "everybody may write" in (keyring.problem or "")
    path.chmod(0o640)
    keyring._next_look = 0
    assert isinstance(keyring.verify(str(token)), Key)
    assert "others may read it" in caplog.text


def test_a_folder_in_its_place_refuses_all(path: Path) -> None:
    path.mkdir()
    keyring = Keyring(path)
    assert isinstance(keyring.verify(str(new_token("aaaaaaaaaa"))), Refusal)
    assert "cannot be read" in (keyring.problem or "")


def test_refused_changes_leave_the_file(path: Path, tmp_path: Path) -> None:
    key, _ = create_key(path, "read")
    before = path.read_bytes()
    with pytest.raises(UnknownNameError, match="'nobody'"):
        revoke_key(path, "nobody")
    pasted = str(new_token(key.id))
    with pytest.raises(UnknownNameError) as caught:
        revoke_key(path, pasted)
    assert pasted not in str(caught.value)
    refused: list[dict[str, Any]] = [
        {"rate_limit": "x"}, {"expires_days": 0}, {"expires_days": -1}, {"name": "a\nb"},
        {"expires_days": float("nan")}, {"expires_days": float("inf")}, {"name": "n" * 101},
    ]  # fmt: skip
    for wrong in refused:
        with pytest.raises(InputError):
            create_key(path, "read", **wrong)
    with pytest.raises(InputError, match="--overlap-hours"):
        rotate_key(path, key.id, -1)
    assert path.read_bytes() == before
    with pytest.raises(StorageError):
        create_key(tmp_path / "no" / "folder", "read")


def test_a_write_that_fails_leaves_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create_key(path, "read")
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.os, "fsync", full)
    with pytest.raises(StorageError, match="no room left"):
        create_key(path, "read")
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 2


def test_writers_wait_for_one_another(path: Path) -> None:
    """Eight processes, five keys each: forty keys, none lost."""
    program = (
        "import sys; from pathlib import Path; from service.security.store import create_key\n"
        "for _ in range(5): create_key(Path(sys.argv[1]), 'read')"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(path)], cwd=REPOSITORY)
        for _ in range(8)
    ]
    assert [writer.wait(60) for writer in writers] == [0] * 8
    assert len(read_keys(path).keys) == 40


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from("crot"), st.integers(0, 5)), max_size=12))
def test_any_history(tmp_path: Path, steps: list[tuple[str, int]]) -> None:
    """Created, revoked, rotated with and without overlap: exactly the right tokens are good."""
    path = tmp_path / f"{time.monotonic_ns()}.json"
    good: dict[str, set[str]] = {}
    dead: set[str] = set()
    for step, number in steps:
        ids = [key_id for key_id in good if good[key_id]]
        if step == "c" or not ids:
            key, token = create_key(path, "read")
            good[key.id] = {str(token)}
            continue
        key_id = ids[number % len(ids)]
        if step == "r":
            revoke_key(path, key_id)
            dead |= good[key_id]
            good[key_id] = set()
            continue
        before = next(k for k in read_keys(path).keys if k.id == key_id)
        _, token = rotate_key(path, key_id, 1 if step == "o" else 0)
        current = {t for t in good[key_id] if hash_secret(t[-43:]) == before.hash}
        stay = current if step == "o" else set()
        dead |= good[key_id] - stay
        good[key_id] = {*stay, str(token)}
    keyring = Keyring(path)
    for key_id, alive in good.items():
        for token in alive:
            found = keyring.verify(token)
            assert isinstance(found, Key)
            assert found.id == key_id
    assert all(isinstance(keyring.verify(token), Refusal) for token in dead)
