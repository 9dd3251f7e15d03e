"""The settings that are tried: a small grid around the defaults."""

from __future__ import annotations

from itertools import product
from typing import Any

from kinfold.config import BuildConfig, NamedSpec, SimilaritySpec
from kinfold.errors import InputError
from kinfold.similarity import resolve
from kinfold.similarity.width import list_width

TUNED = ("similarity", "rank_scale", "k_d", "alpha")
"""Parameters that are chosen, those of them that were not given."""

SIMILARITIES = ("cosine", "mean", "cas", "lhrr")
RANK_SCALES = (2.0, 3.0, 4.0)
ALPHAS = (0.9, 0.98, 0.99)
NEIGHBORS_PER_SCALE = 5
"""k_d of a rank_scale. At five of them the weight of an edge has fallen to less than a hundredth,
so that a longer list would add next to nothing."""


def free_parameters(config: BuildConfig) -> tuple[str, ...]:
    """Which of the tuned parameters the configuration leaves open; refuses none at all."""
    free = tuple(name for name in TUNED if name not in config.model_fields_set)
    if not free:
        raise InputError(
            "auto: nothing is left to be chosen; expected at least one of "
            f"{', '.join(TUNED)} not given"
        )
    return free


def values_of(config: BuildConfig, names: tuple[str, ...]) -> dict[str, Any]:
    """What a configuration has for these parameters, as JSON has it; plain models by name."""
    values: dict[str, Any] = config.model_dump(mode="json", include=set(names))
    if "similarity" in values:
        values["similarity"] = [
            spec["name"] if not spec["parameters"] else spec for spec in values["similarity"]
        ]
    return {name: values[name] for name in names}


def candidates(config: BuildConfig, rows: int) -> list[BuildConfig]:
    """Settings for a gallery (or a sample) of `rows` items; the given one is the first.

    Parameters that were given explicitly stay. Combinations that contradict them, or that need
    more items than there are, are left out.
    """
    free = free_parameters(config)
    similarities: list[list[NamedSpec]] = [config.similarity]
    if "similarity" in free:
        similarities = [[SimilaritySpec(name=name)] for name in SIMILARITIES]
    scales = RANK_SCALES if "rank_scale" in free else (config.rank_scale,)
    alphas = ALPHAS if "alpha" in free else (config.alpha,)
    found = [config]
    for similarity, scale, alpha in product(similarities, scales, alphas):
        k_d = config.k_d
        if "k_d" in free and "rank_scale" in free:
            k_d = round(NEIGHBORS_PER_SCALE * scale)
        update = {"similarity": similarity, "rank_scale": scale, "k_d": k_d, "alpha": alpha}
        candidate = config.model_copy(update=update)
        if candidate not in found and _possible(candidate, rows):
            found.append(candidate)
    return found


def _possible(config: BuildConfig, rows: int) -> bool:
    if config.k_d >= rows:
        return False
    try:
        # A copy checks nothing: min_degree or k_m may not go with another k_d.
        BuildConfig.checked(config.model_dump())
        list_width(config, [resolve(spec) for spec in config.similarity], rows)
    except InputError:
        return False
    return True
