"""What a build is asked for, checked before it starts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from kinfold.arrays import AnyArray
from kinfold.config import BuildConfig
from kinfold.errors import InputError
from kinfold.index.extras import Extras
from kinfold.index.manifest import MODEL_NAME, TuningInfo
from kinfold.progress import ProgressCallback
from kinfold.search.index import KNN
from kinfold.similarity import SimilarityModel, resolve
from kinfold.similarity.width import list_width
from kinfold.tuning import automatic
from kinfold.tuning.candidates import free_parameters
from kinfold.validate import as_gallery, as_ids

DEFAULT_MODEL = "default"


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """One matrix C that is to be made.

    Attributes
    ----------
    config:
        As it can be used on this gallery.
    chain:
        The similarity models, applied one after the other.
    k_m:
        Neighbours handed to them.
    tuning:
        Why these parameters, where they were chosen.
    """

    name: str
    config: BuildConfig
    chain: Sequence[SimilarityModel]
    k_m: int
    tuning: TuningInfo | None = None

    def width(self, rows: int) -> int:
        """Neighbours that the self-join has to find: for models, graph and truncation."""
        beyond = self.config.max_row - 1 if self.config.truncation == "nearest" else 0
        return min(max(self.k_m, beyond), rows - 1)


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a build was given, checked but for the vectors' values.

    Attributes
    ----------
    plans:
        The models, the default first.
    given:
        Their configurations as they were given, which tell what was left open.
    """

    gallery: AnyArray
    ids: AnyArray | None
    payload: pa.Table | None
    extras: Extras
    plans: list[ModelPlan]
    given: dict[str, BuildConfig]


def check_inputs(
    vectors: AnyArray,
    ids: Sequence[int] | Sequence[str] | AnyArray | None,
    payload: Mapping[str, Sequence[Any]] | pa.Table | None,
    config: BuildConfig | None,
    models: Mapping[str, BuildConfig] | None,
    extras: Extras | None = None,
) -> Inputs:
    """Refuse what can be refused before anything is computed or written."""
    gallery = as_gallery(vectors)
    rows = gallery.shape[0]
    plans = plan_models(config, models, rows)
    checked_ids = None if ids is None else as_ids(ids, rows)
    table = as_payload(payload, rows)
    extras = extras or Extras()
    extras.check(*gallery.shape)
    given = [config or BuildConfig()] if models is None else list(models.values())
    names = [plan.name for plan in plans]
    by_name = dict(zip(names, given, strict=True))
    return Inputs(gallery, checked_ids, table, extras, plans, by_name)


def plan_models(
    config: BuildConfig | None, models: Mapping[str, BuildConfig] | None, rows: int
) -> list[ModelPlan]:
    """The models of a build, the default first; refuses what cannot go together or be done."""
    for settings in [config] if models is None else models.values():
        if settings is not None and settings.auto:
            # Asked for here, where nothing has been done yet.
            free_parameters(settings)
    if models is None:
        return [plan(DEFAULT_MODEL, config or BuildConfig(), rows)]
    if config is not None:
        raise InputError("build: expected either config or models, found both")
    if not models:
        raise InputError("models: expected at least one, found none")
    first, *others = models
    for name in others:
        for shared in ("metric", "neighbors", "join"):
            expected, found = getattr(models[first], shared), getattr(models[name], shared)
            if expected != found:
                raise InputError(
                    f"model {name!r}: {shared} = {found!r}, but {first!r} has {expected!r}; the "
                    "models of one index share its neighbours"
                )
    return [plan(name, settings, rows) for name, settings in models.items()]


def plan(name: str, config: BuildConfig, rows: int) -> ModelPlan:
    """One model, its name and parameters checked against a gallery of `rows` items."""
    if re.fullmatch(MODEL_NAME, name) is None or len(name) > 64:
        raise InputError(
            f"model {name!r}: expected a name of at most 64 letters, digits, '_', '-' and '.', "
            "beginning with a letter, a digit or '_'"
        )
    if name == KNN:
        raise InputError(f"model {name!r}: this name stands for plain nearest neighbours")
    settings = fitted(config, rows)
    chain = [resolve(spec) for spec in settings.similarity]
    return ModelPlan(name, settings, chain, list_width(settings, chain, rows))


def tuned(
    wanted: ModelPlan,
    given: BuildConfig,
    vectors: AnyArray,
    progress: ProgressCallback,
    threads: int,
) -> ModelPlan:
    """The plan with what `auto` chooses from the gallery; as it is without `auto`.

    Parameters
    ----------
    given:
        The configuration as it was given, which tells what was left open.
    vectors:
        (n, d), checked.
    """
    if not given.auto:
        return wanted
    report = automatic(vectors, given, threads, progress)
    config = report.config if report.changed else given
    return chosen(wanted, config, report.info, vectors.shape[0])


def chosen(wanted: ModelPlan, config: BuildConfig, info: TuningInfo, rows: int) -> ModelPlan:
    """The plan with the configuration that was chosen for it."""
    return replace(plan(wanted.name, config, rows), tuning=info)


def fitted(config: BuildConfig, rows: int) -> BuildConfig:
    """The configuration as it can be used on `rows` items; refuses an explicit k_d >= n."""
    if config.k_d < rows:
        return config
    if "k_d" in config.model_fields_set:
        raise InputError(
            f"k_d = {config.k_d} needs at least {config.k_d + 1} items, found {rows}; "
            f"set k_d to at most {rows - 1}"
        )
    lowered = {"k_d": rows - 1, "min_degree": min(config.min_degree, rows - 1)}
    return config.model_copy(update=lowered)


def as_payload(
    payload: Mapping[str, Sequence[Any]] | pa.Table | None, rows: int
) -> pa.Table | None:
    """Payload as an Arrow table of n rows, columns named once each."""
    if payload is None:
        return None
    try:
        table = payload if isinstance(payload, pa.Table) else pa.table(dict(payload))
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise InputError(f"payload: cannot be kept as columns: {error}") from None
    if table.num_columns == 0:
        return None
    if table.num_rows != rows:
        raise InputError(f"payload: expected {rows} rows, one a vector, found {table.num_rows}")
    if len(set(table.column_names)) != table.num_columns:
        raise InputError(f"payload: expected unique column names, found {table.column_names}")
    return table
