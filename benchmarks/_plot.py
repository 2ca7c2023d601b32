"""A small plot of several loads, written as SVG by hand."""

from collections.abc import Sequence
from html import escape

from benchmarks._report import Level

WIDTH, HEIGHT, MARGIN = 260, 180, 40
CURVES = (
    ("time to first token, ms (p50)", "ttft_ms_p50"),
    ("between tokens, ms (p50)", "itl_ms_p50"),
    ("output tokens a second", "output_tokens_per_s"),
)


def svg(title: str, levels: Sequence[Level]) -> str:
    """Three curves side by side, one point a load, each axis from zero."""
    panels = "".join(
        f'<g transform="translate({MARGIN + index * (WIDTH + MARGIN)},{2 * MARGIN})">'
        f"{_panel(name, [row.load for row in levels], [getattr(row, key) or 0 for row in levels])}"
        "</g>"
        for index, (name, key) in enumerate(CURVES)
    )
    width = MARGIN + len(CURVES) * (WIDTH + MARGIN)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{HEIGHT + 4 * MARGIN}"'
        ' font-family="sans-serif" font-size="11">'
        '<rect width="100%" height="100%" fill="white"/>'
        f'<text x="{MARGIN}" y="24" font-size="15">{escape(title)}</text>{panels}</svg>\n'
    )


def _panel(name: str, loads: Sequence[str], values: Sequence[float]) -> str:
    top = max(values) or 1
    step = WIDTH / max(1, len(values) - 1)
    points = [(index * step, HEIGHT * (1 - value / top)) for index, value in enumerate(values)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    marks = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="steelblue"/>'
        f'<text x="{x:.1f}" y="{y - 7:.1f}" text-anchor="middle">{value:.4g}</text>'
        f'<text x="{x:.1f}" y="{HEIGHT + 16}" text-anchor="middle">{escape(load)}</text>'
        for (x, y), value, load in zip(points, values, loads, strict=True)
    )
    return (
        f'<text y="-22">{escape(name)}</text>'
        f'<path d="M0,0 V{HEIGHT} H{WIDTH}" fill="none" stroke="black"/>'
        f'<polyline points="{line}" fill="none" stroke="steelblue" stroke-width="2"/>{marks}'
    )
