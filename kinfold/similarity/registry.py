"""The registry of similarity models and the one signature that all of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar, NamedTuple, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from kinfold.arrays import Float32s
from kinfold.blocks import Named, Passes
from kinfold.config import SimilaritySpec, describe
from kinfold.errors import InputError, UnknownNameError
from kinfold.kernels.compare import order_lists
from kinfold.neighbors import NeighborLists
from kinfold.progress import Progress, ProgressCallback, silent


class Cost(NamedTuple):
    """What a model takes for an item: seconds of one core, bytes at the peak beside its input."""

    seconds: float
    memory: int


class SimilarityModel(BaseModel, ABC):
    """A similarity model (R-DiP, "Offline Step"): its fields are its parameters.

    A model takes the lists of the k_m nearest neighbours and gives new similarities for the same
    ids, float32 in [0, 1], higher meaning more alike. It must be sparse: memory O(n k_m), time
    O(n k_m²) at most.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True
    )

    name: ClassVar[str]
    """What the configuration calls it."""

    def neighbors_needed(self) -> int:
        """The k_m that the model wants, from its parameters; found for it where none is given."""
        return 1

    def least_neighbors(self) -> int:
        """The smallest k_m that the model can work with; a given one below it is refused."""
        return self.neighbors_needed()

    def cost(self, k_m: int, dimension: int) -> Cost:
        """Roughly what an item takes, from the parameters; builds that cannot fit are refused.

        What is said here is generous for a model of sparse rows and holds where a model does not
        know better.
        """
        return Cost(100e-6, 10_000 + 100 * k_m)

    @abstractmethod
    def recalculate(
        self,
        lists: NeighborLists,
        vectors: Float32s,
        progress: ProgressCallback = silent,
        passes: Passes | None = None,
    ) -> Float32s:
        """Re-calculate similarities.

        Parameters
        ----------
        lists:
            (n, k_m) neighbours; must not be changed.
        vectors:
            (n, d) float32, as the metric prepared them.
        passes:
            What a model that works row block by row block runs its passes by; None: in memory,
            with the threads that Numba is given. The others ignore it.

        Returns
        -------
        (n, k_m) float32 in [0, 1], for ``lists.ids`` in its order.
        """


Model = TypeVar("Model", bound=type[SimilarityModel])
_MODELS: dict[str, type[SimilarityModel]] = {}


def register(model: Model) -> Model:
    """Class decorator: make a model known by its name."""
    if model.name in _MODELS:
        raise ValueError(f"two similarity models are called {model.name!r}")
    _MODELS[model.name] = model
    return model


def model_names() -> list[str]:
    """The names that a configuration may use."""
    return sorted(_MODELS)


def resolve(spec: SimilaritySpec) -> SimilarityModel:
    """The model that a configuration names; refuses unknown names and bad parameters."""
    model = _MODELS.get(spec.name)
    if model is None:
        raise UnknownNameError(
            f"unknown similarity model {spec.name!r}; known are: {', '.join(model_names())}"
        )
    try:
        return model.model_validate(spec.parameters)
    except ValidationError as error:
        raise InputError(f"similarity model {spec.name!r}: {describe(error)}") from None


def apply_models(
    models: Iterable[SimilarityModel],
    lists: NeighborLists,
    vectors: Float32s,
    progress: ProgressCallback = silent,
    passes: Passes | None = None,
) -> NeighborLists:
    """Apply models one after the other, each list put back in descending order after each.

    Passes of the models are run by `passes`, under names that begin with the model's number in the
    chain and its name; None: in memory.
    """
    chain = list(models)
    for number, model in enumerate(chain):
        part = _part(progress, number, len(chain))
        own = Named(passes, f"{number}-{model.name}") if passes else None
        similarities = model.recalculate(lists, vectors, part, own)
        if not similarities.flags.writeable:
            similarities = similarities.copy()
        ids = lists.ids.copy()
        order_lists(ids, similarities)
        lists = NeighborLists(ids, np.asarray(similarities, dtype=np.float32))
        part(Progress("similarity", 1, 1))
    return lists


def _part(progress: ProgressCallback, number: int, count: int) -> ProgressCallback:
    """The callback of one model of a chain: its share of all of them, in percent."""

    def told(event: Progress) -> None:
        share = (number + event.done / event.total) / count
        progress(Progress("similarity", int(100 * share + 1e-6), 100, "percent"))

    return told
