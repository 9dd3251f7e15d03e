"""The picture of the scaling benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

INK, GREY, BLUE = "#24292f", "#8a8f98", "#1f6feb"
COLORS = ("#2da44e", "#bf8700", "#a475f9", "#cf222e", "#0598bc", "#bc4c00", "#6e7781", "#e85aad")
KINDS = {"vectors": BLUE, "kNN index": "#79b8ff", "lists": "#a475f9", "C": "#2da44e", "items": GREY}
_WIDE = 1.22
_LEAST_SECONDS = 0.01


def plot(measured: list[dict[str, Any]], machine: dict[str, Any], path: Path) -> None:
    """Draw time by stage, memory, bytes an item and quality against the number of items."""
    figure = Figure(figsize=(11, 8), dpi=130, layout="constrained")
    axes = figure.subplots(2, 2)
    sizes = [one["rows"] for one in measured]
    _time(axes[0, 0], sizes, measured)
    _memory(axes[0, 1], sizes, measured)
    _bytes(axes[1, 0], sizes, measured)
    _quality(axes[1, 1], sizes, measured)
    for axis in axes.flat:
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(FixedLocator(sizes))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter(FuncFormatter(_short))
        axis.set_xlabel("items")
        axis.grid(alpha=0.25)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(
        f"Builds of n × {measured[-1]['dimension']}, {_parameters(measured[-1])}, "
        f"{machine['cores']} cores ({machine['processor']})",
        fontsize=11,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _time(axis: Axes, sizes: list[int], measured: list[dict[str, Any]]) -> None:
    axis.plot(sizes, [m["seconds"] for m in measured], color=INK, lw=2.2, marker="o", label="whole")
    names = dict.fromkeys(name for one in measured for name in one["stages"])
    # Those that take no time would only hide the others.
    shown = [n for n in names if max(m["stages"].get(n, 0.0) for m in measured) >= 0.1]
    shown.sort(key=lambda name: -measured[-1]["stages"].get(name, 0.0))
    for number, name in enumerate(shown):
        # Where there is no such stage, there is no point.
        values = [m["stages"].get(name, 0.0) for m in measured]
        values = [value if value >= _LEAST_SECONDS else float("nan") for value in values]
        axis.plot(
            sizes, values, color=COLORS[number % len(COLORS)], marker="o", markersize=3, label=name
        )
    last = measured[-1]["seconds"]
    axis.plot(sizes, [last * n / sizes[-1] for n in sizes], color=GREY, ls=":", lw=1, label="∝ n")
    axis.set_yscale("log")
    _plain_logarithmic(axis)
    axis.set_ylabel("seconds")
    axis.set_title("time of the build and its stages", fontsize=10)
    axis.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _memory(axis: Axes, sizes: list[int], measured: list[dict[str, Any]]) -> None:
    for key, label, color in (
        ("peak_bytes", "all of it, mapped files included", INK),
        ("own_bytes", "its own (anonymous)", BLUE),
        ("mapped_bytes", "pages of mapped files", GREY),
    ):
        values = [one[key] / 1e9 for one in measured]
        axis.plot(sizes, values, color=color, marker="o", markersize=4, label=label)
    axis.set_yscale("log")
    _plain_logarithmic(axis)
    axis.set_ylabel("GB at the peak")
    axis.set_title("memory of the building process", fontsize=10)
    axis.legend(frameon=False, fontsize=8)


def _bytes(axis: Axes, sizes: list[int], measured: list[dict[str, Any]]) -> None:
    kinds = [kind for kind in KINDS if any(one["files"].get(kind) for one in measured)]
    layers = [[one["files"].get(kind, 0) / one["rows"] for one in measured] for kind in kinds]
    below = [0.0] * len(sizes)
    for kind, layer in zip(kinds, layers, strict=True):
        # As wide to the left as to the right, on an axis of logarithms.
        axis.bar(
            [n / _WIDE for n in sizes],
            layer,
            [n * _WIDE - n / _WIDE for n in sizes],
            below,
            align="edge",
            color=KINDS[kind],
            label=kind,
        )
        below = [low + value for low, value in zip(below, layer, strict=True)]
    axis.set_ylim(0, 1.3 * max(sum(one["files"].values()) / one["rows"] for one in measured))
    axis.set_ylabel("bytes an item on disk")
    axis.set_title("size of a version", fontsize=10)
    axis.legend(frameon=False, fontsize=8, ncols=len(kinds), loc="upper left")


def _quality(axis: Axes, sizes: list[int], measured: list[dict[str, Any]]) -> None:
    axis.plot(sizes, [one["map"] for one in measured], color=BLUE, marker="o", label="mAP, default")
    axis.plot(
        sizes, [one["knn_map"] for one in measured], color=GREY, marker="o", label="mAP, plain kNN"
    )
    axis.plot(
        sizes,
        [100 * one["recall"] for one in measured],
        color=INK,
        ls="--",
        marker="s",
        markersize=4,
        label=f"recall@{measured[-1]['k_d']} of the neighbour lists",
    )
    for key in ("map", "knn_map"):
        for one in measured:
            axis.annotate(
                f"{one[key]:.0f}",
                (one["rows"], one[key]),
                xytext=(0, -13),
                textcoords="offset points",
                ha="center",
                fontsize=8,
            )
    axis.set_ylim(0, 104)
    axis.set_ylabel("%")
    axis.set_title("quality, queries held out, first 1000 ranks", fontsize=10)
    axis.legend(frameon=False, fontsize=8, loc="lower left")


def _parameters(one: dict[str, Any]) -> str:
    given = one.get("parameters") or {}
    return ", ".join(f"{name} = {value}" for name, value in given.items()) or "default parameters"


def _plain_logarithmic(axis: Axes) -> None:
    """Numbers as they are written, at 1, 2 and 5 of every power of ten."""
    axis.yaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_locator(NullLocator())


def _short(rows: float, _position: int) -> str:
    return f"{rows / 1e6:g}M" if rows >= 1e6 else f"{rows / 1e3:g}k"
