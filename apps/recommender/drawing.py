"""Pictures of figures, as inline SVG, each with the same figures as a table; no script.

Words are HTML around the SVG, so that they wrap on a phone; colours read by day and by night.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, cycle
from typing import NamedTuple

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.recommender.labels import decimal, signed

COLOURS = ("#2563eb", "#d97706", "#059669", "#db2777", "#7c3aed", "#0891b2", "#65a30d", "#64748b")
# Whoever tells no colours apart tells these.
DASHES = ("none", "7 3", "2 3", "9 3 2 3")

WIDTH, HEIGHT = 460, 200
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 8, 22

Cells = Sequence[object]


def figure(
    title: str,
    picture: SafeString,
    headers: Sequence[str],
    rows: Iterable[Cells],
    *,
    note: str = "",
) -> SafeString:
    """A picture, what it shows, and its figures for who cannot see it."""
    return format_html(
        '<figure class="picture"><figcaption>{}</figcaption>{}{}'
        "<details><summary>Les mêmes chiffres en tableau</summary>{}</details></figure>",
        title,
        format_html("<p>{}</p>", note) if note else "",
        picture,
        table(headers, rows, title),
    )


def table(
    headers: Sequence[str], rows: Iterable[Cells], title: str, look: str = "numbers"
) -> SafeString:
    """It scrolls in its own box where it is too wide; the first cell of a row names it.

    look: `numbers` or `words`, by what its cells hold.
    """
    return format_html(
        '<div class="scrolls" tabindex="0" role="region" aria-label="{}"><table class="{}">'
        "<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>",
        title,
        look,
        format_html_join("", '<th scope="col">{}</th>', ((header,) for header in headers)),
        format_html_join(
            "",
            '<tr><th scope="row">{}</th>{}</tr>',
            (
                (name, format_html_join("", "<td>{}</td>", ((cell,) for cell in cells)))
                for name, *cells in rows
            ),
        ),
    )


def bars(title: str, values: Mapping[str, float]) -> SafeString:
    """One bar a value, from nought; so many names below as there is room for."""
    top = _ceiling(max(values.values(), default=0))
    width = (WIDTH - LEFT - RIGHT) / max(len(values), 1)
    return _svg(
        title,
        _levels(top),
        format_html_join(
            "",
            '<rect x="{}" y="{}" width="{}" height="{}" fill="{}"><title>{} : {}</title></rect>',
            (
                (
                    round(LEFT + width * (place + 0.1), 1),
                    _y(value, top),
                    round(width * 0.8, 1),
                    round(HEIGHT - BOTTOM - _y(value, top), 1),
                    COLOURS[0],
                    name,
                    _short(value),
                )
                for place, (name, value) in enumerate(values.items())
            ),
        ),
        _names(list(values), width),
    )


def stacked(title: str, columns: Mapping[str, Mapping[str, float]]) -> SafeString:
    """One column a name, cut by the shares of its parts, which add up to 1; with its legend."""
    parts = list(dict.fromkeys(part for shares in columns.values() for part in shares))
    colours = dict(zip(parts, cycle(COLOURS), strict=False))
    width = (WIDTH - LEFT - RIGHT) / max(len(columns), 1)
    cells = [
        (
            round(LEFT + width * (place + 0.1), 1),
            _y(below + share, 1),
            round(width * 0.8, 1),
            round(_y(below, 1) - _y(below + share, 1), 1),
            colours[part],
            f"{name}, {part} : {share:.0%}",
        )
        for place, (name, shares) in enumerate(columns.items())
        for (part, share), below in zip(
            shares.items(), accumulate(shares.values(), initial=0.0), strict=False
        )
    ]
    drawn = format_html_join(
        "",
        '<rect x="{}" y="{}" width="{}" height="{}" fill="{}"><title>{}</title></rect>',
        cells,
    )
    picture = _svg(title, _levels(1, percent=True), drawn, _names(list(columns), width))
    return format_html("{}{}", picture, legend(colours))


def lines(title: str, series: Mapping[str, Sequence[tuple[float, float]]]) -> SafeString:
    """One line a name, through its points (x, y); with its legend."""
    points = [point for line in series.values() for point in line]
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    low, high = _around([y for _, y in points])

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (x - left) / ((right - left) or 1) * (WIDTH - LEFT - RIGHT)
        return round(across, 1), _y(y - low, high - low)

    # Marked, for a line of one point is nothing to see.
    drawn = format_html_join(
        "",
        '<polyline points="{0}" fill="none" stroke="{1}" stroke-width="2" stroke-dasharray="{2}"/>'
        "{3}",
        (
            (
                " ".join(f"{x},{y}" for x, y in placed),
                colour,
                dash,
                format_html_join(
                    "",
                    '<circle cx="{}" cy="{}" r="2.5" fill="{}"/>',
                    ((x, y, colour) for x, y in placed),
                ),
            )
            for line, colour, dash in zip(series.values(), cycle(COLOURS), cycle(DASHES))
            for placed in ([place(*point) for point in line],)
        ),
    )
    ends = format_html(
        '<text x="{}" y="{}">{}</text><text x="{}" y="{}" text-anchor="end">{}</text>',
        *(LEFT, HEIGHT - 6, f"{left:g}", WIDTH - RIGHT, HEIGHT - 6, f"{right:g}"),
    )
    picture = _svg(title, _levels(high, low), drawn, ends)
    return format_html("{}{}", picture, legend(dict(zip(series, cycle(COLOURS), strict=False))))


class Interval(NamedTuple):
    name: str
    value: float
    low: float
    high: float


def intervals(title: str, rows: Sequence[Interval]) -> SafeString:
    """One line a row: the value, how far it may be off, and where nought is."""
    low, high = _around([0.0, *(end for row in rows for end in (row.low, row.high))])
    height = 36 * len(rows) + BOTTOM

    def x(value: float) -> float:
        return round(LEFT + (value - low) / (high - low) * (WIDTH - 2 * LEFT), 1)

    drawn = format_html_join(
        "",
        '<text x="{left}" y="{text}">{name}</text>'
        '<line x1="{low}" x2="{high}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="3"/>'
        '<circle cx="{value}" cy="{y}" r="5" fill="{colour}"><title>{name} : {said}</title>'
        "</circle>",
        (
            {
                "left": 4,
                "text": 36 * place + 15,
                "name": row.name,
                "low": x(row.low),
                "high": x(row.high),
                "value": x(row.value),
                "y": 36 * place + 28,
                "said": f"{signed(row.value)} [{signed(row.low)} ; {signed(row.high)}]",
                "colour": COLOURS[0],
            }
            for place, row in enumerate(rows)
        ),
    )
    # Beside each row, not through its name.
    nought = format_html_join(
        "",
        '<line x1="{0}" x2="{0}" y1="{1}" y2="{2}" stroke="currentColor" stroke-opacity=".6"/>',
        ((x(0.0), 36 * place + 20, 36 * place + 36) for place in range(len(rows))),
    )
    below = format_html(
        '<text x="{}" y="{}" text-anchor="middle">0</text>', x(0.0), height - BOTTOM + 15
    )
    return _svg(title, nought, below, drawn, height=height)


def legend(colours: Mapping[str, str]) -> SafeString:
    return format_html(
        '<ul class="legend">{}</ul>',
        format_html_join(
            "",
            '<li><svg viewBox="0 0 10 10" aria-hidden="true"><rect width="10" height="10" '
            'fill="{}"/></svg>{}</li>',
            ((colour, name) for name, colour in colours.items()),
        ),
    )


def _svg(title: str, *drawn: SafeString, height: int = HEIGHT) -> SafeString:
    return format_html(
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}" fill="currentColor">{}</svg>',
        *(WIDTH, height, title, format_html_join("", "{}", ((part,) for part in drawn))),
    )


def _y(value: float, top: float) -> float:
    return round(HEIGHT - BOTTOM - value / (top or 1) * (HEIGHT - TOP - BOTTOM), 1)


def _levels(top: float, low: float = 0.0, *, percent: bool = False) -> SafeString:
    levels = [low + (top - low) * step / 4 for step in range(5)]
    return format_html_join(
        "",
        '<line x1="{0}" x2="{1}" y1="{2}" y2="{2}" stroke="currentColor" stroke-opacity=".15"/>'
        '<text x="{3}" y="{4}" text-anchor="end">{5}</text>',
        (
            (LEFT, WIDTH - RIGHT, y, LEFT - 6, y + 4, f"{level:.0%}" if percent else _short(level))
            for level in levels
            for y in (_y(level - low, top - low),)
        ),
    )


def _names(names: Sequence[str], width: float) -> SafeString:
    """Below the columns, one in so many; on a phone a name is about 40 wide."""
    step = math.ceil(46 / width)
    return format_html_join(
        "",
        '<text x="{}" y="{}" text-anchor="middle">{}</text>',
        (
            (round(LEFT + width * (place + 0.5), 1), HEIGHT - 6, name)
            for place, name in enumerate(names)
            if place % step == 0
        ),
    )


def _ceiling(value: float) -> float:
    """A round number that is no less, and whose quarters are round."""
    power = 10 ** math.floor(math.log10(value)) if value > 0 else 1
    return next(one * power for one in (1, 2, 4, 6, 8, 10) if one * power >= max(value, 4))


def _around(values: Sequence[float]) -> tuple[float, float]:
    """With a margin; from nought at the least where nothing is below it."""
    low, high = min(values), max(values)
    margin = (high - low) * 0.08 or abs(high) * 0.1 or 0.1
    return (low - margin if low < 0 else max(0.0, low - margin)), high + margin


def _short(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else decimal(value, 3)
