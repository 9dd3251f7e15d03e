"""A version as one archive: the same there and back, and nothing of it is believed."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kinfold
from kinfold import BuildConfig
from kinfold.errors import BusyError, StorageError
from kinfold.index import list_versions, live_version, snapshot, versions
from kinfold.index.publish import VERSIONS, VersionWriter
from kinfold.index.snapshot import Snapshot, export_snapshot, import_snapshot

from .support import copied, files_of, gallery, live, search_everything
from .test_leaks import descriptors

FUZZ = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


class Pipe:
    """A stream that cannot be rewound, and gives little at a time."""

    def __init__(self, content, step=1000):
        self._content, self._place, self._step = content, 0, step

    def read(self, size, /):
        piece = self._content[self._place : self._place + min(size, self._step)]
        self._place += len(piece)
        return piece


def archived(path, version=None):
    with Snapshot(path, version) as made:
        content = b"".join(made.pieces())
        assert len(content) == made.bytes
    return content


@pytest.fixture(scope="session")
def archive(full):
    return archived(full)


@pytest.fixture(scope="session")
def members(archive):
    """(name, content) of each member."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return [(member.name, tar.extractfile(member).read()) for member in tar]


def packed(members, kind=tarfile.GNU_FORMAT, **changes):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=kind) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in changes.get(name, {}).items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


def state(path):
    """All that is in a folder."""
    return {
        str(p.relative_to(path)): p.read_bytes() if p.is_file() else None
        for p in path.rglob("*")
        if p.name != "LOCK"
    }


def refused(path, content, match=None, error=kinfold.CorruptIndexError):
    """The archive is refused, and nothing of it is left."""
    before = state(path)
    with pytest.raises(error, match=match) as refusal:
        import_snapshot(path / "c", Pipe(content))
    assert state(path) == before
    return str(refusal.value)


def test_there_and_back(full, archive, tmp_path):
    name = import_snapshot(tmp_path / "c", Pipe(archive))
    assert list_versions(tmp_path / "c") == [name]
    mine, theirs = live(tmp_path / "c"), live(full)
    assert name.rpartition("-")[2] == theirs.name.rpartition("-")[2]
    assert files_of(mine) == files_of(theirs)
    for file in [*files_of(mine), "manifest.json"]:
        assert (mine / file).read_bytes() == (theirs / file).read_bytes()
    assert kinfold.verify(tmp_path / "c").ok
    search_everything(tmp_path / "c")
    assert archived(tmp_path / "c") == archive


def test_any_tar_reads_it(full, archive, tmp_path):
    (tmp_path / "x.tar").write_bytes(archive)
    subprocess.run(["tar", "-xf", "x.tar"], cwd=tmp_path, check=True)
    (tmp_path / "x.tar").unlink()
    assert kinfold.verify(tmp_path).ok
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert tar.getnames()[0] == "manifest.json"


def test_what_any_tar_has_written_is_taken(archive, members, tmp_path):
    """Other programs pad with more empty blocks, and other owners and times."""
    for kind in (tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT):
        content = packed(members, kind, **{"vectors.npy": {"uid": 1000, "uname": "me"}})
        assert len(content) % 10240 == 0
        import_snapshot(tmp_path / "c", io.BytesIO(content))
    assert len(list_versions(tmp_path / "c")) == 2


def test_an_older_version_by_its_name(tmp_path):
    kinfold.build(gallery(20), tmp_path / "c", config=BuildConfig(k_d=5))
    first = live(tmp_path / "c").name
    kinfold.build(gallery(30), tmp_path / "c", config=BuildConfig(k_d=5))
    import_snapshot(tmp_path / "d", Pipe(archived(tmp_path / "c", first)))
    assert len(kinfold.open(tmp_path / "d")) == 20
    for name in ("nope", "../x"):
        with pytest.raises(kinfold.UnknownNameError), Snapshot(tmp_path / "c", name):
            pass
    with pytest.raises(kinfold.FormatError), Snapshot(tmp_path / "nothing"):
        pass


def test_it_joins_the_versions_that_are_there(full, archive, tmp_path):
    copied(full, tmp_path / "c")
    before = live(tmp_path / "c").name
    name = import_snapshot(tmp_path / "c", Pipe(archive))
    assert list_versions(tmp_path / "c") == [before, name]
    assert live_version(tmp_path / "c").name == name


def test_a_version_cannot_be_removed_while_it_is_exported(full, tmp_path):
    copied(full, tmp_path / "c")
    first = live(tmp_path / "c").name
    kinfold.set_default(tmp_path / "c", "default")
    with Snapshot(tmp_path / "c", first) as made:
        pieces = made.pieces()
        begin = next(pieces)
        assert versions.collect_garbage(tmp_path / "c", 0).in_use == [first]
        content = begin + b"".join(pieces)
    assert versions.collect_garbage(tmp_path / "c", 0).removed == [first]
    import_snapshot(tmp_path / "d", Pipe(content))


