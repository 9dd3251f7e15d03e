"""What builds may read, and what they are told to build: nothing leads out, nothing unbounded."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinfold.errors import InputError, StorageError
from workers.errors import SourceError, UnknownUploadError, UploadTooLargeError
from workers.jobs import BuildSpec, is_id
from workers.sources import find_source
from workers.uploads import FORMATS, UploadWriter, find_upload, remove_old_uploads

NPY = "application/x-npy"


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "sources"
    (folder / "2024" / "a b").mkdir(parents=True)
    for name in ("x.npy", "2024/y.parquet", "2024/a b/ü.npz", "notes.txt"):
        (folder / name).write_bytes(b"content")
    (tmp_path / "secret.npy").write_bytes(b"secret")
    (tmp_path / "sources-2").mkdir()
    (tmp_path / "sources-2" / "x.npy").write_bytes(b"secret")
    (folder / "out.npy").symlink_to(tmp_path / "secret.npy")
    (folder / "in.npy").symlink_to(folder / "x.npy")
    (folder / "beside").symlink_to(tmp_path / "sources-2")
    (folder / "loop.npy").symlink_to(folder / "loop.npy")
    (folder / "folder.npy").mkdir()
    os.mkfifo(folder / "pipe.npy")
    return folder


@pytest.mark.parametrize("name", ["x.npy", "2024/y.parquet", "2024/a b/ü.npz", "in.npy"])
def test_files_inside_are_found(sources: Path, name: str) -> None:
    assert find_source(sources, name) == (sources / name).resolve()


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "/", "../secret.npy", "2024/../../secret.npy", "2024/../x.npy", "/etc/x.npy",
        "/etc/passwd",
        "//x.npy", "./x.npy", "x.npy/", "x.npy/..", ".x.npy", "out.npy", "beside/x.npy", "loop.npy",
        "folder.npy", "pipe.npy", "notes.txt", "x", "other.npy", "x.npy\0", "x.npy\n", "a\\x.npy",
        "..\\secret.npy", "~/x.npy", "x.npy:", "C:/x.npy", "a" * 1000 + ".npy", "2024",
        "\ud800.npy", "é/" * 300 + "x.npy",
    ],
)  # fmt: skip
def test_nothing_else_is(sources: Path, name: str) -> None:
    with pytest.raises(SourceError, match=r"^source: ") as error:
        find_source(sources, name)
    assert str(sources.parent) not in str(error.value)


@given(
    st.text(st.characters(), max_size=30) | st.from_regex(r"[./\\a-c]{0,12}\.npy", fullmatch=True)
)
def test_whatever_the_name_nothing_outside_is_found(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    root = tmp_path_factory.getbasetemp() / "any"
    (root / "in" / "a").mkdir(parents=True, exist_ok=True)
    for place in ("b.npy", "in/b.npy", "in/a/c.npy"):
        (root / place).write_bytes(b"x")
    try:
        found = find_source(root / "in", name)
    except SourceError:
        return
    assert found.is_relative_to((root / "in").resolve())


def test_without_a_folder_of_sources_there_are_uploads_only() -> None:
    with pytest.raises(SourceError, match="KINFOLD_SOURCES is not set"):
        find_source(None, "x.npy")


def npy(array: np.ndarray) -> bytes:
    from io import BytesIO

    file = BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("size", [1, 3, 1 << 20])
def test_an_upload_arrives_in_pieces_under_a_name_of_ours(tmp_path: Path, size: int) -> None:
    content = npy(np.arange(12.0).reshape(4, 3))
    with UploadWriter(tmp_path, NPY, len(content)) as writer:
        for start in range(0, len(content), size):
            writer.write(content[start : start + size])
        upload = writer.finish()
    assert is_id(upload.id)
    assert upload.bytes == len(content)
    path = find_upload(tmp_path, upload.id)
    assert path == tmp_path / ".uploads" / f"{upload.id}.npy"
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("kind", FORMATS)
def test_an_upload_that_is_refused_or_broken_off_leaves_nothing(tmp_path: Path, kind: str) -> None:
    magic = FORMATS[kind].magic
    with (
        pytest.raises(UploadTooLargeError, match="at most 10 bytes"),
        UploadWriter(tmp_path, kind, 10) as writer,
    ):
        writer.write(magic + b"12")
        writer.write(b"3456789")
    for content in (b"", magic[:-1], b"\x80\x04", b"PK\x03\x04 an .npz"):
        with (
            pytest.raises(InputError, match="begins with"),
            UploadWriter(tmp_path, kind, 100) as writer,
        ):
            writer.write(content)
            writer.finish()
    with pytest.raises(KeyboardInterrupt), UploadWriter(tmp_path, kind, 100) as writer:
        writer.write(magic)
        raise KeyboardInterrupt
    assert list((tmp_path / ".uploads").iterdir()) == []


def test_a_full_disk_is_said_to_be_full(tmp_path: Path) -> None:
    import resource
    import signal

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limit[1]))
    try:
        with (
            pytest.raises(StorageError, match="no room left"),
            UploadWriter(tmp_path, NPY, 1 << 30) as writer,
        ):
            writer.write(b"\x93NUMPY")
            for _ in range(100):
                writer.write(bytes(1 << 12))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)
    assert list((tmp_path / ".uploads").iterdir()) == []


@pytest.mark.parametrize(
    "name", ["", "0" * 32, "../x", "0" * 31 + "/", "*" * 32, "0" * 32 + ".npy"]
)
def test_an_upload_that_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnknownUploadError):
        find_upload(tmp_path, name)


def test_old_uploads_are_removed_unless_a_job_needs_them(tmp_path: Path) -> None:
    def upload() -> str:
        with UploadWriter(tmp_path, NPY, 100) as writer:
            writer.write(b"\x93NUMPY")
            return writer.finish().id

    old, used, new = upload(), upload(), upload()
    stray = tmp_path / ".uploads" / "notes.txt"
    broken = tmp_path / ".uploads" / ".fresh-0"
    for path in (stray, broken):
        path.write_bytes(b"x")
    past = time.time() - 7300
    for path in (find_upload(tmp_path, old), find_upload(tmp_path, used), stray, broken):
        os.utime(path, (past, past))
    assert remove_old_uploads(tmp_path, 2.0, {used}) == 2
    assert sorted(p.name for p in (tmp_path / ".uploads").iterdir()) == sorted(
        [f"{used}.npy", f"{new}.npy", "notes.txt"]
    )
    assert remove_old_uploads(tmp_path / "nothing", 2.0, set()) == 0


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"source": "a.npy", "upload": "0" * 32}, "found both"),
        ({"config": {}, "models": {}}, "found both"),
        ({"upload": "../../etc/passwd"}, "upload"),
        ({"upload": "0" * 32 + "\n"}, "upload"),
        ({"source": ""}, "source"),
        ({"source": "x" * 2000}, "source"),
        ({"path": "x"}, "path"),
        ({"source": "a.npy", "config": {"k_d": -1}}, "k_d"),
        ({"source": "a.npy", "config": {"unknown": 1}}, "unknown"),
        ({"source": "a.npy", "config": {"alpha": float("nan")}}, "alpha"),
        ({"source": "a.npy", "config": {"similarity": ["no such"]}}, "no such"),
        ({"source": "a.npy", "models": {}}, "at least one"),
        ({"source": "a.npy", "models": {"../x": {}}}, "../x"),
        ({"source": "a.npy", "models": {"knn": {}}}, "knn"),
        ({"source": "a.npy", "models": {"a": {"k_d": 0}}}, "model 'a'"),
        ({"source": "a.npy", "models": {f"m{i}": {} for i in range(17)}}, "models"),
        ({"source": "a.npy", "columns": {"vectors": 1}}, "columns.vectors"),
        ({"columns": {"vectors": "v"}}, "the live version knows its own"),
    ],
)
def test_a_specification_that_cannot_be(values: dict, said: str) -> None:
    with pytest.raises(InputError) as error:
        BuildSpec.checked(values)
    assert said in str(error.value)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELD = st.sampled_from(
    ["similarity", "k_d", "alpha", "graph", "metric", "auto", "max_row", "name", "parameters"]
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "source": st.just("a.npy") | ANY_JSON,
            "upload": ANY_JSON,
            "columns": ANY_JSON,
            "config": st.dictionaries(FIELD, ANY_JSON, max_size=3) | ANY_JSON,
            "models": st.dictionaries(
                st.text(max_size=4), st.dictionaries(FIELD, ANY_JSON), max_size=2
            )
            | ANY_JSON,
        },
    )
)
def test_any_specification_is_taken_or_refused_with_a_reason(values: dict) -> None:
    try:
        spec = BuildSpec.checked(values)
    except InputError as error:
        assert str(error)
        return
    assert BuildSpec.model_validate_json(spec.model_dump_json()) == spec
