"""The certificate keeps what it says."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from trueground.quality.bounds import most_bad
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


HUMAN = AuditedStratum("human", labels=460, checked_all=40, sampled=80, sample_wrong=1, population=420)
MACHINE = AuditedStratum("machine", labels=1340, checked_all=0, sampled=120, sample_wrong=0, population=1340)


def test_a_bound_counts_the_wrong_labels_that_may_be_left_after_correction() -> None:
    human, machine = certify([HUMAN, MACHINE], 0.95).strata
    # 1 - 0.95 as the certificate computes it: not quite 0.05.
    assert human.bound == 1 - (most_bad(420, 80, 1, 1 - 0.95) - 1) / 460
    assert machine.bound == 1 - most_bad(1340, 120, 0, 1 - 0.95) / 1340


def test_the_bound_of_all_labels_shares_the_failure_probability() -> None:
    delta = (1 - 0.95) / 2
    left = most_bad(420, 80, 1, delta) - 1 + most_bad(1340, 120, 0, delta)
    assert certify([HUMAN, MACHINE], 0.95).bound == pytest.approx(1 - left / 1800)


def test_one_kind_of_label_alone_keeps_the_whole_failure_probability() -> None:
    empty = AuditedStratum("machine", labels=0, checked_all=0, sampled=0, sample_wrong=0, population=0)
    alone = certify([HUMAN], 0.95)
    assert certify([HUMAN, empty], 0.95).bound == alone.bound == alone.strata[0].bound


def test_more_wrong_in_the_sample_lowers_the_bound() -> None:
    bounds = [certify([AuditedStratum("machine", 1000, 0, 100, wrong, 1000)], 0.95).bound for wrong in (0, 1, 2, 5, 20)]
    assert bounds == sorted(bounds, reverse=True)
    assert len(set(bounds)) == len(bounds)


def test_numbers_that_do_not_fit_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="sampled"):
        certify([AuditedStratum("machine", 10, 0, 11, 0, 10)], 0.95)


def test_it_carries_what_the_audits_found() -> None:
    found = {"promise": "holds", "since": "n", "lower": 0.0, "upper": 0.04, "confidence": 0.95, "reviews": 90}
    certificate = replace(certify([HUMAN], 0.95), audit=found)
    assert Certificate.from_json(json.loads(json.dumps(certificate.to_json()))) == certificate
    before = certify([HUMAN], 0.95).to_json()
    del before["audit"]
    assert Certificate.from_json(before).audit is None, "certificates from before there were audits are read"
