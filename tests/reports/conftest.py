"""Made-up reports and what is read out of a page."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from html.parser import HTMLParser

import pytest
from PIL import Image

from trueground.reports import (
    Accuracy,
    Bound,
    Change,
    CheckLine,
    ClassCount,
    LabelReport,
    Link,
    Round,
    Sample,
    Verification,
    Worker,
)

VOID = {"meta", "img", "br", "hr", "link", "input", "col", "wbr"}


@dataclass
class Page(HTMLParser):
    """A page taken apart: its words, tags, and whether every tag is closed in its place."""

    html: str
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).replace("\u00a0", " ").split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def take_apart() -> type[Page]:
    return Page


@pytest.fixture
def png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (640, 480), "#336699").save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def report(png: bytes) -> LabelReport:
    return LabelReport(
        project="digits",
        description="Which digit do you see?",
        run="scheduled__2026-11-23",
        started="23 November 2026, 00:00 UTC",
        finished="23 November 2026, 00:07 UTC",
        objects=1797,
        people=642,
        machine=1155,
        answers=1990,
        workers_per_object=3,
        accuracy=Accuracy(
            confidence=0.95,
            promised=0.98,
            people=Bound(
                objects=642, lower=0.98699, estimate=0.9953, audited=120, wrong=0, method="A sample was judged."
            ),
            machine=Bound(objects=1155, lower=0.9823, estimate=0.9948, audited=212, wrong=1),
            overall=Bound(objects=1797, lower=0.98369, estimate=0.995),
        ),
        rounds=(
            Round(number=1, people=150, machine=0, open=1647),
            Round(number=2, people=642, machine=1155, open=0, audited=82),
        ),
        classes=(ClassCount(name="3", people=300, machine=600), ClassCount(name="8", people=342, machine=555)),
        confidences={"people": (0.62, 0.9, 1.0), "machine": (0.97, 0.99)},
        workers=(Worker(name="ana", answers=1200, accuracy=0.991, seconds=2.14), Worker(name="bo", answers=790)),
        agreement=0.93,
        verification=Verification(
            judged=310, rejected=9, adjusted=6, changes=(Change(before="8", after="3", count=6),)
        ),
        samples=tuple(Sample(key=f"s3://b/{i}.png", label="38"[i % 2], confidence=0.9, image=png) for i in range(30)),
        least_sure=(Sample(key="s3://b/doubt.png", label="8", confidence=0.41, human=False, image=b"not an image"),),
        corrected=(Sample(key="s3://b/corrected.png", label="3", before="8", image=png),),
        links=(Link(name="Table", uri="s3://b/labels.parquet"), Link(name="Card", uri="file:///srv/certificate.json")),
        checks=(CheckLine(name="Every object has a label", passed=True), CheckLine(name="No rare class", passed=False)),
    )
