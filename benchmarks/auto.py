"""Parameters that choose themselves: kNN, default, `auto`, and what labels would have chosen.

python -m benchmarks.auto

Four real sets (see benchmarks.quality) and two made ones. `auto` sees the gallery alone; `tune`
sees the labels of nine tenths of the queries and is measured on the others; `best` is the best of
the same settings on the very queries that it is measured on, which nobody can know beforehand.
"""

from __future__ import annotations

import tempfile
from typing import Any

import kinfold
from benchmarks.common import finish
from benchmarks.galleries import Gallery, curved_manifolds, unequal_clusters
from benchmarks.quality import quality, sets
from kinfold.tuning import TuningReport, tune
from kinfold.tuning.report import as_text

DEFAULTS = "the defaults"


def main() -> None:
    """Run and print."""
    rows, choices = [], []
    for name, gallery in galleries().items():
        row, auto, best = measure(name, gallery)
        rows.append(row)
        choices.append(f"{name}\n  auto: {auto}\n  best: {best}")
    finish("auto", "mAP (%) of full rankings, queries not in the gallery", rows)
    print("\n".join(choices))


def galleries() -> dict[str, Gallery]:
    """The real sets that can be had here, and two made ones."""
    return {**sets(), "arcs": curved_manifolds(4000), "unequal": unequal_clusters()}


def measure(name: str, gallery: Gallery) -> tuple[dict[str, Any], str, str]:
    """A row of the table, what `auto` chose and what is best.

    `best` and `tune` are measured in memory, all else on an index.
    """
    with tempfile.TemporaryDirectory() as folder:
        index = kinfold.build(gallery.vectors, folder, config=kinfold.BuildConfig(auto=True))
        info = index.manifest.models["default"]
    assert info.tuning is not None
    chosen = info.config.model_dump(include={"similarity", "rank_scale", "k_d", "alpha"})
    labelled = tune(
        gallery.vectors,
        queries=gallery.queries,
        query_labels=gallery.query_labels,
        gallery_labels=gallery.labels,
    )
    best = max(labelled.info.tried, key=lambda one: one.score)
    assert labelled.cross_validated is not None
    row = {
        "what": name,
        "kNN": 100 * quality(gallery, {}, "knn")[0],
        "default": 100 * quality(gallery, {}, None)[0],
        "auto": 100 * quality(gallery, chosen, None)[0],
        "tune": 100 * labelled.cross_validated,
        "best": 100 * best.score,
        "seconds": info.tuning.seconds,
    }
    changed = _changes(labelled, best.parameters)
    return row, as_text(info.tuning.changed) or DEFAULTS, as_text(changed) or DEFAULTS


def _changes(report: TuningReport, parameters: dict[str, Any]) -> dict[str, Any]:
    first = report.info.tried[0].parameters
    return {name: value for name, value in parameters.items() if value != first[name]}


if __name__ == "__main__":
    main()
