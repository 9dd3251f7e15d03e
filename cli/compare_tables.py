"""A comparison as a terminal table, as Markdown, and as values for JSON."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

import kinfold
from cli.compare_measure import HITS, KINFOLD, Comparison, Row, depth_of
from kinfold.threads import available_cores

MARK = "†"
NOTHING = 1e-4
"""Seconds of preparation below which there was none."""
COLUMNS = ("mAP", "P@1", "ms/query", "memory", "prepared in")
LEGEND = (
    f"{MARK} transductive: all queries are in the graph at once, so that one query's answer uses "
    "the others; its milliseconds are the whole batch's by the number of queries. A service that "
    "answers one query cannot do this."
)
MEANING = (
    "mAP and P@1 in percent, of full rankings; queries are not in the gallery. ms/query: the "
    f"median time of one query alone until its {HITS} best items are known, on one "
    "thread. Memory: what is kept "
    "between queries, the gallery included, and the most that is allocated during one. Prepared "
    "in: offline work, before any query is known."
)


def label(row: Row) -> str:
    """The method's title, marked where it is transductive."""
    return f"{row.title} {MARK}" if row.transductive else row.title


def cells(row: Row) -> tuple[str, ...]:
    """A method's figures as text, one for each of `COLUMNS`."""
    return (
        f"{100 * row.mean_average_precision:.1f}",
        f"{100 * row.precision_at_1:.1f}",
        figure(row.milliseconds),
        megabytes(row.memory),
        "–" if row.preparation is None or row.preparation < NOTHING else time_of(row.preparation),
    )


def time_of(seconds: float) -> str:
    """Seconds, or milliseconds where they are few."""
    return f"{figure(seconds)} s" if seconds >= 0.1 else f"{figure(1000 * seconds)} ms"


def figure(value: float) -> str:
    """Three digits, without an exponent."""
    for least, digits in ((99.95, 0), (9.995, 1), (0.0995, 2)):
        if value >= least:
            return f"{value:,.{digits}f}"
    return f"{value:.3f}"


def megabytes(size: int) -> str:
    """Bytes as megabytes."""
    return f"{figure(size / 1e6)} MB"


def about(comparison: Comparison) -> str:
    """One line on the sample."""
    sample = comparison.sample
    n, d = sample.gallery.shape
    parts = [f"{n:,} items of {d} values, {sample.queries.shape[0]:,} queries"]
    if depth_of(sample) < n:
        parts.append(f"rankings cut at {depth_of(sample):,}")
    silent = sample.queries.shape[0] - sample.answered
    if silent:
        parts.append(f"{silent} queries without a relevant item do not count")
    return ", ".join(parts)


def machine() -> str:
    """Where it was measured."""
    return (
        f"{available_cores()} cores, {platform.machine()}, Python {platform.python_version()}, "
        f"NumPy {np.__version__}, Kinfold {kinfold.__version__}"
    )


def overall(comparisons: Sequence[Comparison]) -> list[tuple[str, list[Row | None]]]:
    """(title, its row in every comparison), by mean mAP; methods missing somewhere come last."""
    titles = dict.fromkeys(row.title for one in comparisons for row in one.rows)
    found: list[tuple[str, list[Row | None]]] = [
        (
            title,
            [next((row for row in one.rows if row.title == title), None) for one in comparisons],
        )
        for title in titles
    ]

    def rank(entry: tuple[str, list[Row | None]]) -> tuple[int, float]:
        there = [row.mean_average_precision for row in entry[1] if row is not None]
        return (len(comparisons) - len(there), -float(np.mean(there)))

    return sorted(found, key=rank)


def terminal_table(comparisons: Sequence[Comparison]) -> Table:
    """One sample with all columns; of several, mAP and milliseconds side by side."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("method")
    if len(comparisons) == 1:
        for name in COLUMNS:
            table.add_column(name, justify="right")
        table.add_column("source")
        for row in comparisons[0].rows:
            table.add_row(_styled(row, label(row)), *cells(row), row.source)
        return table
    for one in comparisons:
        table.add_column(f"{one.sample.name}\nmAP", justify="right", vertical="bottom")
        table.add_column("ms", justify="right", vertical="bottom")
    for _, rows in overall(comparisons):
        first = next(row for row in rows if row is not None)
        figures = []
        for one_row in rows:
            figures += ["–", "–"] if one_row is None else [cells(one_row)[0], cells(one_row)[2]]
        table.add_row(_styled(first, label(first)), *figures)
    return table


def _styled(row: Row, text: str) -> Text:
    return Text(text, style="bold" if row.kind == KINFOLD else "dim" if row.transductive else "")


def markdown(comparisons: Sequence[Comparison]) -> str:
    """The whole comparison as a page."""
    lines = ["# Kinfold beside query-time re-ranking", "", MEANING, ""]
    if len(comparisons) > 1:
        names = [one.sample.name for one in comparisons]
        lines += [
            "| method |" + "".join(f" {name}: mAP | ms |" for name in names),
            "|---|" + "---:|---:|" * len(names),
        ]
        for _, rows in overall(comparisons):
            first = next(row for row in rows if row is not None)
            figures = "".join(
                " – | – |" if row is None else f" {cells(row)[0]} | {cells(row)[2]} |"
                for row in rows
            )
            lines.append(f"| {_emphasised(first)} |{figures}")
        lines.append("")
    for one in comparisons:
        lines += [f"## {one.sample.name}", "", f"{about(one)}.", ""]
        lines += [
            "| method | " + " | ".join(COLUMNS) + " | transductive | source |",
            "|---|" + "---:|" * len(COLUMNS) + "---|---|",
        ]
        for row in one.rows:
            values = " | ".join(cells(row))
            mark = "yes" if row.transductive else "no"
            lines.append(f"| {_emphasised(row)} | {values} | {mark} | {row.source} |")
        lines.append("")
        for title, why in one.left_out.items():
            lines += [f"Left out: {title}: {why}", ""]
    lines += [LEGEND, "", f"Measured on {machine()}.", ""]
    return "\n".join(lines)


def _emphasised(row: Row) -> str:
    return f"**{label(row)}**" if row.kind == KINFOLD else label(row)


def as_values(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """The same for machines: every figure with its unit in its name."""
    return {
        "machine": machine(),
        "sets": [
            {
                "name": one.sample.name,
                "items": one.sample.gallery.shape[0],
                "dimension": one.sample.gallery.shape[1],
                "queries": one.sample.queries.shape[0],
                "queries_scored": one.sample.answered,
                "depth": depth_of(one.sample),
                "methods": [_values(row) for row in one.rows],
                "left_out": one.left_out,
            }
            for one in comparisons
        ],
    }


def _values(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "title": row.title,
        "kind": row.kind,
        "source": row.source,
        "transductive": row.transductive,
        "mAP": row.mean_average_precision,
        "P@1": row.precision_at_1,
        "ms_per_query": row.milliseconds,
        "timed": "batch" if row.transductive else "single queries",
        "memory_bytes": row.memory,
        "preparation_seconds": row.preparation,
        "parameters": row.parameters,
    }
