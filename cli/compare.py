"""`kinfold compare`: pre-computed diffusion beside published query-time re-ranking."""

from __future__ import annotations

import json as json_format
import tempfile
from pathlib import Path
from typing import Annotated

import typer

import kinfold
from cli.compare_data import Sample, read_samples
from cli.compare_measure import Comparison, Row, measure_index, measure_method
from cli.compare_page import page
from cli.compare_tables import LEGEND, about, as_values, markdown, terminal_table
from cli.console import JsonOption, bars, err, out, print_json
from kinfold.errors import InputError, StorageError
from kinfold.evaluate.baselines import Baseline, baseline_names, resolve
from kinfold.progress import Progress, ProgressCallback
from kinfold.similarity import resolve as resolve_model

NONE = "none"
DEFAULT_MODELS = ("default", "cosine")
FOR_SMALL_CLASSES = (
    "alpha-qe:n=10",
    "dfs:k_d=10:k_q=5:iterations=1000",
    "fsr:k_d=10:k_q=5:rank=200",
)
"""Published for 50 neighbours; with those they fall below kNN where classes have fewer items."""


def compare(
    data: Annotated[
        list[str],
        typer.Argument(
            help="`digits` (scikit-learn's), or an .npz file with the arrays X (vectors), y "
            "(labels) and is_query (true for queries). Several: one group of columns each."
        ),
    ],
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--methods",
            help="Published methods, separated by commas, with parameters if you like: "
            "`aqe:n=5,dfs:k_d=10:k_q=5`; `none`. Default: all as published, and those whose "
            "parameters suit large classes only with smaller ones too.",
        ),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--models",
            help="Kinfold's similarity chains to build, separated by commas: `default`, a model's "
            "name, several joined by +; `none`. Default: default,cosine.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", help="Folder for compare.md, compare.json and compare.html."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show quality against milliseconds: Kinfold beside published query-time re-ranking.

    Prints one table, best mAP first. Methods marked † are transductive: they need all queries at
    once. With --output the page compare.html shows a plot too.

    **Examples**

    `kinfold compare digits`

    `kinfold compare digits faces.npz --methods knn,aqe,superglobal --models default --output out`
    """  # fmt: skip
    chosen = choose_methods(methods)
    configs = choose_models(models)
    if not chosen and not configs:
        raise InputError("compare: expected methods or models, found none of both")
    samples = read_samples(data)
    if output is not None:
        _make(output)
    with bars(enabled=not json) as progress:
        comparisons = [
            measure_all(sample, chosen, configs, methods is None, progress) for sample in samples
        ]
    if output is not None:
        _write(output, comparisons)
    if json:
        print_json(as_values(comparisons))
        return
    out.print(terminal_table(comparisons))
    for one in comparisons:
        out.print(f"\n{one.sample.name}: {about(one)}")
        for name, why in one.left_out.items():
            out.print(f"  left out: {name}: {why}")
    if any(row.transductive for one in comparisons for row in one.rows):
        out.print(f"\n{LEGEND}")
    if output is not None:
        err.print(f"\npage: {output / 'compare.html'}")


def choose_methods(names: list[str] | None) -> dict[str, Baseline]:
    """Title to method, of those in the option; without parameters they have their papers'."""
    known = baseline_names()
    smaller = [word for word in FOR_SMALL_CLASSES if word.partition(":")[0] in known]
    wanted = [*known, *smaller] if names is None else _words(names)
    found: dict[str, Baseline] = {}
    for name, *settings in (word.split(":") for word in wanted):
        values = {}
        for setting in settings:
            key, equals, value = setting.partition("=")
            if not (key and equals and value):
                raise InputError(
                    f"--methods: expected NAME:PARAMETER=VALUE, found {':'.join([name, *settings])}"
                )
            values[key] = value
        method = resolve(name, values)
        found[", ".join([method.title, *settings])] = method
    return found


def choose_models(names: list[str] | None) -> dict[str, kinfold.BuildConfig]:
    """Name to configuration; a chain that says what one before it says is left out."""
    found: dict[str, kinfold.BuildConfig] = {}
    for name in DEFAULT_MODELS if names is None else _words(names):
        chain = [] if name == "default" else [part.strip() for part in name.split("+")]
        config = kinfold.BuildConfig.checked({"similarity": chain} if chain else {})
        for spec in config.similarity:
            # Before anything is measured.
            resolve_model(spec)
        if config not in found.values():
            found[name] = config
    return found


def _words(values: list[str]) -> list[str]:
    """What commas and repeated options separate, each once; `none` gives nothing."""
    words = [word.strip() for value in values for word in value.split(",")]
    kept = list(dict.fromkeys(word for word in words if word))
    if not kept:
        raise InputError(f"compare: expected names separated by commas, or {NONE}, found none")
    if NONE in kept and len(kept) > 1:
        raise InputError(f"compare: expected {NONE} alone, found it beside {kept}")
    return [] if kept == [NONE] else kept


def measure_all(
    sample: Sample,
    methods: dict[str, Baseline],
    configs: dict[str, kinfold.BuildConfig],
    by_default: bool,
    progress: ProgressCallback,
) -> Comparison:
    """Everything on one sample.

    Where nobody named the methods (`by_default`), one that refuses the sample, say for its size,
    is left out with its reason.
    """
    rows: list[Row] = []
    left_out: dict[str, str] = {}
    total = len(methods) + len(configs)
    for done, (name, config) in enumerate(configs.items()):
        progress(Progress(sample.name, done, total, "methods"))
        rows += measure_index(name, config, sample, with_knn=done == 0)
    for done, (title, method) in enumerate(methods.items(), len(configs)):
        progress(Progress(sample.name, done, total, "methods"))
        try:
            rows.append(measure_method(title, method, sample))
        except InputError as error:
            if not by_default:
                raise
            left_out[title] = str(error)
    progress(Progress(sample.name, total, total, "methods"))
    rows.sort(key=lambda row: -row.mean_average_precision)
    return Comparison(sample, rows, left_out)


def _make(folder: Path) -> None:
    """Refuse a folder that cannot be written to before minutes of work."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StorageError(f"--output {folder}: cannot be written: {error.strerror}") from None


def _write(folder: Path, comparisons: list[Comparison]) -> None:
    values = json_format.dumps(as_values(comparisons), ensure_ascii=False, indent=1)
    try:
        for name, text in (
            ("compare.md", markdown(comparisons)),
            ("compare.json", values + "\n"),
            ("compare.html", page(comparisons)),
        ):
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"--output {folder}: cannot be written: {error.strerror}") from None
