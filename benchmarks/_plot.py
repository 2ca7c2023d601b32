"""Curves over a few places, side by side, written as SVG by hand."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, MARGIN = 300, 180, 50
COLOURS = ("steelblue", "darkorange", "seagreen", "firebrick")
TICKS = 4  # about as many lines across
LEGEND = 14  # pixels a line of it takes

Curve = Sequence[tuple[str, float]]


@dataclass(frozen=True)
class Panel:
    """One plot: curves by name, each with its values by place; places stand at equal distances.

    The vertical axis begins at zero.
    """

    title: str
    curves: Mapping[str, Curve]


def svg(panels: Sequence[Panel], title: str = "") -> str:
    """Panels from left to right, each with a legend where it has several curves."""
    width = MARGIN + len(panels) * (WIDTH + MARGIN)
    legend = LEGEND * max(len(panel.curves) for panel in panels)
    drawn = "".join(
        f'<g transform="translate({MARGIN + index * (WIDTH + MARGIN)},{2 * MARGIN})">'
        f"{_panel(one)}</g>"
        for index, one in enumerate(panels)
    )
    height = HEIGHT + 3 * MARGIN + legend
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        ' font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>'
        f'<text x="{MARGIN}" y="{MARGIN / 2}" font-size="15">{escape(title)}</text>{drawn}</svg>\n'
    )


def ticks(top: float) -> list[float]:
    """Round numbers from 0 until `top` or above is reached: multiples of 1, 2 or 5 times 10^n."""
    if top <= 0:
        return [0, 1]
    power = 10.0 ** math.floor(math.log10(top / TICKS))
    step = next(power * times for times in (1, 2, 5, 10) if power * times * TICKS >= top * 0.999)
    return [step * index for index in range(math.ceil(top / step - 0.001) + 1)]


def _panel(panel: Panel) -> str:
    places = list(dict.fromkeys(place for curve in panel.curves.values() for place, _ in curve))
    lines = ticks(max(value for curve in panel.curves.values() for _, value in curve))
    apart, tall = WIDTH / max(1, len(places) - 1), HEIGHT / lines[-1]
    drawn = (
        _curve(colour, [(apart * places.index(place), HEIGHT - tall * y) for place, y in curve])
        for colour, curve in zip(COLOURS, panel.curves.values(), strict=False)
    )
    return "".join(
        (
            f'<text y="-16" font-size="13">{escape(panel.title)}</text>',
            *(_line_across(HEIGHT - tall * value, f"{value:g}") for value in lines),
            *(_below(apart * index, escape(place)) for index, place in enumerate(places)),
            *drawn,
            *_legend([*panel.curves]),
        )
    )


def _line_across(y: float, words: str) -> str:
    return (
        f'<path d="M0,{y:.1f} H{WIDTH}" stroke="lightgrey"/>'
        f'<text x="-6" y="{y + 4:.1f}" text-anchor="end">{words}</text>'
    )


def _below(x: float, words: str) -> str:
    return f'<text x="{x:.1f}" y="{HEIGHT + 16}" text-anchor="middle">{words}</text>'


def _curve(colour: str, points: Sequence[tuple[float, float]]) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    marks = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>{marks}'


def _legend(names: Sequence[str]) -> Iterator[str]:
    """Below the places."""
    for index, (name, colour) in enumerate(zip(names, COLOURS, strict=False)):
        y = HEIGHT + 20 + LEGEND * (index + 1)
        yield f'<text y="{y}" fill="{colour}">{escape(name)}</text>'
