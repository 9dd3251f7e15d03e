"""What a build will take: honest enough to refuse by."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from source_files import ESTIMATE

from indexer import Source, build_collection, check_fits, estimate
from indexer.estimate import available_disk, available_memory, readable
from kinfold import BuildConfig
from kinfold.errors import CapacityError
from kinfold.similarity import resolve
from kinfold.threads import available_cores

HERE = Path(__file__).parent

configs = st.builds(
    BuildConfig,
    neighbors=st.sampled_from(["exact", "hnsw", "ivf"]),
    k_d=st.integers(1, 50),
    max_row=st.integers(1, 1000),
    min_degree=st.just(0),
    truncation=st.sampled_from(["graph", "nearest"]),
    dtype=st.sampled_from(["float16", "float32"]),
)


@given(
    config=configs,
    rows=st.integers(2, 10**8),
    more=st.integers(1, 10**8),
    dimension=st.integers(1, 4096),
)
def test_more_rows_take_more(config, rows, more, dimension):
    config = config.model_copy(update={"join": "exact"})
    fewer = estimate(rows, dimension, config, HERE)
    larger = estimate(rows + more, dimension, config, HERE)
    assert 0 < fewer.seconds < larger.seconds
    assert 0 < fewer.memory < larger.memory
    assert 0 < fewer.disk < larger.disk


@given(rows=st.integers(2, 10**8), more=st.integers(1, 10**8), dimension=st.integers(1, 4096))
def test_more_rows_take_more_space_whichever_engine_is_chosen(rows, more, dimension):
    """Not more time: auto changes the engine where that saves some."""
    fewer = estimate(rows, dimension, BuildConfig(), HERE)
    larger = estimate(rows + more, dimension, BuildConfig(), HERE)
    assert fewer.memory < larger.memory
    assert fewer.disk < larger.disk
    assert (fewer.engine, larger.engine) != ("ivf", "exact")


@given(config=configs, rows=st.integers(2, 10**7), dimension=st.integers(1, 2048))
def test_longer_vectors_take_more(config, rows, dimension):
    # By itself the join changes to a quicker one where it gets large.
    config = config.model_copy(update={"join": "exact"})
    short, long = (estimate(rows, length, config, HERE) for length in (dimension, 2 * dimension))
    assert short.seconds <= long.seconds
    assert short.memory < long.memory
    assert short.disk < long.disk


def test_longer_rows_items_and_values_take_more_disk():
    plain = estimate(10_000, 64, BuildConfig(max_row=100), HERE)
    assert estimate(10_000, 64, BuildConfig(max_row=200), HERE).disk > plain.disk
    assert estimate(10_000, 64, BuildConfig(max_row=100, dtype="float32"), HERE).disk > plain.disk
    assert estimate(10_000, 64, BuildConfig(max_row=100), HERE, 10**9).disk == plain.disk + 10**9


def test_figures_say_what_was_asked():
    figures = estimate(1000, 64, BuildConfig(neighbors="ivf"), HERE)
    assert (figures.rows, figures.dimension, figures.engine) == (1000, 64, "ivf")
    assert figures.cores == available_cores()
    assert estimate(1000, 64, BuildConfig(), HERE).engine == "exact"
    assert estimate(10**7, 64, BuildConfig(), HERE).engine == "ivf"


@pytest.mark.parametrize("neighbors", ["exact", "hnsw", "ivf"])
@pytest.mark.parametrize("max_row", [1, 300])
def test_a_build_stays_below_its_estimate(tmp_path, neighbors, max_row):
    """Without any structure, rows of C become as long as they may."""
    random = np.random.default_rng(0)
    config = BuildConfig(neighbors=neighbors, max_row=max_row)
    source = Source("random", random.normal(size=(2000, 16)).astype("f4"))
    figures = estimate(*source.vectors.shape, config, tmp_path, source.item_bytes)
    summary = build_collection(source, tmp_path, "c", config)
    assert summary.bytes <= figures.disk < 3 * summary.bytes + (2 << 20)


def test_the_memory_of_a_build_stays_below_its_estimate(tmp_path):
    """In a process of its own, whose peak is that of the build."""
    code = """
