"""Blocks on a real Ray cluster: the same results, whoever dies."""

from __future__ import annotations

import _thread
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from cluster_tasks import Dying, Failing, Slowly, rows_of, threads_there
from ray_cluster import Nodes

from indexer.cluster import Cluster, connect
from kinfold.blocks import BlockTask, LocalRunner, cut
from kinfold.errors import CapacityError, InputError, KinfoldError

ROWS, STEP = 4000, 250
BLOCKS = cut(ROWS, STEP)


@pytest.fixture(scope="module")
def cluster(nodes: Nodes) -> Iterator[Cluster]:
    with connect(nodes.address) as found:
        yield found


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    found = np.random.default_rng(5).normal(size=(ROWS, 32)).astype(np.float32)
    found.flags.writeable = False
    return found


def same(runner, task: BlockTask, x: np.ndarray, blocks=BLOCKS) -> None:
    """Bit for bit what the local runner gives, in its order."""
    expected = list(LocalRunner(1).run(rows_of, {"x": x}, blocks))
    found = list(runner.run(task, {"x": x}, blocks))
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        assert list(mine) == list(theirs)
        for name, values in mine.items():
            assert values.dtype == theirs[name].dtype
            assert values.flags.writeable and values.flags.owndata
            assert values.tobytes() == theirs[name].tobytes(), name


def until(true: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def alive(folder: Path) -> list[int]:
    """Processes that have begun a block and still live."""
    pids = {int(path.name.split("-")[1]) for path in folder.iterdir()}
    return [pid for pid in pids if is_worker(pid)]


def is_worker(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def test_two_machines_are_found(cluster: Cluster) -> None:
    assert (cluster.machines, cluster.cores, cluster.started) == (2, 2, False)
    assert cluster.address.startswith("127.0.0.1:") and len(cluster.processors) == 1


def test_results_are_those_of_the_local_runner(cluster: Cluster, x: np.ndarray) -> None:
    same(cluster.runner(), rows_of, x)
    same(cluster.runner(), rows_of, x, [])
    same(cluster.runner(), rows_of, x, [(3, 4)])


def test_read_only_arrays_are_put_once_and_others_for_each_pass(
    cluster: Cluster, x: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    put, sizes = ray.put, []

    def counted(value: object) -> object:
        if isinstance(value, np.ndarray):
            sizes.append(value.nbytes)
        return put(value)

    monkeypatch.setattr(ray, "put", counted)
    runner = cluster.runner()
    mine = x.copy()
    for _ in range(3):
        list(runner.run(rows_of, {"x": x}, BLOCKS))
    assert sizes == [x.nbytes]
    for change in range(3):
        mine[0] = change
        same(runner, rows_of, mine)
    assert sizes == [x.nbytes] * 4


def test_files_that_all_machines_see_are_mapped_there(
    cluster: Cluster, x: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    puts, put = [], ray.put
    monkeypatch.setattr(ray, "put", lambda value: puts.append(type(value)) or put(value))
    runner = cluster.runner(shared_files=True)
    same(runner, rows_of, mapped)
    same(runner, rows_of, mapped[7:].view(np.ndarray), cut(ROWS - 7, STEP))
    assert np.ndarray not in puts and np.memmap not in puts
    # Another file has come in its place: what is mapped is still the old one, and is sent.
    np.save(tmp_path / "new.npy", x + 1)
    (tmp_path / "new.npy").replace(tmp_path / "x.npy")
    same(cluster.runner(shared_files=True), rows_of, mapped)
    assert np.ndarray in puts


def test_threads_are_those_of_the_block(cluster: Cluster) -> None:
    (found,) = cluster.runner().run(threads_there, {}, [(0, 1)])
    assert found["threads"].tolist() == [[1, 1, 1, 1]]


def test_a_worker_that_is_killed_changes_nothing(
    cluster: Cluster, x: np.ndarray, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    same(cluster.runner(), Dying(5 * STEP, str(tmp_path)), x)
    assert len(list(tmp_path.iterdir())) == 1
    # Ray would say so on standard output, where results of programs are.
    time.sleep(0.5)
    assert capfd.readouterr() == ("", "")


def test_a_worker_that_always_dies_is_told_of(
    cluster: Cluster, x: np.ndarray, tmp_path: Path
) -> None:
    from indexer.cluster import RayRunner

    runner = RayRunner(retries=1)
    with pytest.raises(KinfoldError, match=r"rows 500 to 750: given up, because their worker"):
        list(runner.run(Dying(2 * STEP, str(tmp_path), 99), {"x": x}, BLOCKS))
    assert len(list(tmp_path.iterdir())) == 2


def test_the_error_of_a_task_arrives_as_it_is_and_ends_the_rest(
    cluster: Cluster, x: np.ndarray, tmp_path: Path
) -> None:
    start = time.monotonic()
    with pytest.raises(InputError) as raised:
        list(cluster.runner().run(Failing(STEP, str(tmp_path)), {"x": x}, BLOCKS))
    assert type(raised.value) is InputError
    assert str(raised.value) == f"row {STEP}: expected a number, found NaN"
    assert time.monotonic() - start < 30
    until(lambda: not alive(tmp_path))


def test_closing_leaves_nothing_running(cluster: Cluster, x: np.ndarray, tmp_path: Path) -> None:
    results = cluster.runner().run(Slowly(str(tmp_path), 0.05), {"x": x}, BLOCKS)
    next(results)
    time.sleep(1)
    # Two blocks at a time; those of a consumer who takes his time are not computed without bound.
    assert 1 <= len(list(tmp_path.iterdir())) <= 5
    results.close()
    time.sleep(0.5)
    begun = len(list(tmp_path.iterdir()))
    time.sleep(0.5)
    assert len(list(tmp_path.iterdir())) == begun <= 5


def test_an_interrupt_leaves_nothing_running(
    cluster: Cluster, x: np.ndarray, tmp_path: Path
) -> None:
    def interrupt() -> None:
        until(lambda: len(alive(tmp_path)) == 2)
        _thread.interrupt_main()

    results = cluster.runner().run(Slowly(str(tmp_path), 60), {"x": x}, BLOCKS)
    other = threading.Thread(target=interrupt)
    other.start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        next(results)
    other.join()
    assert time.monotonic() - start < 30
    until(lambda: not alive(tmp_path))


def test_too_much_is_refused_before_it_starts(cluster: Cluster, x: np.ndarray) -> None:
    big = np.broadcast_to(np.float32(0), (60 << 20,))
    with pytest.raises(CapacityError, match=r"251.7 MB.* object store .* 209.7 MB"):
        next(cluster.runner().run(rows_of, {"x": big}, [(0, 1)]))
    with pytest.raises(CapacityError, match=r"shall have 5 cores.* has 1"):
        next(cluster.runner(num_cpus=5).run(rows_of, {"x": x}, [(0, 1)]))


def test_a_machine_that_is_lost_changes_nothing(
    nodes: Nodes, cluster: Cluster, x: np.ndarray, tmp_path: Path
) -> None:
    nodes.two()
    killer = threading.Thread(
        target=lambda: (until(lambda: len(alive(tmp_path)) == 2), nodes.kill_second())
    )
    killer.start()
    same(cluster.runner(), Slowly(str(tmp_path)), x)
    killer.join()
    assert nodes.count == 1
    assert len(list(tmp_path.iterdir())) > len(BLOCKS)
