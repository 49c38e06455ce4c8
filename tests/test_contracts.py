"""The contract of the assets' events."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from trueground.contracts import AssetExtra, AuditExtra, LabelsExtra, ModelExtra, ReviewsExtra, read_extra
from trueground.errors import InputError

DOCS = Path(__file__).parents[1] / "docs/asset-contract.md"
AUDIT = {
    "project": "digits", "run": "night", "promise": "holds", "since": None, "accuracy": 0.95, "confidence": 0.95,
    "lower": 0.0, "upper": 0.04, "estimate": 0.01, "reviews": 30,
}  # fmt: skip
GAINED = {"drift": "steady", "drift_since": "night", "drift_evidence": 1.5, "report": "s3://b/r.html"}


def test_what_is_written_is_read() -> None:
    written = AuditExtra(**AUDIT, **GAINED).as_extra()
    assert written == {"schema": "trueground.audit/1", **AUDIT, **GAINED}
    assert read_extra(AuditExtra, {**written, "from_rest_api": True}, asset="a") == AuditExtra(**AUDIT, **GAINED)


def test_an_event_from_before_a_field_was_gained_is_read() -> None:
    assert read_extra(AuditExtra, {"schema": "trueground.audit/1", **AUDIT}, asset="a").drift is None


@pytest.mark.parametrize("field", ["schema", *AUDIT])
def test_a_missing_field_is_named(field: str) -> None:
    extra = {"schema": "trueground.audit/1", **AUDIT}
    del extra[field]
    with pytest.raises(InputError) as caught:
        read_extra(AuditExtra, extra, asset="digits-audit")
    assert (caught.value.file, caught.value.field) == ("asset digits-audit", f"extra.{field}")


@pytest.mark.parametrize(
    ("change", "field"),
    [({"schema": "trueground.audit/2"}, "extra.schema"), ({"upper": "much"}, "extra.upper"), (None, None)],
)
def test_another_version_and_a_wrong_value_are_refused(change: Any, field: str | None) -> None:
    extra = None if change is None else {"schema": "trueground.audit/1", **AUDIT, **change}
    with pytest.raises(InputError) as caught:
        read_extra(AuditExtra, extra, asset="digits-audit")
    assert caught.value.field == field


@pytest.mark.parametrize("contract", [LabelsExtra, AuditExtra, ReviewsExtra, ModelExtra])
def test_the_page_names_the_fields_of_each_contract(contract: type[AssetExtra]) -> None:
    version = contract.model_fields["version"].default
    section = DOCS.read_text().partition(f"## `{version}`\n")[2].partition("\n## ")[0]
    assert re.findall(r"`(\w+)`", section) == [name for name in contract.model_fields if name != "version"]
