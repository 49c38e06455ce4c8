from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

from trueground.reports.charts import Part, bar, bound_scale, histogram, lowest, scale_start


def shapes(svg: str) -> list[dict[str, str]]:
    return [element.attrib for element in ElementTree.fromstring(svg) if element.tag == "rect"]


def share(value: str) -> float:
    return float(value.rstrip("%"))


def test_the_parts_of_a_bar_lie_side_by_side_in_proportion() -> None:
    found = shapes(bar([Part("people", 30), Part("open", 0), Part("machine", 50)], total=100))
    assert [(item["class"], share(item["x"]), share(item["width"])) for item in found] == [
        ("people", 0, 30),
        ("machine", 30, 50),
    ]


def test_a_bar_of_nothing_is_empty() -> None:
    assert shapes(bar([Part("people", 0)], total=0)) == []


def test_what_a_bar_says_is_escaped() -> None:
    assert "<b>" not in bar([Part("people", 1, "<b>")], total=1, label='"><b>')


def test_a_histogram_counts_each_value_once() -> None:
    svg = histogram({"people": [0.0, 0.5, 1.0, 1.0], "machine": [0.97]}) or ""
    counts = [int(count) for count in re.findall(r"<title>(\d+) by", svg)]
    assert sum(counts) == 5
    assert max(counts) == 2, "both values of exactly 1 are in the last column"


def test_columns_are_as_high_as_their_counts_and_stack() -> None:
    found = shapes(histogram({"people": [0.99] * 30, "machine": [0.99] * 70}, height=100) or "")
    assert [(item["class"], float(item["y"]), float(item["height"])) for item in found] == [
        ("people", 70, 30),
        ("machine", 0, 70),
    ]


def test_without_values_there_is_no_histogram() -> None:
    assert histogram({"people": [], "machine": []}) is None


@pytest.mark.parametrize(("values", "low"), [([0.97], 0.9), ([0.62, 0.99], 0.6), ([0.05], 0.0), ([], 0.9)])
def test_a_histogram_begins_at_the_tenth_below_its_lowest_value(values: list[float], low: float) -> None:
    assert lowest({"people": values}) == pytest.approx(low)


@pytest.mark.parametrize(
    ("shares", "low"), [([0.983, None], 0.9), ([0.87], 0.85), ([0.85], 0.8), ([0.0], 0.0), ([], 0.9)]
)
def test_a_scale_leaves_room_below_its_lowest_share(shares: list[float | None], low: float) -> None:
    assert scale_start(shares) == pytest.approx(low)


def test_the_band_of_a_bound_runs_to_one() -> None:
    track, band = shapes(bound_scale(0.9, 0.98, 0.99, 0.97, "machine"))
    assert share(track["width"]) == 100
    assert share(band["x"]) == pytest.approx(80) and share(band["width"]) == pytest.approx(20)


def test_an_unknown_bound_is_only_a_track() -> None:
    assert len(shapes(bound_scale(0.9, None, None, None, "machine"))) == 1
