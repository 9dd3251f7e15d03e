"""Quality against milliseconds as an SVG picture that follows the page's colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 900, 520
LEFT, RIGHT, TOP, BOTTOM = 58, 24, 34, 50
_CHARACTER = 6.9
_LINE = 14.0
_RADIUS = 5.5
_FAR = 15.0
_DIRECTIONS = (0, 180, 90, 270, 30, 330, 150, 210, 60, 300, 120, 240, 15, 345, 165, 195, 75, 285)
_REACHES = (9, 16, 26, 38, 52, 68, 86, 106, 130, 160)


@dataclass(frozen=True, slots=True)
class Point:
    """A method in the picture: `look` is ``kinfold``, ``method`` or ``transductive``."""

    label: str
    milliseconds: float
    quality: float
    look: str


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle: left, top, right, bottom."""

    x0: float
    y0: float
    x1: float
    y1: float

    def overlap(self, other: Box) -> float:
        """The area that both cover."""
        width = min(self.x1, other.x1) - max(self.x0, other.x0)
        height = min(self.y1, other.y1) - max(self.y0, other.y0)
        return width * height if width > 0 and height > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Placed:
    """A label with its place, and the point that it belongs to."""

    point: Point
    x: float
    y: float
    box: Box


def place_labels(points: Sequence[Point]) -> list[Placed]:
    """Put every label where it covers neither a point nor another label, near its own point.

    Kinfold's labels choose first, then the best methods'; each tries directions around its point,
    farther and farther away.
    """
    scale = _Scale(points)
    markers = [_marker_box(*scale.at(point)) for point in points]
    frame = Box(LEFT + 2, TOP - 12, WIDTH - 4, HEIGHT - BOTTOM - 2)
    taken = list(markers)
    leaders: list[Box] = []
    placed = []
    for point in sorted(points, key=lambda point: (point.look != "kinfold", -point.quality)):
        x, y = scale.at(point)
        box = _free_box(x, y, point, taken, leaders, frame)
        taken.append(box)
        leaders += _along(x, y, box)
        placed.append(Placed(point, x, y, box))
    return placed


def _free_box(
    x: float, y: float, point: Point, taken: Sequence[Box], leaders: Sequence[Box], frame: Box
) -> Box:
    """The nearest rectangle that covers nothing, or else the one that covers least.

    A line across a label can be read, a label across a label cannot.
    """
    boxes = [_beside(x, y, reach, turn, point) for reach in _REACHES for turn in _DIRECTIONS]

    def covered(box: Box) -> float:
        outside = (box.x1 - box.x0) * (box.y1 - box.y0) - box.overlap(frame)
        hard = max(0.0, outside - 1e-6) + sum(box.overlap(other) for other in taken)
        crossed = sum(box.overlap(other) for other in leaders)
        pieces = _along(x, y, box)
        crossed += sum(piece.overlap(other) for piece in pieces for other in (*taken, *leaders))
        return 100 * hard + crossed

    free = next((box for box in boxes if covered(box) == 0), None)
    return free or min(boxes, key=covered)


def _end(x: float, y: float, box: Box) -> tuple[float, float] | None:
    """Where a label's leader ends, if it stands so far from its point that it needs one."""
    end = min(max(x, box.x0), box.x1), min(max(y, box.y0), box.y1)
    return end if math.dist((x, y), end) >= _FAR else None


def _along(x: float, y: float, box: Box) -> list[Box]:
    """Small rectangles along a leader, outside its own marker."""
    end = _end(x, y, box)
    if end is None:
        return []
    length = math.dist((x, y), end)
    steps = [_RADIUS + 5 + 4 * step for step in range(int(max(0.0, length - _RADIUS - 8) / 4) + 1)]
    places = [(x + (end[0] - x) * s / length, y + (end[1] - y) * s / length) for s in steps]
    return [Box(a - 1, b - 1, a + 1, b + 1) for a, b in places]


def _marker_box(x: float, y: float) -> Box:
    size = _RADIUS + 2
    return Box(x - size, y - size, x + size, y + size)


def _beside(x: float, y: float, reach: float, degrees: int, point: Point) -> Box:
    """The label's rectangle, its nearest edge `reach` away from the point."""
    width = 5 + _CHARACTER * len(point.label) * (1.08 if point.look == "kinfold" else 1)
    angle = math.radians(degrees)
    across, up = math.cos(angle), math.sin(angle)
    middle_x = x + reach * across + across * width / 2
    middle_y = y - reach * up - up * _LINE / 2
    return Box(
        middle_x - width / 2, middle_y - _LINE / 2, middle_x + width / 2, middle_y + _LINE / 2
    )


