"""The certificate keeps what it says."""

from __future__ import annotations

import json
import random

import pytest

from trueground.quality.certificate import AuditedStratum, Certificate, certify


def audit(randomness: random.Random, labels: int, wrong: int, sampled: int, name: str = "machine") -> AuditedStratum:
    found = sum(item < wrong for item in randomness.sample(range(labels), sampled))
    return AuditedStratum(name, labels, 0, sampled, found, labels)


def test_the_bounds_hold_as_often_as_they_say() -> None:
    randomness = random.Random(3)
    runs, broken = 400, 0
    for _ in range(runs):
        wrong = {"human": randomness.randint(0, 12), "machine": randomness.randint(0, 25)}
        strata = [audit(randomness, 300, wrong["human"], 80, "human"), audit(randomness, 700, wrong["machine"], 120)]
        certificate = certify(strata, 0.9)
        left = sum(wrong[stratum.name] - stratum.sample_wrong for stratum in strata)
        broken += certificate.bound > 1 - left / 1000
    assert broken / runs <= 0.1


def test_labels_that_were_all_judged_are_certain() -> None:
    certificate = certify([AuditedStratum("human", 50, 50, 0, 0, 0)], 0.95)
    assert certificate.bound == 1.0


def test_an_unsampled_stratum_promises_nothing_of_what_nobody_saw() -> None:
    certificate = certify([AuditedStratum("machine", 100, 10, 0, 0, 90)], 0.95)
    assert certificate.bound == pytest.approx(0.1)


def test_no_labels_make_an_empty_certificate() -> None:
    assert certify([], 0.95).bound == 1.0


def test_it_comes_back_from_json() -> None:
    certificate = certify(
        [AuditedStratum("human", 461, 20, 80, 1, 441), AuditedStratum("machine", 9, 0, 9, 0, 9)], 0.95
    )
    data = json.loads(json.dumps(certificate.to_json()))
    assert Certificate.from_json(data) == certificate
    assert data["accuracy_bound"] == certificate.bound
    assert data["method"]
    assert data["assumptions"]