import sys
from pathlib import Path
import numpy as np
from indexer import Source, build_collection, estimate
from kinfold import BuildConfig
vectors = np.random.default_rng(0).normal(size=(10_000, 32)).astype("f4")
build_collection(Source("random", vectors), sys.argv[1], "c")
# Not getrusage: its peak begins with that of the process that forked this one.
status = Path("/proc/self/status").read_text()
print(int(status.split("VmHWM:")[1].split()[0]) * 1024)
"""
    # Twice: compiling kernels, where none are cached yet, takes memory that no build does.
    for _ in range(2):
        output = subprocess.run(
            [sys.executable, "-c", code, tmp_path],
            env={**os.environ, "PYTHONPATH": str(HERE.parents[1])},
            capture_output=True,
            check=True,
        ).stdout
    figures = estimate(10_000, 32, BuildConfig(), tmp_path)
    assert figures.memory / 3 < int(output) < figures.memory


@pytest.mark.parametrize("name", ["conaff", "rdp"])
def test_similarity_models_count(name):
    """Rows of hundreds of entries are the most of what such a build holds."""
    rows = 10**6
    plain = estimate(rows, 64, BuildConfig(similarity=["cosine"], k_m=40), HERE)
    config = BuildConfig(similarity=["cosine", name], k_m=40)
    cost = resolve(config.similarity[1]).cost(40, 64)
    figures = estimate(rows, 64, config, HERE)
    assert rows * cost.memory < figures.memory < plain.memory + rows * cost.memory
    assert figures.seconds - plain.seconds == pytest.approx(rows * cost.seconds / figures.cores)
    assert figures.disk == plain.disk


def test_models_get_the_neighbours_that_they_need():
    """k_m is None: as many as the models need."""
    few, many = ({"name": "superglobal", "parameters": {"M": m}} for m in (50, 400))
    less, more = (
        estimate(100_000, 64, BuildConfig(similarity=[spec]), HERE) for spec in (few, many)
    )
    assert less.memory + 100_000 * 350 * 8 < more.memory
    assert less.seconds < more.seconds
    given = BuildConfig(similarity=[many], k_m=50)
    assert estimate(100_000, 64, given, HERE).memory == less.memory


def test_what_the_build_refuses_is_estimated_without_it():
    config = BuildConfig(similarity=["wibble"])
    assert estimate(1000, 64, config, HERE).memory > 0


def test_the_memory_of_a_model_stays_below_the_estimate(tmp_path):
    """The model that takes the most; the peak of the process, as above."""
    code = """
import sys
from pathlib import Path
import numpy as np
from benchmarks.galleries import curved_manifolds
from kinfold import BuildConfig, build
vectors = curved_manifolds(int(sys.argv[2]), 32, queries=10).vectors
build(vectors, sys.argv[1], config=BuildConfig(similarity=["conaff"], k_m=20))
status = Path("/proc/self/status").read_text()
print(int(status.split("VmHWM:")[1].split()[0]) * 1024)
"""
    # A few first, so that no kernel is compiled where memory is measured.
    for rows in (500, 20_000):
        output = subprocess.run(
            [sys.executable, "-c", code, tmp_path, str(rows)],
            env={**os.environ, "PYTHONPATH": str(HERE.parents[1])},
            capture_output=True,
            check=True,
        ).stdout
    figures = estimate(20_000, 32, BuildConfig(similarity=["conaff"], k_m=20), tmp_path)
    assert figures.memory / 2 < int(output) < 1.2 * figures.memory


def shrunk(monkeypatch, **figures):
    for name, value in figures.items():
        monkeypatch.setattr(ESTIMATE, name, lambda *_, value=value: value)
    return estimate(100_000, 256, BuildConfig(), HERE)


def test_too_little_memory(monkeypatch):
    with pytest.raises(CapacityError) as refusal:
        check_fits(shrunk(monkeypatch, available_memory=200 << 20))
    message = str(refusal.value)
    needed = estimate(100_000, 256, BuildConfig(), HERE).least_memory
    assert f"the build needs about {readable(needed)} of memory, " in message
    assert "209.7 MB are available; use fewer rows" in message


def test_too_little_disk(monkeypatch):
    with pytest.raises(CapacityError) as refusal:
        check_fits(shrunk(monkeypatch, available_disk=10 << 20))
    needed = estimate(100_000, 256, BuildConfig(), HERE).disk
    assert f"up to {readable(needed)} on disk" in str(refusal.value)
    assert "10.5 MB are free; free some space, or lower max_row" in str(refusal.value)


def test_exactly_enough(monkeypatch):
    needed = shrunk(monkeypatch)
    enough = {"available_memory": needed.memory, "available_disk": needed.disk}
    assert check_fits(shrunk(monkeypatch, **enough)) == 1.0
    # With less, blocks become smaller, as long as that helps.
    least = enough | {"available_memory": needed.least_memory}
    assert 0 < check_fits(shrunk(monkeypatch, **least)) < 0.1
    assert check_fits(shrunk(monkeypatch, **enough), needed.least_memory) < 0.1
    with pytest.raises(CapacityError, match="are available"):
        check_fits(shrunk(monkeypatch, **least | {"available_memory": needed.least_memory - 1}))
    with pytest.raises(CapacityError, match="allow it more"):
        check_fits(shrunk(monkeypatch, **enough), needed.least_memory - 1)


def test_available_memory_is_that_of_the_machine():
    lines = Path("/proc/meminfo").read_text().splitlines()
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    assert 0 < available_memory() < 1024 * kilobytes["MemTotal"]
    # Others may allocate meanwhile.
    assert available_memory() < 1.2 * 1024 * kilobytes["MemAvailable"]


GB = 1 << 30


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Control groups of our own: `groups(line of /proc/self/cgroup, path -> content)`."""

    def make(line, files):
        root = tmp_path / "cgroup"
        shutil.rmtree(root, ignore_errors=True)
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(str(content) + "\n")
        (tmp_path / "self").write_text(line + "\n")
        monkeypatch.setattr(ESTIMATE, "_GROUPS", root)
        monkeypatch.setattr(ESTIMATE, "_GROUPS_OF_PROCESS", tmp_path / "self")
        return available_memory()

    return make


