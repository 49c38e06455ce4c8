"""Small charts as inline SVG, made by hand.

Horizontal places are per cent and vertical ones pixels, so a chart stretches with the page while its text keeps its
size. Colours are the page's own CSS classes, so a chart follows light, dark and print.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup, escape

BINS = 20


@dataclass(frozen=True, slots=True)
class Part:
    """One coloured part of a bar: a CSS class, its size, and what a reader sees when pointing at it."""

    kind: str
    size: float
    title: str = ""


def bar(parts: Sequence[Part], total: float, *, height: int = 18, label: str = "") -> Markup:
    """A horizontal bar of parts side by side; ``total`` is the size of the whole width."""
    shapes, place = [], 0.0
    for part in parts:
        width = 100 * part.size / total if total else 0.0
        if width > 0:
            shapes.append(
                f'<rect class="{escape(part.kind)}" x="{place:.3f}%" y="0" width="{width:.3f}%" height="{height}">'
                f"<title>{escape(part.title)}</title></rect>"
            )
        place += width
    return _svg("".join(shapes), height, label or ", ".join(part.title for part in parts if part.size), "bar")


def histogram(series: Mapping[str, Sequence[float]], *, height: int = 132, label: str = "") -> Markup | None:
    """Stacked columns of how many values in [0, 1] fall in each of twenty equal bins, from the lowest value up to 1.

    The keys of ``series`` are CSS classes, stacked in their order. ``None`` without values.
    """
    values = {kind: np.clip(np.asarray(list(items), dtype=float), 0, 1) for kind, items in series.items()}
    filled = [items for items in values.values() if items.size]
    if not filled:
        return None
    low = lowest(series)
    edges = np.linspace(low, 1.0, BINS + 1)
    counts = {kind: np.histogram(items, edges)[0] for kind, items in values.items()}
    top = max(1, int(np.sum(list(counts.values()), axis=0).max()))
    shapes = []
    for column in range(BINS):
        place = float(height)
        for kind, count in counts.items():
            size = int(count[column])
            if not size:
                continue
            # A column of one object among thousands must still be seen.
            tall = max(2.0, size / top * height)
            place -= tall
            title = f"{size:,} by {kind}: {edges[column]:.2f} to {edges[column + 1]:.2f}"
            shapes.append(
                f'<rect class="{escape(kind)}" x="{100 * column / BINS + 0.4:.2f}%" y="{max(place, 0):.1f}" '
                f'width="{100 / BINS - 0.8:.2f}%" height="{tall:.1f}"><title>{escape(title)}</title></rect>'
            )
    return _svg("".join(shapes), height, label, "histogram")


def lowest(series: Mapping[str, Sequence[float]]) -> float:
    """Where a histogram of these values begins: the tenth at or below the lowest, at most 0.9."""
    found = [min(items) for items in series.values() if len(items)]
    return max(0.0, min(0.9, math.floor(min(found, default=0.9) * 10) / 10))


def bound_scale(low: float, lower: float | None, estimate: float | None, promised: float | None, kind: str) -> Markup:
    """Where the true share of right labels lies, on a scale from ``low`` to 1.

    The band runs from the lower bound to 1, the dot is the estimate, the tick the promise.
    """

    def place(share: float) -> float:
        return 100 * min(1.0, max(0.0, (share - low) / (1 - low)))

    shapes = '<rect class="track" x="0" y="8" width="100%" height="6" rx="3"/>'
    words = []
    if lower is not None:
        start = place(lower)
        shapes += f'<rect class="{kind}" x="{start:.2f}%" y="8" width="{100 - start:.2f}%" height="6" rx="3"/>'
        words.append(f"at least {lower:.4f}")
    if estimate is not None:
        shapes += f'<circle class="{kind} dot" cx="{place(estimate):.2f}%" cy="11" r="6"/>'
        words.append(f"estimate {estimate:.4f}")
    if promised is not None:
        spot = place(promised)
        shapes += f'<line class="promise" x1="{spot:.2f}%" x2="{spot:.2f}%" y1="0" y2="22"/>'
        words.append(f"promised {promised:.4f}")
    return _svg(shapes, 22, ", ".join(words), "bound")


def intervals(nights: Sequence[Mapping[str, Any]], allowed: float, top: float, *, height: int = 180) -> Markup:
    """Where the error rate lay after each night, on a scale from 0 at the bottom to ``top``.

    Args:
        nights: each with ``night``, ``lower``, ``upper`` and ``estimate``, shares in [0, 1]; side by side.
        allowed: the promised error rate, a dashed line.
        top: the largest share that is shown; what lies above is cut.
        height: in pixels.
    """

    def place(share: float) -> float:
        return height * (1 - min(share, top) / top)

    shapes, width = '<rect class="open faint" x="0" y="0" width="100%" height="100%"/>', 100 / len(nights)
    for number, night in enumerate(nights):
        left, high, low = number * width, place(night["upper"]), place(night["lower"])
        title = f"{night['night']}: {night['lower']:.1%} to {night['upper']:.1%}"
        shapes += (
            f'<rect class="machine band" x="{left:.3f}%" y="{high:.1f}" width="{width:.3f}%" '
            f'height="{max(low - high, 1):.1f}"><title>{escape(title)}</title></rect>'
        )
        if night["estimate"] is not None:
            middle, spot = left + width / 2, place(max(night["estimate"], 0.0))
            shapes += f'<circle class="machine dot" cx="{middle:.3f}%" cy="{spot:.1f}" r="4"/>'
    spot = place(allowed)
    shapes += f'<line class="promise" x1="0" x2="100%" y1="{spot:.1f}" y2="{spot:.1f}"/>'
    return _svg(shapes, height, "The error rate over the nights", "intervals")


def scale_start(shares: Sequence[float | None]) -> float:
    """Where a scale that shows these shares begins: a step of 0.05 below the lowest, at most 0.9."""
    known = [share for share in shares if share is not None]
    return max(0.0, min(0.9, math.floor(min(known, default=1.0) * 20 - 1e-9) / 20))


def _svg(shapes: str, height: int, label: str, kind: str) -> Markup:
    attributes = f'class="chart {kind}" width="100%" height="{height}" role="img" aria-label="{escape(label)}"'
    return Markup(f"<svg {attributes}>{shapes}</svg>")