def test_a_damaged_file_is_never_exported_whole(full, tmp_path):
    version = copied(full, tmp_path / "c")
    content = bytearray((version / "vectors.npy").read_bytes())
    content[-1] ^= 1
    (version / "vectors.npy").write_bytes(content)
    found = b""
    with Snapshot(tmp_path / "c") as made, pytest.raises(kinfold.CorruptIndexError):
        for piece in made.pieces():
            found += piece
    assert len(found) < made.bytes
    refused(tmp_path, found)
    with pytest.raises(kinfold.CorruptIndexError, match="vectors"):
        export_snapshot(tmp_path / "c", tmp_path / "x.tar")
    assert {p.name for p in tmp_path.iterdir()} == {"c"}
    (version / "vectors.npy").unlink()
    with pytest.raises(kinfold.CorruptIndexError, match="missing"), Snapshot(tmp_path / "c"):
        pass


def test_into_a_file(full, tmp_path):
    seen = []
    export_snapshot(full, tmp_path / "x.tar", progress=seen.append)
    assert seen[-1].done == seen[-1].total == (tmp_path / "x.tar").stat().st_size
    with pytest.raises(StorageError, match="does not exist yet"):
        export_snapshot(full, tmp_path / "x.tar")
    with pytest.raises(StorageError):
        export_snapshot(full, tmp_path / "no" / "x.tar")


def test_nothing_is_left_open(full, archive, tmp_path):
    before = len(descriptors())
    for _ in range(10):
        archived(full)
        with Snapshot(full) as made:
            next(made.pieces())
        refused(tmp_path, archive[:-600])
    assert len(descriptors()) == before


@pytest.mark.parametrize("share", [0, 100, 512, 1000, 0.1, 0.5, 0.9, -1, -512, -1024, -1100])
def test_truncated(archive, tmp_path, share):
    size = int(len(archive) * share) if isinstance(share, float) else share
    refused(tmp_path, archive[:size], "truncated|first member")


def test_members_that_do_not_belong(archive, members, tmp_path):
    manifest, *files = members
    assert "twice" in refused(tmp_path, packed([*members, members[3]]))
    assert "does not name" in refused(tmp_path, packed([*members, ("extra", b"x")]))
    assert "does not name" in refused(tmp_path, packed([*members, ("../../evil", b"x")]))
    assert "does not name" in refused(tmp_path, packed([manifest, ("/etc/passwd", b""), *files]))
    assert "does not name" in refused(tmp_path, packed([*members, manifest]))
    assert "lacks" in refused(tmp_path, packed(members[:-1]))
    assert "first member" in refused(tmp_path, packed([*files, manifest]))
    assert "first member" in refused(tmp_path, packed([]))
    assert "behind its end" in refused(tmp_path, archive + b"x")
    assert "behind its end" in refused(tmp_path, archive + bytes(2 << 20))
    import_snapshot(tmp_path / "c", Pipe(packed([manifest, *reversed(files)])))


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE,
     tarfile.DIRTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE, tarfile.GNUTYPE_LONGLINK,
     tarfile.GNUTYPE_LONGNAME,
     tarfile.XHDTYPE, tarfile.XGLTYPE, b"Z"],
)  # fmt: skip
@pytest.mark.parametrize("target", ["vectors.npy", "manifest.json"])
def test_members_of_other_kinds(members, tmp_path, kind, target):
    change = {target: {"type": kind, "linkname": "/etc/passwd"}}
    refused(tmp_path, packed(members, **change), "not a plain file|tar file|first member")


def test_extended_headers_are_not_read(members, tmp_path):
    """Theirs may claim any length, and any name behind one's back."""
    info = tarfile.TarInfo("vectors.npy")
    info.pax_headers = {"comment": "x" * 5000}
    content = info.tobuf(tarfile.PAX_FORMAT) + packed(members)
    refused(tmp_path, content, "plain file|first member")


@pytest.mark.parametrize("size", [-1, 1, 8 << 40])
def test_members_of_any_size(archive, tmp_path, size):
    """Before anything is read of them."""
    info = tarfile.TarInfo("manifest.json")
    info.size = abs(size)
    header = info.tobuf(tarfile.GNU_FORMAT)
    if size < 0:
        header = header[:124] + b"\xff" * 12 + header[136:]
        total = 256 + sum(header[:148]) + sum(header[156:512])
        header = header[:148] + b"%06o\0 " % total + header[156:]
    refused(tmp_path, header + archive, "claims a size|at most|not valid JSON|between")


def changed(members, **changes):
    """The archive with another manifest."""
    manifest = json.loads(members[0][1]) | changes
    return packed([("manifest.json", json.dumps(manifest).encode()), *members[1:]])


