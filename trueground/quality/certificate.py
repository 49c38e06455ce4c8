"""The certificate: how right a published label set is at least, from random samples that people judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from trueground.quality.bounds import most_bad

METHOD = (
    "Of each kind of label, people judged a simple random sample drawn without replacement. From the number found "
    "wrong follows, by the exact hypergeometric test, the largest number of wrong labels that is still plausible. "
    "Those found wrong were corrected, and labels that were judged one and all are not part of the estimate. The "
    "bound of each kind holds with the stated confidence; the bound of all labels together uses half of the "
    "allowed failure probability for each kind, so that it holds with the same confidence."
)
ASSUMPTIONS = (
    "The judgement of the verifying team, after adjustment, is taken as right.",
    "The sample was drawn at random, and labels that nobody got to judge were left out by chance.",
)


@dataclass(frozen=True)
class AuditedStratum:
    """What the audit of one kind of label found.

    Args:
        name: ``human`` or ``machine``.
        labels: how many labels there are.
        checked_all: how many of them were judged because they were chosen to be, one and all, and corrected.
        sampled: how many of the others were drawn at random and judged.
        sample_wrong: how many of the sample were wrong, and were corrected.
        population: how many the sample was drawn from: ``labels - checked_all``.
    """

    name: str
    labels: int
    checked_all: int
    sampled: int
    sample_wrong: int
    population: int

    def accuracy_bound(self, delta: float) -> float:
        """A lower bound on the share of right labels after correction, which fails with chance ``delta`` at most."""
        if self.labels == 0:
            return 1.0
        left = most_bad(self.population, self.sampled, self.sample_wrong, delta) - self.sample_wrong
        return 1.0 - left / self.labels


@dataclass(frozen=True)
class CertifiedStratum(AuditedStratum):
    """A stratum with the bound that holds for it by itself."""

    bound: float


@dataclass(frozen=True)
class Certificate:
    """Lower bounds on the accuracy of published labels.

    ``bound`` is for all labels together; it and the bounds of the strata each hold with ``confidence``.
    ``audit`` is what audits of all machine labels published before had found by then: ``promise``, ``since``,
    ``lower`` and ``upper`` limit of the error rate, their ``confidence``, ``reviews``; ``None`` without an audit.
    """

    strata: tuple[CertifiedStratum, ...]
    bound: float
    confidence: float
    method: str = METHOD
    assumptions: tuple[str, ...] = ASSUMPTIONS
    audit: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data; ``accuracy_bound`` in it is the bound."""
        data = asdict(self)
        data["accuracy_bound"] = data.pop("bound")
        for stratum in data["strata"]:
            stratum["accuracy_bound"] = stratum.pop("bound")
        data["strata"], data["assumptions"] = list(data["strata"]), list(data["assumptions"])
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Certificate:
        """What :meth:`to_json` made."""
        strata = tuple(
            CertifiedStratum(**{**{k: v for k, v in s.items() if k != "accuracy_bound"}, "bound": s["accuracy_bound"]})
            for s in data["strata"]
        )
        return cls(
            strata,
            data["accuracy_bound"],
            data["confidence"],
            data["method"],
            tuple(data["assumptions"]),
            data.get("audit"),
        )


def certify(strata: Sequence[AuditedStratum], confidence: float) -> Certificate:
    """Bounds for each stratum and for all labels together.

    The bound of all labels adds up the strata's largest plausible numbers of wrong labels, each taken at
    ``delta / number of strata`` (Boole's inequality).

    Raises:
        ValueError: a stratum's numbers do not fit each other.
    """
    delta = 1 - confidence
    certified = tuple(CertifiedStratum(**asdict(stratum), bound=stratum.accuracy_bound(delta)) for stratum in strata)
    total = sum(stratum.labels for stratum in strata)
    audited = [stratum for stratum in strata if stratum.labels]
    wrong = sum((1 - stratum.accuracy_bound(delta / len(audited))) * stratum.labels for stratum in audited)
    return Certificate(certified, 1 - wrong / total if total else 1.0, confidence)
