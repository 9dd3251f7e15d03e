"""Blocks on a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from indexer.cluster.environment import code_here
from indexer.cluster.library import ray_library
from indexer.cluster.machines import Machines, Watch
from indexer.cluster.sharing import SharedArrays
from indexer.cluster.work import compute
from indexer.estimate import readable
from kinfold.arrays import AnyArray
from kinfold.blocks import Arrays, Block, BlockTask
from kinfold.errors import CapacityError, InputError, KinfoldError

RETRIES = 3
PATIENCE_SECONDS = 300.0

# Short: a signal is heard between two waits, and whoever sent it waits a second.
_TICK_SECONDS = 0.2
_LEAVE_SECONDS = 1.0
_AHEAD = 2


class RayRunner:
    """Computes blocks on the machines of the Ray cluster that this process is connected to.

    The results are those of `kinfold.blocks.LocalRunner`, bit for bit where processors are alike.
    A block whose worker or machine dies is computed again elsewhere. The first error that a task
    raises is raised here as it is, at once, and everything else is called off, as it is when the
    iterator is closed. At most twice as many blocks are under way, or done and not yet asked for,
    as the cluster computes at a time.

    Parameters
    ----------
    num_cpus:
        Cores of a block, and its threads. None: all those of the cluster's smallest machine, so
        that memory is that of a block a machine, as in a build without a cluster.
    shared_files:
        Every machine sees the same files at the same paths: workers map them themselves instead
        of receiving them, and they may be larger than Ray's object store.
    retries:
        How often a block is begun again after its worker died.
    patience:
        Seconds to wait for a machine that could go on when there is none left.

    Notes
    -----
    Arrays that cannot be written to go into the object store once and stay there as long as the
    caller keeps them; the others are put for each pass, since they may have changed.
    """

    def __init__(
        self,
        *,
        num_cpus: int | None = None,
        shared_files: bool = False,
        retries: int = RETRIES,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        if num_cpus is not None and num_cpus < 1:
            raise InputError(f"num_cpus must be at least 1, found {num_cpus}")
        self._ray = ray_library()
        self._num_cpus = num_cpus
        self._retries = retries
        self._patience = patience
        self._machines = Machines(self._ray)
        # Looked up for each: what Ray gives depends on where the process is connected to.
        self._shared = SharedArrays(lambda array: self._ray.put(array), files=shared_files)

    def run(
        self, task: BlockTask, arrays: Arrays, blocks: Sequence[Block]
    ) -> Iterator[dict[str, AnyArray]]:
        """See `BlockRunner.run`."""
        if not blocks:
            return
        threads = self._cores_of_a_block()
        self._check_store(arrays)
        given = self._shared.given(arrays)
        remote = self._ray.remote(compute).options(
            num_cpus=threads,
            max_retries=self._retries,
            retry_exceptions=False,
            name=getattr(task, "__name__", type(task).__name__),
        )
        # Sent once: a task is small, but there may be a hundred thousand blocks.
        sent_task, names, code = self._ray.put(task), tuple(given), code_here()
        flight = _Flight(self._ray)
        watch = Watch(self._machines, threads, self._patience)
        following = 0
        try:
            for number in range(len(blocks)):
                while True:
                    last = min(len(blocks), number + _AHEAD * max(1, self._machines.slots(threads)))
                    while following < last:
                        ref = remote.remote(
                            sent_task, blocks[following], threads, code, names, *given.values()
                        )
                        flight.add(following, ref)
                        following += 1
                    if number in flight.landed:
                        break
                    watch.look(landed=flight.take(blocks))
                # A copy, because what Ray gives lies in the store, and would fill it.
                part = {name: np.array(v) for name, v in flight.landed.pop(number).items()}
                yield part
        finally:
            flight.cancel()

    def _cores_of_a_block(self) -> int:
        cores = self._machines.cores()
        if not cores:
            raise CapacityError(
                "no machine of the Ray cluster has a core to compute with; "
                "start workers: ray start --address HOST:PORT"
            )
        wanted = min(cores) if self._num_cpus is None else self._num_cpus
        if wanted > max(cores):
            raise CapacityError(
                f"a block shall have {wanted} cores, but the largest machine of the Ray cluster "
                f"has {max(cores)}; use fewer"
            )
        return wanted

    def _check_store(self, arrays: Arrays) -> None:
        """A block's machine holds all of its arrays at once."""
        size, store = self._shared.bytes_to_put(arrays), self._machines.smallest_store()
        if size > store:
            raise CapacityError(
                f"the arrays that every block reads take {readable(size)}, Ray's object store "
                f"on the smallest machine {readable(store)}; start its Ray with a larger one "
                f"(ray start --object-store-memory {size * 5 // 4}), or keep the data folder "
                "on storage that all machines share and say so (--ray-shared)"
            )


class _Flight:
    """The blocks that are under way, and those that have come back before their turn."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._under_way: dict[Any, int] = {}
        self.landed: dict[int, dict[str, AnyArray]] = {}

    def add(self, number: int, ref: Any) -> None:
        self._under_way[ref] = number

    def take(self, blocks: Sequence[Block]) -> bool:
        """Wait a moment for results; False when there is none. Raises what a task raised."""
        refs = list(self._under_way)
        done, _ = self._ray.wait(refs, num_returns=1, timeout=_TICK_SECONDS)
        if done:
            done, _ = self._ray.wait(refs, num_returns=len(refs), timeout=0)
        for ref in done:
            number = self._under_way.pop(ref)
            self.landed[number] = self._result(ref, blocks[number])
        return bool(done)

    def cancel(self) -> None:
        """Call off what is not done, the last first.

        Asked first, for Ray may lose a slot over a block that is ended before it has begun; then
        what hears nothing in a kernel is ended with its worker.
        """
        refs = list(reversed(self._under_way))
        self._under_way.clear()
        self.landed.clear()
        for ref in refs:
            self._ray.cancel(ref)
        if refs:
            _, deaf = self._ray.wait(refs, num_returns=len(refs), timeout=_LEAVE_SECONDS)
            for ref in deaf:
                self._ray.cancel(ref, force=True)

    def _result(self, ref: Any, block: Block) -> dict[str, AnyArray]:
        errors = self._ray.exceptions
        try:
            found: dict[str, AnyArray] = self._ray.get(ref)
        except errors.RayTaskError as error:
            raise _own(error) from None
        except errors.OutOfMemoryError:
            raise CapacityError(
                f"rows {block[0]:,} to {block[1]:,}: their worker was ended again and again, for "
                "its machine had no memory left; use smaller blocks (--memory), or more memory"
            ) from None
        except errors.RayError as error:
            raise KinfoldError(
                f"rows {block[0]:,} to {block[1]:,}: given up, because their worker or its machine "
                f"died again and again ({type(error).__name__}); see the logs of Ray there. "
                "Was it out of memory? What is done so far is kept"
            ) from None
        return found


def _own(error: Any) -> Exception:
    """What the task raised, as it was, with where it was."""
    cause = error.cause
    if not isinstance(cause, Exception):
        return KinfoldError(f"a block failed on a Ray worker: {error}")
    cause.__cause__ = cause.__context__ = None
    cause.add_note(f"on a Ray worker:\n{getattr(error, 'traceback_str', '')}".rstrip())
    return cause
