"""The pages: one self-contained HTML file each, without scripts, fonts or pictures from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined

from trueground.reports import charts
from trueground.reports.data import LabelReport, Sample
from trueground.reports.images import data_uri

if TYPE_CHECKING:
    from trueground.manifests import ManifestReport
    from trueground.quality.expectations import Checks

CLASSES_SHOWN = 16
"""Classes in the chart and sample rows; more are folded away as a plain list."""
SAMPLES_A_CLASS = 10
TEXTS_A_CLASS = 6
SAMPLES_A_LIST = 40
CHANGES_SHOWN = 20
WORKERS_SHOWN = 30
TEXT_SHOWN = 240
GROUPS_SHOWN = 20
NIGHTS_SHOWN = 30


def render_label_report(report: LabelReport) -> str:
    """The report of one labeling run as one HTML page.

    Shows at most ``SAMPLES_A_CLASS`` samples of each of ``CLASSES_SHOWN`` classes and ``SAMPLES_A_LIST`` in the other
    lists, so the page stays small whatever it is given.
    """
    classes = sorted(report.classes, key=lambda item: -(item.people + item.machine))
    order = [item.name for item in classes]
    by_class: dict[str, list[Sample]] = {name: [] for name in order[:CLASSES_SHOWN]}
    for sample in report.samples:
        if not classes and len(by_class) < CLASSES_SHOWN:
            by_class.setdefault(sample.label, [])
        chosen = by_class.get(sample.label)
        if chosen is not None and len(chosen) < (TEXTS_A_CLASS if sample.text else SAMPLES_A_CLASS):
            chosen.append(sample)
    accuracy = report.accuracy
    bounds = [accuracy.people, accuracy.machine, accuracy.overall] if accuracy else []
    shares = [share for bound in bounds if bound for share in (bound.lower, bound.estimate)]
    return _page(
        "label_report.html",
        report=report,
        open=max(0, report.objects - report.people - report.machine),
        classes=classes[:CLASSES_SHOWN] if len(classes) > CLASSES_SHOWN else sorted(classes, key=lambda c: c.name),
        more_classes=classes[CLASSES_SHOWN:],
        most=max((item.people + item.machine for item in classes), default=0),
        by_class={name: found for name, found in sorted(by_class.items()) if found},
        scale_low=charts.scale_start([*shares, accuracy.promised if accuracy else None]),
        workers=sorted(report.workers, key=lambda item: -item.answers),
    )


def render_audit_report(project: str, state: Mapping[str, Any]) -> str:
    """What the audits found so far.

    Args:
        project: its name.
        state: as :func:`trueground.review.audits.record` gives it.
    """

    def groups(name: str) -> list[dict[str, Any]]:
        found = [{"name": key, **facts} for key, facts in state[name].items()]
        return sorted(found, key=lambda item: (-item["wrong"], -item["drawn"], item["name"]))

    allowed = 1 - state["accuracy"]
    # The first nights know next to nothing: their bands may leave the picture.
    uppers = sorted(night["upper"] for night in state["nights"])
    return _page(
        "audit.html",
        project=project,
        state=state,
        allowed=allowed,
        top=min(1.0, max([2 * allowed, *(1.2 * upper for upper in uppers[: len(uppers) // 2 + 1])])),
        classes=groups("classes"),
        models=groups("models"),
        prefixes=groups("prefixes"),
        GROUPS_SHOWN=GROUPS_SHOWN,
        NIGHTS_SHOWN=NIGHTS_SHOWN,
    )


def render_checks_page(title: str, checks: Checks, report: ManifestReport | None = None) -> str:
    """What a suite of checks found: what is wrong, where, and what to do about it.

    Args:
        title: what was checked.
        checks: the results of the suite.
        report: of a manifest, what was read; gives the number of objects.
    """
    failed = [result for result in checks.results if not result.passed]
    return _page(
        "checks.html",
        title=title,
        objects=report.objects if report is not None else None,
        errors=[result for result in failed if result.severity != "warning"],
        warnings=[result for result in failed if result.severity == "warning"],
        passed=[result for result in checks.results if result.passed],
    )


def render_model_report(title: str, model_card: str, *, facts: Iterable[tuple[str, str]] = ()) -> str:
    """A model card (Markdown: headings, lists, tables, paragraphs) as a page, with a row of facts above it."""
    from trueground.reports.markdown import to_html

    return _page("model.html", title=title, facts=list(facts), body=to_html(model_card))


def _page(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(charts=charts, **values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("trueground.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": _count,
        "share": _share,
        "atleast": _at_least,
        "estimate": _estimate,
        "seconds": _seconds,
        "picture": data_uri,
        "href": _href,
        "quote_text": _shorten,
    }
    environment.globals |= {
        "Part": charts.Part,
        "SAMPLES_A_LIST": SAMPLES_A_LIST,
        "CHANGES_SHOWN": CHANGES_SHOWN,
        "WORKERS_SHOWN": WORKERS_SHOWN,
    }
    return environment


def _count(value: int) -> str:
    return f"{value:,}"


def _share(part: float, whole: float = 1.0) -> str:
    """A share as whole per cent; 0 % and 100 % only where they are exact."""
    if not whole:
        return "0\u00a0%"
    share = part / whole
    if 0 < share < 0.01:
        return "under 1\u00a0%"
    if 0.99 < share < 1:
        return "over 99\u00a0%"
    return f"{share * 100:.0f}\u00a0%"


def _at_least(value: float) -> str:
    """A lower bound in per cent, cut and not rounded: a bound must not grow on its way to the reader."""
    return f"{math.floor(value * 1000 + 1e-9) / 10:.1f}\u00a0%"


def _estimate(value: float) -> str:
    """An estimate in per cent with one digit; 100 % only where it is exact."""
    return "over 99.9\u00a0%" if 0.9995 <= value < 1 else f"{value * 100:.1f}\u00a0%"


def _seconds(value: float) -> str:
    return (
        f"{value:.1f}\u00a0s" if value < 10 else f"{value:.0f}\u00a0s" if value < 90 else f"{value / 60:.1f}\u00a0min"
    )


def _href(uri: str) -> str | None:
    """The URI where a browser can follow it."""
    return uri if urlsplit(uri).scheme in ("http", "https", "file") else None


def _shorten(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= TEXT_SHOWN else words[: TEXT_SHOWN - 1].rstrip() + "…"
