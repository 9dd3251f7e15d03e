"""A comparison as one HTML page: no script, nothing fetched from anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from cli.compare_measure import KINFOLD, Comparison, Row
from cli.compare_plot import PLOT_STYLE, Point, plot_svg
from cli.compare_tables import (
    COLUMNS,
    LEGEND,
    MEANING,
    about,
    cells,
    label,
    machine,
    overall,
)

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1f2328; --soft: #656d76; --grid: #d8dee4;
  --accent: #0b5fd7; --method: #8250df; --tint: #0b5fd712; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171c; --ink: #e6e9ee; --soft: #98a2ae;
  --grid: #2c323a; --accent: #6cb0ff; --method: #c09bff; --tint: #6cb0ff1a; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; } h2 { margin: 2.2rem 0 0; }
p.soft, figcaption { color: var(--soft); } h1 + p, h2 + p { margin-top: .2rem; }
figure { margin: 1rem 0 0; }
figcaption { display: flex; flex-wrap: wrap; gap: .2rem 1.4rem; margin-left: 3.6rem; }
figcaption svg.plot { width: 16px; height: 16px; display: inline; vertical-align: -3px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .65rem; text-align: right; border-bottom: 1px solid var(--grid);
  white-space: nowrap; }
th { font-weight: 600; } thead th { color: var(--soft); }
th:first-child, td:first-child, th.text, td.text { text-align: left; }
th.group { text-align: center; } .first { border-left: 1px solid var(--grid); }
tr.kinfold { background: var(--tint); } tr.kinfold td:first-child { font-weight: 700;
  color: var(--accent); }
tr.transductive td { color: var(--soft); }
"""


def page(comparisons: Sequence[Comparison]) -> str:
    """The page: of several samples first an overview, then each with its picture and table."""
    title = "Kinfold beside query-time re-ranking"
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        # Without it a browser asks the server for an icon.
        "<link rel='icon' href='data:,'>",
        f"<title>{escape(title)}</title><style>{PLOT_STYLE}{STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1><p class='soft'>{escape(MEANING)}</p>",
    ]
    if len(comparisons) > 1:
        parts.append(_overview(comparisons))
    for one in comparisons:
        parts.append(f"<h2>{escape(one.sample.name)}</h2><p class='soft'>{escape(about(one))}</p>")
        parts.append(
            f"<figure>{plot_svg(points_of(one.rows), one.sample.name)}{_caption()}</figure>"
        )
        parts.append(_table(one.rows))
        parts += [
            f"<p class='soft'>Left out: {escape(name)}: {escape(why)}</p>"
            for name, why in one.left_out.items()
        ]
    parts.append(f"<p class='soft'>{escape(LEGEND)}</p>")
    parts.append(f"<p class='soft'>Measured on {escape(machine())}.</p></body></html>")
    return "\n".join(parts)


def points_of(rows: Sequence[Row]) -> list[Point]:
    """What the picture shows of each method."""
    return [
        Point(row.title, row.milliseconds, row.mean_average_precision, _look(row)) for row in rows
    ]


def _look(row: Row) -> str:
    if row.kind == KINFOLD:
        return "kinfold"
    return "transductive" if row.transductive else "method"


def _caption() -> str:
    """What the three marks mean."""
    looks = (
        ("<path class='kinfold' d='M8 1l7 7l-7 7l-7 -7z'/>", "Kinfold, pre-computed"),
        ("<circle class='method' cx='8' cy='8' r='5.5'/>", "at query time"),
        (
            "<circle class='transductive' cx='8' cy='8' r='5.5'/>",
            "transductive: all queries at once, time by their number",
        ),
    )
    words = "".join(
        f"<span><svg class='plot' viewBox='0 0 16 16' aria-hidden='true'>{mark}</svg> {text}</span>"
        for mark, text in looks
    )
    return f"<figcaption>{words}</figcaption>"


def _table(rows: Sequence[Row]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in COLUMNS)
    lines = []
    for row in rows:
        values = "".join(f"<td>{escape(value)}</td>" for value in cells(row))
        mark = "yes" if row.transductive else "no"
        lines.append(
            f"<tr class='{_look(row)}'><td>{escape(label(row))}</td>{values}"
            f"<td class='text'>{mark}</td><td class='text'>{escape(row.source)}</td></tr>"
        )
    return (
        f"<div class='wide'><table><thead><tr><th>method</th>{head}"
        "<th class='text'>transductive</th><th class='text'>source</th></tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _overview(comparisons: Sequence[Comparison]) -> str:
    groups = "".join(
        f"<th class='group first' colspan='3'>{escape(one.sample.name)}</th>" for one in comparisons
    )
    heads = "<th class='first'>mAP</th><th>P@1</th><th>ms</th>" * len(comparisons)
    lines = []
    for _, rows in overall(comparisons):
        known = next(row for row in rows if row is not None)
        values = ""
        for row in rows:
            three = ("–", "–", "–") if row is None else cells(row)[:3]
            values += f"<td class='first'>{three[0]}</td><td>{three[1]}</td><td>{three[2]}</td>"
        lines.append(f"<tr class='{_look(known)}'><td>{escape(label(known))}</td>{values}</tr>")
    return (
        f"<div class='wide'><table><thead><tr><th></th>{groups}</tr><tr><th>method</th>{heads}</tr>"
        f"</thead><tbody>{''.join(lines)}</tbody></table></div>"
    )
