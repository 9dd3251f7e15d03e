"""Plots of an evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO

from cli.measure import Measured
from kinfold.errors import InputError, StorageError

COLORS = ("#8a8f98", "#1f6feb", "#2da44e", "#bf8700", "#a475f9", "#cf222e")
ENDINGS = (".png", ".svg")


def check_plot(path: Path) -> None:
    """Refuse a plot of another kind or place, before anything is measured for it."""
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"--plot {path}: expected a file ending in {' or '.join(ENDINGS)}")
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)


def plot_evaluation(results: list[Measured], title: str, path: Path) -> None:
    """Write mAP bars, and precision@k curves where the protocol has them, to a .png or .svg."""
    check_plot(path)
    buffer = BytesIO()
    draw_evaluation(results, title, buffer, path.suffix.lower().removeprefix("."))
    with _writing(path):
        path.write_bytes(buffer.getvalue())


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"--plot {path}: cannot be written: {error.strerror}") from None


def draw_evaluation(
    results: list[Measured], title: str, target: IO[bytes], kind: str = "png"
) -> None:
    """Draw the plot into an open binary file."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("plots need matplotlib: pip install 'kinfold[report]'") from None
    curves = [result for result in results if result.precision_curve is not None]
    figure = Figure(figsize=(9 if curves else 5, 3.4), dpi=150, layout="constrained")
    axes = figure.subplots(1, 2 if curves else 1, squeeze=False)[0]
    first = next(iter(results[0].figures))
    values = [100 * result.figures[first] for result in results]
    colors = [COLORS[number % len(COLORS)] for number in range(len(results))]
    bars = axes[0].bar([result.model for result in results], values, color=colors, width=0.6)
    axes[0].bar_label(bars, fmt="%.1f", padding=2)
    axes[0].set_ylim(0, 105)
    axes[0].set_ylabel(f"{first} (%)")
    for result, color in zip(results, colors, strict=True):
        if result.precision_curve is not None:
            curve = 100 * result.precision_curve
            ranks = range(1, curve.size + 1)
            axes[1].plot(ranks, curve, marker="o", markersize=3, color=color, label=result.model)
    if curves:
        axes[1].set_xlabel("k")
        axes[1].set_ylabel("precision@k (%)")
        axes[1].legend(frameon=False)
        axes[1].grid(alpha=0.25)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=11)
    figure.savefig(target, format=kind)