def test_manifests_that_cannot_be(members, tmp_path):
    files = json.loads(members[0][1])["files"]
    name, info = next(iter(files.items()))
    refused(tmp_path, packed([("manifest.json", b"nonsense"), *members[1:]]), "not valid JSON")
    refused(tmp_path, packed([("manifest.json", bytes(5 << 20))]), "at most")
    refused(tmp_path, changed(members, format_version=99), "newer", kinfold.NewerFormatError)
    for bad in ("../x", "/x", "manifest.json", "models", "m" * 300, f"models/{'m' * 300}/x"):
        refused(tmp_path, changed(members, files={**files, bad: info}))
    refused(tmp_path, changed(members, files={**files, name: {**info, "bytes": 1}}), "bytes")
    refused(tmp_path, changed(members, files={**files, name: {**info, "sha256": "0" * 64}}), "sha")
    # The hashes agree, but together the files are no index.
    refused(tmp_path, changed(members, rows=61), "do not make an index")
    refused(tmp_path, changed(members, dimension=9), "do not make an index")
    assert "/" not in refused(tmp_path, changed(members, metric="l2", rows=3)).split(":")[1]


def test_files_that_only_look_right(full, members, tmp_path):
    """Their hashes are those of the manifest; what is in them would crash a search."""
    named = dict(members)
    name = "models/default/indices-00000.npy"
    named[name] = named[name][:-4] + b"\xff\xff\xff\xff"
    manifest = json.loads(named["manifest.json"])
    manifest["files"][name]["sha256"] = hashlib.sha256(named[name]).hexdigest()
    named["manifest.json"] = json.dumps(manifest).encode()
    refused(tmp_path, packed(list(named.items())), "lead out of a gallery")


def test_bounds(archive, tmp_path, monkeypatch):
    with pytest.raises(kinfold.CorruptIndexError, match="at most 1000 bytes"):
        import_snapshot(tmp_path / "c", Pipe(archive), most_bytes=1000)
    usage = snapshot.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(snapshot.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StorageError, match="has 1000 left"):
        import_snapshot(tmp_path / "c", Pipe(archive))
    assert list(tmp_path.iterdir()) == []


def test_a_collection_that_is_built_takes_none(archive, tmp_path):
    with VersionWriter(tmp_path / "c"), pytest.raises(BusyError):
        import_snapshot(tmp_path / "c", Pipe(archive))


def test_a_source_that_fails(archive, tmp_path):
    class Broken(Pipe):
        def read(self, size, /):
            piece = super().read(size)
            if not piece:
                raise ConnectionError("gone")
            return piece

    with pytest.raises(kinfold.FormatError, match="cannot be read: gone"):
        import_snapshot(tmp_path / "c", Broken(archive[:-2000]))
    assert list(tmp_path.iterdir()) == []


def test_through_a_pipe_of_the_system(archive, tmp_path):
    reading, writing = os.pipe()

    def feed():
        with os.fdopen(writing, "wb") as file:
            file.write(archive)

    thread = threading.Thread(target=feed)
    thread.start()
    with os.fdopen(reading, "rb", buffering=0) as file:
        import_snapshot(tmp_path / "c", file)
    thread.join()


DAMAGE = st.tuples(
    st.sampled_from(["flip", "cut", "drop", "double", "zero", "insert"]),
    st.floats(0, 1, exclude_max=True),
    st.integers(1, 255),
    st.sampled_from([1, 512, 1024]),
    st.binary(min_size=1, max_size=600),
)
"""What is done, where in the archive, and with what."""


@FUZZ
@given(damages=st.lists(DAMAGE, min_size=1, max_size=4))
def test_no_damage_goes_live(full, archive, tmp_path, damages):
    """Whatever happens to an archive: it is refused, or it is the very same version."""
    content = bytearray(archive)
    for kind, where, bits, size, more in damages:
        place = int(where * len(content))
        match kind:
            case "flip" if content:
                content[place] ^= bits
            case "cut":
                del content[place + 1 :]
            case "drop":
                del content[place : place + size]
            case "double":
                content[place:place] = content[place : place + 512]
            case "zero":
                content[place : place + 512] = bytes(len(content[place : place + 512]))
            case "insert":
                content[place:place] = more
    target = tmp_path / "c"
    try:
        name = import_snapshot(target, Pipe(bytes(content), 700))
    except kinfold.KinfoldError as error:
        assert isinstance(error, (kinfold.FormatError,)), error
        assert not target.exists() or not list((target / VERSIONS).glob(".*"))
    else:
        assert archived(target, name) == archive


@FUZZ
@given(content=st.binary(max_size=5000))
def test_no_archive_at_all(tmp_path, content):
    with pytest.raises(kinfold.FormatError):
        import_snapshot(tmp_path / "c", io.BytesIO(content))
    assert list(tmp_path.iterdir()) == []
