"""What was measured of a version: kept, read for that version alone, and never in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinfold.errors import StorageError
from kinfold.index.quality import QUALITY, Evaluation, read_evaluation, save_evaluation

FOUND = Evaluation(
    version="v1", measured="2026-01-01T00:00:00Z", protocol="x", queries=3, items=9,
    models={"knn": {"mAP": 0.5}},
)  # fmt: skip


def test_kept_for_its_version(tmp_path: Path) -> None:
    assert read_evaluation(tmp_path, "v1") is None
    save_evaluation(tmp_path, FOUND)
    assert read_evaluation(tmp_path, "v1") == FOUND
    assert read_evaluation(tmp_path, "v2") is None
    save_evaluation(tmp_path, FOUND.model_copy(update={"version": "v2"}))
    assert read_evaluation(tmp_path, "v1") is None
    assert [path.name for path in tmp_path.iterdir()] == [QUALITY]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"version": "v1"}', b"\xff", b"[" * 100_000, bytes(2 << 20)]
)
def test_damage_is_as_if_there_was_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / QUALITY).write_bytes(content)
    assert read_evaluation(tmp_path, "v1") is None


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        save_evaluation(tmp_path / "none", FOUND)
