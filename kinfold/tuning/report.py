"""What tuning found: the configuration, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kinfold.arrays import AnyArray
from kinfold.config import BuildConfig
from kinfold.index.manifest import TriedSetting, TuningInfo
from kinfold.tuning.candidates import values_of


@dataclass(frozen=True, slots=True)
class TuningReport:
    """What `tune` found.

    Attributes
    ----------
    config:
        The configuration to build with, every parameter decided.
    info:
        What was tried, and the reason in a sentence; a build with `auto` keeps it in the manifest.
    default_score, cross_validated:
        By labels: mAP of the configuration that was given, and what choosing gave on queries that
        the choice had not seen. None without labels.
    """

    config: BuildConfig
    info: TuningInfo
    default_score: float | None = None
    cross_validated: float | None = None

    @property
    def changed(self) -> bool:
        """Whether it is another configuration than the one that was given."""
        return bool(self.info.changed)


def difference(before: BuildConfig, after: BuildConfig, names: tuple[str, ...]) -> dict[str, Any]:
    """Those of these parameters that are no longer what they were."""
    old, new = values_of(before, names), values_of(after, names)
    return {name: new[name] for name in names if new[name] != old[name]}


def tried(
    configs: list[BuildConfig], names: tuple[str, ...], scores: AnyArray, leads: AnyArray
) -> list[TriedSetting]:
    """What the manifest keeps of the settings, in the order in which they were tried."""
    return [
        TriedSetting(
            parameters=values_of(config, names),
            score=round(float(score), 5),
            lead=round(float(lead), 5),
        )
        for config, score, lead in zip(configs, scores, leads, strict=True)
    ]


def as_text(values: dict[str, Any]) -> str:
    """Parameters in a sentence."""
    parts = []
    for name, value in values.items():
        if isinstance(value, list):
            value = "+".join(one if isinstance(one, str) else one["name"] for one in value)
        parts.append(f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}")
    return ", ".join(parts)