class _Scale:
    """From milliseconds (logarithmic) and quality in percent to places in the picture."""

    def __init__(self, points: Sequence[Point]) -> None:
        logs = [math.log10(point.milliseconds) for point in points]
        room = 0.12 * max(1.0, max(logs) - min(logs))
        self.first, self.last = min(logs) - room, max(logs) + 2 * room
        values = [100 * point.quality for point in points]
        self.step = _nice((max(values) - min(values)) / 6)
        self.low = self.step * math.floor((min(values) - 0.3 * self.step) / self.step)
        above = self.step * math.ceil((max(values) + 0.3 * self.step) / self.step)
        self.high = min(above, 100.0) if max(values) < 100 else above

    def x(self, milliseconds: float) -> float:
        """Place of a time."""
        share = (math.log10(milliseconds) - self.first) / (self.last - self.first)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, percent: float) -> float:
        """Place of a quality."""
        share = (percent - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def at(self, point: Point) -> tuple[float, float]:
        """Place of a point."""
        return self.x(point.milliseconds), self.y(100 * point.quality)


def _nice(step: float) -> float:
    """The next of 0.1, 0.2, 0.5, 1, 2, 5, … that is not smaller."""
    step = max(step, 0.1)
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * part for part in (1, 2, 5, 10) if power * part >= step * (1 - 1e-9))


def plot_svg(points: Sequence[Point], name: str) -> str:
    """The picture, for a page that defines the classes of `PLOT_STYLE`."""
    scale = _Scale(points)
    parts = [
        f"<svg class='plot' viewBox='0 0 {WIDTH} {HEIGHT}' role='img' "
        f"aria-label='{escape(name, quote=True)}: mAP against milliseconds a query'>"
    ]
    parts += _grid(scale)
    placed = place_labels(points)
    parts += [_leader(one) for one in placed]
    parts += [_marker(one) for one in placed]
    parts += [_text(one) for one in placed]
    return "\n".join([*parts, "</svg>"])


def _grid(scale: _Scale) -> list[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    value = scale.low
    while value <= scale.high + 1e-9:
        y = scale.y(value)
        parts.append(f"<line class='grid' x1='{LEFT}' x2='{right}' y1='{y:.1f}' y2='{y:.1f}'/>")
        parts.append(
            f"<text class='axis' x='{LEFT - 8}' y='{y + 4:.1f}' text-anchor='end'>{value:g}</text>"
        )
        value += scale.step
    for power in range(math.floor(scale.first), math.ceil(scale.last) + 1):
        for part in (1, 2, 5):
            milliseconds = part * 10.0**power
            if not scale.first <= math.log10(milliseconds) <= scale.last:
                continue
            x = scale.x(milliseconds)
            look = "grid" if part == 1 else "grid fine"
            parts.append(
                f"<line class='{look}' x1='{x:.1f}' x2='{x:.1f}' y1='{TOP}' y2='{bottom}'/>"
            )
            parts.append(
                f"<text class='axis' x='{x:.1f}' y='{bottom + 17}' text-anchor='middle'>"
                f"{milliseconds:g}</text>"
            )
    middle = (LEFT + right) / 2
    parts.append(
        f"<text class='axis' x='{middle:.0f}' y='{HEIGHT - 12}' text-anchor='middle'>"
        "milliseconds a query, logarithmic: faster to the left</text>"
    )
    parts.append(f"<text class='axis' x='{LEFT - 40}' y='{TOP - 16}'>mAP (%)</text>")
    return parts


def _leader(one: Placed) -> str:
    """A thin line to a label that had to move away from its point."""
    end = _end(one.x, one.y, one.box)
    if end is None:
        return ""
    x, y = end
    return f"<line class='leader' x1='{one.x:.1f}' y1='{one.y:.1f}' x2='{x:.1f}' y2='{y:.1f}'/>"


def _text(one: Placed) -> str:
    """The label, held at the edge that faces its point: fonts differ in width."""
    x, anchor = (one.box.x0 + one.box.x1) / 2, "middle"
    if one.box.x0 >= one.x:
        x, anchor = one.box.x0, "start"
    elif one.box.x1 <= one.x:
        x, anchor = one.box.x1, "end"
    return (
        f"<text class='{one.point.look}' x='{x:.1f}' y='{one.box.y1 - 3.5:.1f}' "
        f"text-anchor='{anchor}'>{escape(one.point.label)}</text>"
    )


def _marker(one: Placed) -> str:
    point = one.point
    words = f"{point.label}: mAP {100 * point.quality:.1f} %, {point.milliseconds:.3g} ms a query"
    title = f"<title>{escape(words)}</title>"
    if point.look == "kinfold":
        r = _RADIUS + 2
        path = f"M{one.x:.1f} {one.y - r:.1f}l{r} {r}l{-r} {r}l{-r} {-r}z"
        return f"<path class='kinfold' d='{path}'>{title}</path>"
    return (
        f"<circle class='{point.look}' cx='{one.x:.1f}' cy='{one.y:.1f}' r='{_RADIUS}'>"
        f"{title}</circle>"
    )


PLOT_STYLE = """
svg.plot { width: 100%; height: auto; display: block; font: 12px system-ui, sans-serif; }
.plot .grid { stroke: var(--grid); stroke-width: 1; }
.plot .fine { stroke-dasharray: 1 4; }
.plot .leader { stroke: var(--soft); stroke-width: .8; }
.plot text { fill: var(--ink); }
.plot text.axis { fill: var(--soft); }
.plot text.kinfold { fill: var(--accent); font-weight: 700; }
.plot text.transductive { fill: var(--soft); }
.plot circle.method { fill: var(--method); stroke: var(--paper); stroke-width: 1.5; }
.plot circle.transductive { fill: var(--paper); stroke: var(--method); stroke-width: 1.8; }
.plot path.kinfold { fill: var(--accent); stroke: var(--paper); stroke-width: 1.5; }
"""
