"""Curves over a logarithmic axis, side by side, written as SVG by hand."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, MARGIN = 300, 180, 50
COLOURS = ("steelblue", "darkorange", "seagreen", "firebrick")

Curve = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """One plot: curves by name, points from left to right; y begins at zero."""

    title: str
    curves: Mapping[str, Curve]


def svg(panels: Sequence[Panel]) -> str:
    """Panels from left to right, each with a legend where it has several curves."""
    width = MARGIN + len(panels) * (WIDTH + MARGIN)
    drawn = "".join(
        f'<g transform="translate({MARGIN + index * (WIDTH + MARGIN)},{MARGIN})">{_panel(one)}</g>'
        for index, one in enumerate(panels)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{HEIGHT + 2 * MARGIN}"'
        ' font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>'
        f"{drawn}</svg>\n"
    )


def _panel(panel: Panel) -> str:
    points = [point for curve in panel.curves.values() for point in curve]
    places = sorted({x for x, _ in points})
    top = max(y for _, y in points) or 1
    first, last = math.log(places[0]), math.log(places[-1])

    def across(x: float) -> float:
        return WIDTH * (math.log(x) - first) / ((last - first) or 1)

    def up(y: float) -> float:
        return HEIGHT * (1 - y / top)

    axis = "".join(
        f'<text x="{across(x):.1f}" y="{HEIGHT + 16}" text-anchor="middle">{x:g}</text>'
        for x in places
    )
    lines = "".join(
        _line(name, colour, index, [(across(x), up(y), y) for x, y in curve])
        for index, ((name, curve), colour) in enumerate(
            zip(panel.curves.items(), COLOURS, strict=False)
        )
    )
    return (
        f'<text y="-22" font-size="13">{escape(panel.title)}</text>'
        f'<path d="M0,0 V{HEIGHT} H{WIDTH}" fill="none" stroke="black"/>{axis}{lines}'
    )


def _line(name: str, colour: str, index: int, points: Sequence[tuple[float, float, float]]) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
    marks = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
        f'<text x="{x:.1f}" y="{y - 6:.1f}" text-anchor="middle">{value:.3g}</text>'
        for x, y, value in points
    )
    return (
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>{marks}'
        f'<text x="8" y="{14 * index + 4}" fill="{colour}">{escape(name)}</text>'
    )
