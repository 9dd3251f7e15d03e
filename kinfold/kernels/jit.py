"""The one place that says how kernels are compiled.

Kernels take arrays and give arrays: no I/O, no Python objects, no allocation that the caller
could have made once. All of them release the GIL and are cached on disk after the first call.

No kernel has an explicit signature: arrays may be read-only memory maps, which an explicit
signature would refuse.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba
import numpy as np
from numba.core.caching import CompileResultCacheImpl, FunctionCache

if TYPE_CHECKING:

    def unsigned(value: Any) -> int:
        """To the type checker a whole number like any other."""

    def signed(value: Any) -> int:
        """To the type checker a whole number like any other."""

else:
    # Indices are unsigned in the kernels' inner loops: a signed one makes Numba test for "counted
    # from the end" at every access, which costs more than the access itself (the conjugate
    # gradient is five times slower with them). `signed` goes back: signed and unsigned together
    # would become a float.
    unsigned = np.uint64
    signed = np.int64

Function = TypeVar("Function", bound=Callable[..., Any])

# Sums run in the order in which they are written, and products are not fused into them: what a
# kernel gives then depends neither on how the compiler arranged it, which differs between a process
# that compiled it and one that found it in the cache, nor on the processor's vector width. So a
# build that goes on in another process, or on another machine, gives the same bytes.
EXACT = {"nsz", "contract"}

# For the few kernels that are one long inner product, where lanes are worth a factor of five.
# `nnan`/`ninf` are left out on purpose: a comparison against a NaN that slipped through must still
# be false.
REASSOCIATED = {"reassoc", "contract", "arcp", "nsz"}


SOURCES = hashlib.sha256(
    b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
).hexdigest()
"""Of all kernels together."""


_in_tree: Any = next(
    locator
    for locator in CompileResultCacheImpl._locator_classes
    if locator.__name__.lstrip("_") == "InTreeCacheLocator"
)


class _ReadOnlyInTree(_in_tree):  # type: ignore[misc]
    """The cache beside the sources, where it may be read but not written: that of an image."""

    def ensure_cache_path(self) -> None:
        """Ask for nothing; Numba's own asks that a file can be written."""


class _Places(CompileResultCacheImpl):
    """Where Numba looks for a cache; where none can be written, what is there is still read."""

    _locator_classes = [*CompileResultCacheImpl._locator_classes, _ReadOnlyInTree]  # noqa: RUF012


class _Cache(FunctionCache):
    """Numba's cache on disk, which looks at the function's own file only, told of all kernels.

    A kernel has those that it calls compiled into it: when one of them changes, in another file,
    what was cached of the caller would go on computing the old thing.

    A cache saves time and nothing else, so one that cannot be read or written (a read-only file
    system, a full disk) costs a compilation and no more.
    """

    _impl_class = _Places

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        untyped: Any = super()
        with suppress(OSError):
            return untyped.load_overload(sig, target_context)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        untyped: Any = super()
        with suppress(OSError):
            untyped.save_overload(sig, data)

    def _index_key(self, signature: Any, codegen: Any) -> tuple[Any, ...]:
        untyped: Any = super()
        return (*untyped._index_key(signature, codegen), SOURCES)


def kernel(
    *, parallel: bool = False, inline: bool = False, reassociate: bool = False
) -> Callable[[Function], Function]:
    """Compile a function with the house's options.

    Parameters
    ----------
    parallel:
        Allow ``numba.prange``. Parallel kernels belong to builds, which run one at a time in a
        process; kernels on a query's way are serial, so that many threads may run them at once.
    inline:
        Ask for the function to be merged into its callers.
    reassociate:
        Let the compiler reorder the function's sums.
    """
    decorate = numba.njit(
        # not `cache`: `wrap` gives each its own, which Numba's would refuse on a read-only disk
        nogil=True,
        parallel=parallel,
        fastmath=REASSOCIATED if reassociate else EXACT,
        error_model="numpy",
        inline="always" if inline else "never",
    )

    def wrap(function: Function) -> Function:
        dispatcher: Any = decorate(function)
        cache: Any = _Cache
        dispatcher._cache = cache(function)
        return cast("Function", dispatcher)

    return wrap