def unified(folder="", limit=GB, used=GB // 4, inactive=0):
    return {
        f"{folder}memory.max": limit,
        f"{folder}memory.current": used,
        f"{folder}memory.stat": f"anon 1\ninactive_file {inactive}\nactive_file 5",
    }


def test_the_control_group_limits(groups):
    free = groups("0::/", {})
    assert free > GB
    assert groups("0::/", unified()) == 3 * GB // 4
    assert groups("0::/", unified(limit="max")) > GB
    assert groups("0::/", unified(used=2 * GB)) == 0
    assert groups("0::/", unified(limit=1 << 60)) > GB


def test_a_cache_of_files_is_still_available(groups):
    """A container that has read much is not full."""
    assert groups("0::/", unified(used=GB, inactive=GB // 2)) == GB // 2


def test_the_tightest_of_nested_groups_counts(groups):
    files = unified("a.slice/b.scope/", limit=GB // 2, used=0) | unified("a.slice/", used=GB - 7)
    assert groups("0::/a.slice/b.scope", files) == 7
    assert groups("0::/a.slice/c.scope", files) == 7
    assert groups("0::/other", files) > GB
    # As in a container, whose own group is the root whatever the host calls it.
    assert groups("0::/docker/0123", unified()) == 3 * GB // 4


def test_control_groups_of_the_first_version(groups):
    files = {
        "memory/job/memory.limit_in_bytes": GB,
        "memory/job/memory.usage_in_bytes": GB // 2,
        "memory/job/memory.stat": f"inactive_file 3\ntotal_inactive_file {GB // 8}",
    }
    lines = "5:devices:/\n4:memory:/job\n1:cpu,cpuacct:/\n0::/"
    assert groups(lines, files) == GB // 2 + GB // 8


def test_control_groups_that_make_no_sense(groups):
    assert groups("0::/", unified(limit="many")) > GB
    assert groups("0::/", {"memory.max": GB}) > GB


def test_available_disk(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    (tmp_path / "file").write_text("x")
    places = [tmp_path, tmp_path / "a" / "b", tmp_path / "file" / "a", tmp_path / ("x" * 300)]
    for place in places:
        assert available_disk(place) == pytest.approx(free, rel=0.05)
    assert available_disk(Path("/proc/none")) == 0
    assert available_disk(Path("relative/path")) > 0


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (1.5e6, "1.5 MB"),
        (24e9, "24.0 GB"),
        (2.34e12, "2.3 TB"),
        (1e16, "10000.0 TB"),
    ],
)
def test_readable(size, text):
    assert readable(size) == text
