"""The demo's HTML report: one file, no script, nothing fetched from anywhere."""

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
figure { margin: 0; text-align: center; font-size: 11px; color: var(--soft); flex: none; }
figure img { width: 52px; height: 52px; display: block; border: 3px solid var(--soft);
  border-radius: 5px; image-rendering: pixelated; background: white; }
figure.right img { border-color: var(--good); }
figure.wrong img { border-color: var(--bad); border-style: dashed; }
figure.query img { border-color: transparent; outline: 2px solid #1f6feb; }
code { background: #8882; padding: .1rem .3rem; border-radius: 4px; }
pre { background: #8882; padding: .8rem; border-radius: 6px; overflow-x: auto; }
"""


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
        From a row to a data URL.
    """

    query_labels: AnyArray
    gallery_labels: AnyArray
    rankings: dict[str, Int64s]
    query_picture: Callable[[int], str]
    gallery_picture: Callable[[int], str]


def report_html(
    title: str,
    subtitle: str,
    results: list[Measured],
    plot: str,
    grid: Grid,
    chosen: dict[str, list[int]],
    footer: str,
) -> str:
    """The page.

    Parameters
    ----------
    plot:
        A data URL.
    chosen:
        A heading to the queries shown below it.
    footer:
        How to go on, as HTML.
    """
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1><p>{escape(subtitle)}</p>",
        _table(results),
        f"<img class='plot' src='{plot}' alt='mAP and precision at k of every model'>",
    ]
    for heading, queries in chosen.items():
        if queries:
            parts.append(f"<h2>{escape(heading)}</h2>")
            parts += [_query(grid, results, query) for query in queries]
    parts.append(f"<h2>Go on</h2>{footer}</body></html>")
    return "\n".join(parts)


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
    label = grid.query_labels[query]
    rows = [
        f"<section><div class='row'><b>query</b>"
        f"<figure class='query'><img src='{grid.query_picture(query)}' "
        f"alt='query, class {escape(str(label))}'>{escape(str(label))}</figure></div>"
    ]
    for result in results:
        figures = []
        for rank, item in enumerate(grid.rankings[result.model][query][:10], 1):
            right = grid.gallery_labels[item] == label
            name = escape(str(grid.gallery_labels[item]))
            verdict = "right" if right else "wrong"
            figures.append(
                f"<figure class='{verdict}'><img src='{grid.gallery_picture(int(item))}' "
                f"alt='rank {rank}, class {name}, {verdict}'>{name}</figure>"
            )
        precision = 100 * float(np.nan_to_num(result.average_precision[query]))
        rows.append(
            f"<div class='row'><b>{escape(result.model)}<br><small>AP {precision:.0f}</small></b>"
            f"{''.join(figures)}</div>"
        )
    return "".join(rows) + "</section>"
