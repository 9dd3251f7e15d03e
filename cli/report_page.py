"""A report on an evaluation as HTML: one file, no script, nothing fetched from anywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape

import numpy as np

from cli.measure import Measured
from kinfold.arrays import AnyArray, Int64s

STYLE = """
:root { color-scheme: light dark; --good: #2da44e; --bad: #cf222e; --soft: #8a8f98; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; } h1 + p { color: var(--soft); margin-top: .2rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .3rem .9rem .3rem 0; text-align: right; border-bottom: 1px solid #8884; }
th:first-child, td:first-child { text-align: left; }
img.plot { width: 100%; max-width: 54rem; background: white; border-radius: 6px; }
section { margin: 1.6rem 0; }
.row { display: flex; align-items: center; gap: .35rem; padding: .2rem; overflow-x: auto; }
.row b { width: 6.5rem; flex: none; font-weight: 600; }
figure { margin: 0; text-align: center; font-size: 11px; color: var(--soft); flex: none;
  max-width: 64px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
figure img, figure .none { width: 58px; height: 58px; display: block; border: 3px solid var(--soft);
  border-radius: 5px; background: white; object-fit: contain; box-sizing: border-box; }
figure .none { background: #8882; line-height: 52px; font-size: 18px; }
.pixels figure img { image-rendering: pixelated; }
table.gains td { padding: .1rem .9rem .1rem 0; } td.bar { width: 16rem; position: relative; }
td.bar::before { content: ""; position: absolute; left: 50%; top: 0; bottom: 0;
  border-left: 1px solid #8888; }
td.bar i { position: absolute; top: .3rem; bottom: .3rem; border-radius: 2px; }
td.bar i.up { left: 50%; background: var(--good); } td.bar i.down { right: 50%;
  background: var(--bad); }
figure.right img, figure.right .none { border-color: var(--good); }
figure.wrong img, figure.wrong .none { border-color: var(--bad); border-style: dashed; }
figure.query img, figure.query .none { border-color: #1f6feb; }
code { background: #8882; padding: .1rem .3rem; border-radius: 4px; }
pre { background: #8882; padding: .8rem; border-radius: 6px; overflow-x: auto; }
"""


MOST_LABELS = 12
"""Labels that are shown from either end."""


@dataclass(frozen=True, slots=True)
class Grid:
    """What a picture grid needs: who was asked, what came, what is right.

    Attributes
    ----------
    query_labels, gallery_labels:
        (m,) and (n,).
    rankings:
        Model name to (m, >= 10) gallery positions.
    query_picture, gallery_picture:
        From a row to a data URL; None: there is no picture of it.
    """

    query_labels: AnyArray
    gallery_labels: AnyArray
    rankings: dict[str, Int64s]
    query_picture: Callable[[int], str | None]
    gallery_picture: Callable[[int], str | None]


def report_html(
    title: str,
    subtitle: str,
    results: list[Measured],
    plot: str,
    grid: Grid,
    chosen: dict[str, list[int]],
    footer: str = "",
    *,
    pixels: bool = False,
) -> str:
    """The page.

    Parameters
    ----------
    results:
        Plain kNN first.
    plot:
        A data URL.
    chosen:
        A heading to the queries shown below it.
    footer:
        How to go on, as HTML.
    pixels:
        Whether the pictures are so small that every pixel is to be seen.
    """
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body{' class=pixels' if pixels else ''}>",
        f"<h1>{escape(title)}</h1><p>{escape(subtitle)}</p>",
        _table(results),
        f"<img class='plot' src='{plot}' alt='mAP and precision at k of every model'>",
        _gains(results, grid.query_labels),
    ]
    for heading, queries in chosen.items():
        if queries:
            parts.append(f"<h2>{escape(heading)}</h2>")
            parts += [_query(grid, results, query) for query in queries]
    if footer:
        parts.append(f"<h2>Go on</h2>{footer}")
    parts.append("</body></html>")
    return "\n".join(parts)


def _gains(results: list[Measured], labels: AnyArray) -> str:
    """Which labels gain and lose most by the first model, as bars to the right and left."""
    if len(results) < 2:
        return ""
    plain, best = results[0].average_precision, results[1].average_precision
    usable = ~np.isnan(plain) & ~np.isnan(best)
    names, codes = np.unique(labels[usable], return_inverse=True)
    if names.size < 2:
        return ""
    counts = np.bincount(codes)
    before = 100 * np.bincount(codes, plain[usable]) / counts
    after = 100 * np.bincount(codes, best[usable]) / counts
    order = np.argsort(before - after, kind="stable")
    if order.size > 2 * MOST_LABELS:
        order = np.concatenate([order[:MOST_LABELS], order[-MOST_LABELS:]])
    shown = f"{order.size} of {names.size}" if order.size < names.size else f"all {names.size}"
    rows = []
    for label in order:
        gain = after[label] - before[label]
        side = "up" if gain >= 0 else "down"
        bar = f"<i class='{side}' style='width:{min(50.0, abs(gain) / 2):.1f}%'></i>"
        rows.append(
            f"<tr><td>{escape(str(names[label]))}</td><td>{counts[label]}</td>"
            f"<td>{before[label]:.0f}</td><td>{after[label]:.0f}</td><td>{gain:+.0f}</td>"
            f"<td class='bar'>{bar}</td></tr>"
        )
    return (
        f"<h2>By label</h2><p>mAP of {escape(results[1].model)} beside {escape(results[0].model)}, "
        f"{shown} labels, the largest gain first.</p><table class='gains'><thead><tr><th>label</th>"
        f"<th>queries</th><th>{escape(results[0].model)}</th><th>{escape(results[1].model)}</th>"
        f"<th>gain</th><th></th></tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _figure(kind: str, picture: str | None, alt: str, caption: str) -> str:
    """One picture with its caption, or its caption alone."""
    image = (
        f"<img src='{picture}' alt='{escape(alt, quote=True)}'>"
        if picture
        else f"<span class='none' role='img' aria-label='{escape(alt, quote=True)}'>?</span>"
    )
    return f"<figure class='{kind}'>{image}{escape(caption)}</figure>"


def _table(results: list[Measured]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in results[0].figures)
    rows = []
    for result in results:
        cells = "".join(f"<td>{100 * value:.1f}</td>" for value in result.figures.values())
        rows.append(
            f"<tr><td>{escape(result.model)}</td>{cells}<td>{result.milliseconds:.2f}</td></tr>"
        )
    return (
        f"<table><thead><tr><th>model</th>{head}<th>ms/query</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _query(grid: Grid, results: list[Measured], query: int) -> str:
    label = str(grid.query_labels[query])
    asked = _figure("query", grid.query_picture(query), f"query, class {label}", label)
    rows = [f"<section><div class='row'><b>query</b>{asked}</div>"]
    for result in results:
        figures = []
        for rank, item in enumerate(grid.rankings[result.model][query][:10], 1):
            name = str(grid.gallery_labels[item])
            verdict = "right" if name == label else "wrong"
            alt = f"rank {rank}, class {name}, {verdict}"
            figures.append(_figure(verdict, grid.gallery_picture(int(item)), alt, name))
        precision = 100 * float(np.nan_to_num(result.average_precision[query]))
        rows.append(
            f"<div class='row'><b>{escape(result.model)}<br><small>AP {precision:.0f}</small></b>"
            f"{''.join(figures)}</div>"
        )
    return "".join(rows) + "</section>"
