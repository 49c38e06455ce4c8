"""The audit: people look at a random sample of what the machine is about to label, and only then is it accepted.

Why the promise holds. In one round the machine names a set of objects with their labels *before* anybody looks at the
sample, so the sample is a simple random sample of a fixed population, and the hypergeometric limit of
:func:`trueground.quality.bounds.most_bad` is exact: whatever the model is worth, the chance to accept a set whose
unseen labels break the promise is at most the ``delta`` of that round. A round's delta is fixed before its sample is
drawn, from the number of earlier proposals alone, and all of them (and of the two sets that a round may accept) add up
to the project's ``1 - confidence`` at most. So by Boole's inequality the chance that *any* accepted set breaks its
promise stays below it; and where every set keeps the promise, their union does.

What is promised is agreement with what people said of the audited objects; it carries over to the truth as far as
people's own errors do not coincide with the machine's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trueground.autolabel.choose import PARTS, RoundPlan
from trueground.quality.bounds import most_bad


@dataclass(frozen=True)
class Settlement:
    """What became of a round's proposal.

    ``accepted``, ``classes`` and ``confidence`` are parallel: objects, their labels, and the model's confidence.
    ``error_bound`` is the largest plausible share of wrong labels among the accepted (among the proposed, where
    nothing was accepted).
    """

    accepted: list[int]
    classes: list[str]
    confidence: list[float]
    audited: int
    wrong: int
    error_bound: float


def settle_round(plan: RoundPlan, human: Mapping[int, str]) -> Settlement:
    """Accept the proposal, its surest part, or nothing, by what people said of the audited objects.

    Args:
        plan: the round's plan, made before people were asked.
        human: people's labels by object; an audited object without one counts as wrong.
    """
    audited = set(plan.audit)
    outcome: Settlement | None = None
    for part, share_of_delta in PARTS:
        # The proposal is in order of confidence, so its surest part is its beginning.
        size = round(len(plan.proposal) * part)
        members = range(size)
        checked = [i for i in members if plan.proposal[i] in audited]
        wrong = sum(human.get(plan.proposal[i]) != plan.proposal_classes[i] for i in checked)
        unseen = [i for i in members if plan.proposal[i] not in audited and plan.proposal[i] not in human]
        bad = most_bad(size, len(checked), wrong, plan.delta * share_of_delta) - wrong if size else 0
        bound = bad / len(unseen) if unseen else 1.0
        accept = bool(unseen) and bound <= 1 - plan.accuracy
        found = Settlement(
            accepted=[plan.proposal[i] for i in unseen] if accept else [],
            classes=[plan.proposal_classes[i] for i in unseen] if accept else [],
            confidence=[plan.proposal_confidence[i] for i in unseen] if accept else [],
            audited=len(checked),
            wrong=wrong,
            error_bound=min(1.0, bound),
        )
        if accept:
            return found
        outcome = outcome or found
    assert outcome is not None
    return outcome
