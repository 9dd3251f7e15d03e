"""Configurations as the command line names them, of one model or of several."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from kinfold.config import BuildConfig
from kinfold.errors import InputError
from kinfold.pipeline.inputs import plan_models

CHAIN = "+"
EXAMPLE = "rdip=superglobal"
_ANY_ROWS = 1 << 31

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Parameters as TOML; see docs/parameters.md.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="One parameter, e.g. --set k_d=15. Wins over --config."),
]


def read_config(file: Path | None, parameters: list[str]) -> BuildConfig:
    """The configuration of a file with single parameters set over it."""
    return BuildConfig.checked(_of_file(file) | _of_options(parameters))


def read_models(
    option: str, given: list[str], file: Path | None, parameters: list[str]
) -> dict[str, BuildConfig]:
    """The models that NAME=SIMILARITY texts describe, in their order.

    What a model says of itself wins over `file`, which all share; single parameters win over
    both. All that does not depend on the gallery is refused here, before it is read.

    Parameters
    ----------
    option:
        What the texts were given to, for messages.
    """
    shared, fixed = _of_file(file), _of_options(parameters)
    models: dict[str, BuildConfig] = {}
    for text in given:
        name, similarity = _parts(option, text)
        if name in models:
            raise InputError(f"{option}: the model {name!r} is named twice")
        own = _of_similarity(option, text, similarity)
        if "similarity" in fixed and not _is_file(similarity):
            raise InputError(
                f"{option} {text} names its similarity, and so does --set similarity; leave one out"
            )
        try:
            models[name] = BuildConfig.checked(shared | own | fixed)
        except InputError as error:
            raise InputError(f"model {name!r}: {error}") from None
    plan_models(None, models, _ANY_ROWS)
    return models


def chain_text(config: BuildConfig) -> str:
    """The similarity chain as `--model` takes it, parameters in brackets."""
    parts = []
    for spec in config.similarity:
        values = ", ".join(f"{name}={value}" for name, value in spec.parameters.items())
        parts.append(f"{spec.name}({values})" if values else spec.name)
    return CHAIN.join(parts)


def _parts(option: str, text: str) -> tuple[str, str]:
    name, equals, similarity = (part.strip() for part in text.partition("="))
    if not equals:
        raise InputError(f"{option}: expected NAME=SIMILARITY, e.g. {EXAMPLE}, found {text!r}")
    for what, part in (("name before", name), ("similarity model after", similarity)):
        if not part:
            raise InputError(f"{option}: expected a {what} the '=', found none in {text!r}")
    return name, similarity


def _is_file(similarity: str) -> bool:
    return similarity.lower().endswith(".toml")


def _of_similarity(option: str, text: str, similarity: str) -> dict[str, Any]:
    """The parameters of a model: a whole TOML file, or a chain of similarity models."""
    if _is_file(similarity):
        return _of_file(Path(similarity))
    chain = [part.strip() for part in similarity.split(CHAIN)]
    if not all(chain):
        raise InputError(
            f"{option}: expected similarity models joined by '{CHAIN}', found an empty name "
            f"in {text!r}"
        )
    return {"similarity": chain}


def _of_file(file: Path | None) -> dict[str, Any]:
    return {} if file is None else BuildConfig.from_file(file).model_dump(exclude_unset=True)


def _of_options(parameters: list[str]) -> dict[str, Any]:
    values = {}
    for parameter in parameters:
        name, equals, value = parameter.partition("=")
        if not equals:
            raise InputError(f"--set: expected NAME=VALUE, found {parameter!r}")
        values[name.strip()] = _value(value.strip())
    return values


def _value(text: str) -> Any:
    """A value as TOML writes it; what is no TOML is a string without its quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
