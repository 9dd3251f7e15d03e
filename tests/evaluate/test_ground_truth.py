from __future__ import annotations

import json

import numpy as np
import pytest

from kinfold.errors import InputError
from kinfold.evaluate import load_ground_truth

ENTRY = {"easy": [2, 0], "hard": [], "junk": [1], "bbx": [1.5, 2, 3, 4]}


def test_the_three_lists_come_back(tmp_path):
    file = tmp_path / "gnd.json"
    file.write_text(json.dumps({"imlist": ["a", "b", "c"], "gnd": [ENTRY, ENTRY]}))
    for path in (file, str(file)):
        entries = load_ground_truth(path)
        assert len(entries) == 2
        assert set(entries[0]) == {"easy", "hard", "junk"}
        assert all(values.dtype == np.int64 for values in entries[0].values())
        assert entries[1]["easy"].tolist() == [2, 0]
        assert entries[1]["hard"].shape == (0,)


def test_the_names_may_be_missing(tmp_path):
    file = tmp_path / "gnd.json"
    file.write_text(json.dumps({"gnd": [ENTRY]}))
    assert load_ground_truth(file)[0]["junk"].tolist() == [1]


@pytest.mark.parametrize("dataset", ["roxford5k", "rparis6k"])
def test_the_published_files_are_read(shared_data, dataset):
    entries = load_ground_truth(shared_data / f"gnd_{dataset}.json")
    assert len(entries) == 70
    assert sum(len(entry["easy"]) for entry in entries) > 1000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected JSON"),
        ("{", "expected JSON"),
        ("[" * 200_000, "expected JSON"),
        ("[]", "found a JSON list"),
        ("{}", r"found the keys \[\]"),
        ('{"a": 1}', r"found the keys \['a'\]"),
        ('{"gnd": []}', "found an empty 'gnd'"),
        ('{"gnd": {}}', "found 'gnd' as dict"),
        ('{"gnd": [1]}', r"ground_truth\[0\]: expected a mapping .* found int"),
        ('{"gnd": [{"easy": [], "junk": []}]}', r"ground_truth\[0\]: .* found no hard"),
        ('{"gnd": [{"easy": [0.5], "hard": [], "junk": []}]}', "expected integers"),
        ('{"gnd": [{"easy": null, "hard": [], "junk": []}]}', "expected a list"),
        ('{"gnd": [{"easy": [[1], [2, 3]], "hard": [], "junk": []}]}', "different lengths"),
        ('{"gnd": [{"easy": [1e400], "hard": [], "junk": []}]}', "expected integers"),
        (
            '{"gnd": [{"easy": [100000000000000000000], "hard": [], "junk": []}]}',
            "expected integers",
        ),
        ('{"imlist": 3, "gnd": [{"easy": [], "hard": [], "junk": []}]}', "found int"),
        (
            '{"imlist": ["a"], "gnd": [{"easy": [], "hard": [1], "junk": []}]}',
            r"positions below 1, .* found 1 in ground_truth\[0\]\['hard'\]",
        ),
    ],
)
def test_a_file_that_is_refused_is_named(tmp_path, text, message):
    file = tmp_path / "gnd.json"
    file.write_text(text)
    with pytest.raises(InputError, match=message) as refusal:
        load_ground_truth(file)
    assert str(refusal.value).startswith(str(file))


def test_text_that_is_not_unicode(tmp_path):
    file = tmp_path / "gnd.json"
    file.write_bytes(b'{"gnd": "\xff\xfe"}')
    with pytest.raises(InputError, match="expected JSON"):
        load_ground_truth(file)


def test_the_size_is_bounded(tmp_path):
    file = tmp_path / "gnd.json"
    text = json.dumps({"gnd": [ENTRY]})
    file.write_text(text)
    assert load_ground_truth(file, max_bytes=len(text))
    with pytest.raises(InputError, match=f"at most {len(text) - 1} bytes"):
        load_ground_truth(file, max_bytes=len(text) - 1)


def test_a_path_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        load_ground_truth(tmp_path / "missing.json")
    with pytest.raises(InputError, match="Is a directory"):
        load_ground_truth(tmp_path)
