"""Small drawings for pages: SVG paths, computed here, so that pages need no script for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from trueground.service.engine.job_insight import Step

WIDTH, HEIGHT = 600, 120


@dataclass(frozen=True, slots=True)
class Curve:
    """A line that rises from left to right."""

    line: str
    area: str
    width: int = WIDTH
    height: int = HEIGHT


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a row of bars."""

    x: float
    y: float
    width: float
    height: float
    label: str
    count: int


def curve(steps: Sequence[Step], highest: int) -> Curve | None:
    """Answers over time, up to ``highest``; ``None`` where there is nothing to draw."""
    if len(steps) < 2:
        return None
    start, seconds = steps[0].at, max((steps[-1].at - steps[0].at).total_seconds(), 1.0)
    top = max(highest, steps[-1].answers, 1)
    points = [
        f"{WIDTH * (step.at - start).total_seconds() / seconds:.1f} {HEIGHT - (HEIGHT - 2) * step.answers / top:.1f}"
        for step in steps
    ]
    line = "M" + " L".join(points)
    return Curve(line, f"{line} L{WIDTH} {HEIGHT} L0 {HEIGHT} Z")


def bars(days: Sequence[tuple[date, int]]) -> list[Bar]:
    """Answers a day."""
    top = max((count for _, count in days), default=0) or 1
    slot = WIDTH / max(len(days), 1)
    return [
        Bar(
            round(index * slot + slot * 0.15, 1),
            round(HEIGHT - (HEIGHT - 4) * count / top, 1),
            round(slot * 0.7, 1),
            round((HEIGHT - 4) * count / top, 1),
            f"{day:%d %b}",
            count,
        )
        for index, (day, count) in enumerate(days)
    ]
