"""Pictures of a training run, as inline SVG: no script, no outside request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.recommender.drawing import table
from apps.recommender.labels import METRICS, MODELS, decimal, loss_in_words

WIDTH, HEIGHT = 460, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 30, 34


@dataclass(frozen=True)
class Curve:
    key: str
    name: str
    colour: str


LOSSES = (
    Curve("loss_entrainement", "entraînement", "#2563eb"),
    Curve("loss_validation", "validation", "#d97706"),
)
QUALITY = (Curve("ndcg_validation", "validation", "#059669"),)


def training_curves(
    history: Sequence[dict[str, Any]], best_epoch: int | None, architecture: str
) -> SafeString:
    """Losses, and NDCG@10 on validation, per epoch; the best epoch is marked."""
    if not history:
        return SafeString("Aucune epoch terminée.")
    panels = (
        panel(f"Perte ({loss_in_words(architecture)})", LOSSES, history, best_epoch),
        panel("NDCG@10", QUALITY, history, best_epoch),
    )
    return format_html(
        '<div style="display:flex;flex-wrap:wrap;gap:1rem">{}{}</div>{}', *panels, _table(history)
    )


def panel(
    title: str,
    curves: Sequence[Curve],
    history: Sequence[dict[str, Any]],
    best_epoch: int | None,
    along: str = "epoch",
) -> SafeString:
    """One picture, that a page may hold and a file too; an entry of `history` per epoch.

    along: the key, and the name, of the whole numbers that `history` runs along.
    """
    epochs = [int(entry[along]) for entry in history]
    values = [float(entry[curve.key]) for curve in curves for entry in history]
    low, high = min(values), max(values)
    margin = (high - low) * 0.08 or abs(high) * 0.1 or 0.1
    scale = _Scale(epochs[0], epochs[-1], max(0.0, low - margin), high + margin)
    return format_html(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" role="img" aria-label="{}" '
        'style="flex:1 1 20rem;max-width:32rem;font:11px sans-serif" fill="currentColor">'
        '<text x="{}" y="16" font-size="13" font-weight="600">{}</text>{}{}{}{}</svg>',
        WIDTH,
        HEIGHT,
        f"{title} par {along}",
        LEFT,
        title,
        _grid(scale, along),
        _best(scale, best_epoch),
        format_html_join("", "{}", ((_line(scale, curve, history, along),) for curve in curves)),
        _legend(curves),
    )


@dataclass(frozen=True)
class _Scale:
    first: int
    last: int
    low: float
    high: float

    def x(self, epoch: float) -> float:
        share = (epoch - self.first) / ((self.last - self.first) or 1)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


_STEPS = [one * 10**power for power in range(9) for one in (1, 2, 5)]


def _grid(scale: _Scale, along: str) -> SafeString:
    levels = [scale.low + (scale.high - scale.low) * step / 4 for step in range(5)]
    step = next(step for step in _STEPS if scale.last - scale.first <= 10 * step)
    epochs = range(scale.first, scale.last + 1, step)
    return format_html(
        '{}{}<text x="{}" y="{}" text-anchor="end">{}</text>',
        format_html_join(
            "",
            '<line x1="{}" x2="{}" y1="{}" y2="{}" stroke="currentColor" stroke-opacity=".15"/>'
            '<text x="{}" y="{}" text-anchor="end">{}</text>',
            (
                (LEFT, WIDTH - RIGHT, y, y, LEFT - 6, y + 4, decimal(level, 3))
                for level in levels
                for y in (scale.y(level),)
            ),
        ),
        format_html_join(
            "",
            '<text x="{}" y="{}" text-anchor="middle">{}</text>',
            ((scale.x(epoch), HEIGHT - BOTTOM + 15, epoch) for epoch in epochs),
        ),
        WIDTH - RIGHT,
        HEIGHT - 4,
        along,
    )


def _best(scale: _Scale, best_epoch: int | None) -> SafeString:
    if best_epoch is None:
        return SafeString("")
    x = scale.x(best_epoch)
    return format_html(
        '<line x1="{}" x2="{}" y1="{}" y2="{}" stroke="currentColor" stroke-dasharray="4 3" '
        'stroke-opacity=".6"><title>meilleure epoch : {}</title></line>',
        x,
        x,
        TOP,
        HEIGHT - BOTTOM,
        best_epoch,
    )


def _line(scale: _Scale, curve: Curve, history: Sequence[dict[str, Any]], along: str) -> SafeString:
    points = [(scale.x(e[along]), scale.y(float(e[curve.key])), e) for e in history]
    return format_html(
        '<polyline points="{}" fill="none" stroke="{}" stroke-width="2"/>{}',
        " ".join(f"{x},{y}" for x, y, _ in points),
        curve.colour,
        format_html_join(
            "",
            '<circle cx="{}" cy="{}" r="2.5" fill="{}"><title>{} {} : {}</title></circle>',
            ((x, y, curve.colour, along, e[along], decimal(e[curve.key])) for x, y, e in points),
        ),
    )


def _legend(curves: Sequence[Curve]) -> SafeString:
    # A letter is about 6 wide.
    starts = accumulate((32 + 6 * len(curve.name) for curve in curves), initial=LEFT)
    return format_html_join(
        "",
        '<rect x="{}" y="{}" width="10" height="10" fill="{}"/><text x="{}" y="{}">{}</text>',
        (
            (x, HEIGHT - 13, curve.colour, x + 14, HEIGHT - 4, curve.name)
            for x, curve in zip(starts, curves, strict=False)
        ),
    )


def _table(history: Sequence[dict[str, Any]]) -> SafeString:
    return format_html(
        '<details style="margin-top:.5rem;position:relative">'
        '<summary style="display:list-item;cursor:pointer">Les mêmes chiffres en tableau</summary>'
        '<table style="margin-top:.5rem"><thead><tr><th>epoch</th><th>phase</th>'
        "<th>perte (entraînement)</th>"
        "<th>perte (validation)</th><th>NDCG@10</th><th>taux d'apprentissage</th>"
        "<th>secondes</th></tr></thead><tbody>{}</tbody></table></details>",
        format_html_join(
            "",
            '<tr style="text-align:right"><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>'
            "<td>{}</td><td>{}</td></tr>",
            (
                (
                    e["epoch"],
                    e.get("phase", ""),  # runs of before the phases have none
                    decimal(e["loss_entrainement"]),
                    decimal(e["loss_validation"]),
                    decimal(e["ndcg_validation"]),
                    f"{e['learning_rate']:g}".replace(".", ","),
                    decimal(e["secondes"], 1),
                )
                for e in history
            ),
        ),
    )


def quality_table(rows: dict[str, dict[str, Any]]) -> SafeString:
    """One line per model, one column per metric."""
    cells = (
        (
            MODELS.get(name, name),
            *(decimal(metrics[key]) if key in metrics else "–" for key in METRICS),
        )
        for name, metrics in rows.items()
    )
    return table(("modèle", *METRICS.values()), cells, "Qualité sur le test")
