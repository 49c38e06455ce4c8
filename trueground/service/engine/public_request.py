"""What work for the public workforce, Amazon Mechanical Turk, must say before strangers see its data."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from trueground.service.engine import tags
from trueground.service.engine.errors import Invalid
from trueground.service.settings import ServiceSettings

PUBLIC_ARN = re.compile(r"arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:394669845002:workteam/public-crowd/default")
TEAM = "public-crowd/default"
"""The work team's name here. No private team can have it, because of its slash."""
AVAILABILITY_SECONDS = 6 * 3600
LONGEST_AVAILABILITY_SECONDS = 12 * 3600
NO_PERSONAL_DATA = "FreeOfPersonallyIdentifiableInformation"
NO_ADULT_CONTENT = "FreeOfAdultContent"
CLASSIFIERS_TAG = "trueground:content-classifiers"
# In tenths of a cent: six steps of 1.2 cents, then steps of 12 cents. Multiples of 1.2, because a fee of a fifth
# of the reward is in them, Mechanical Turk's: the worker gets a cent of the first, a dollar of the last.
PRICES = (*range(12, 73, 12), *range(120, 1201, 120))
FEE = Decimal("1.2")
FORM_PRICES = (*PRICES, *range(1320, 2401, 120))
"""For reviews of what Textract read of a form."""
FORMS = "AWS/Textract/AnalyzeDocument/Forms/V1"
_LOWEST = {"BoundingBox": 36, "SemanticSegmentation": 840}
_NOT_OFFERED = re.compile(r"(PRE|ACS)-(Adjustment|Verification)?(Video|3DPointCloud)")
# Which worker gets which object, and how many, is Mechanical Turk's to say.
_OWN_QUEUE_ONLY = ("workers-max", "gold", "gold-share", "qualification", "role")


def is_public(workteam_arn: str) -> bool:
    """Whether a request with this ``WorkteamArn`` is for the public workforce."""
    return PUBLIC_ARN.fullmatch(workteam_arn) is not None


def check_public(request: Mapping[str, Any], settings: ServiceSettings) -> None:
    """Raises :class:`Invalid`, naming the member, where strangers must not be asked, or not like this."""
    human = request["HumanTaskConfig"]
    _check_settings(settings, "HumanTaskConfig")
    if NO_PERSONAL_DATA not in classifiers(request):
        raise Invalid(
            f"InputConfig.DataAttributes.ContentClassifiers must contain {NO_PERSONAL_DATA} "
            f"(or the tag {CLASSIFIERS_TAG}): data with personal data in it is not shown to the public workforce"
        )
    function = str(human.get("PreHumanTaskLambdaArn", ""))
    if _NOT_OFFERED.search(function):
        raise Invalid(
            "HumanTaskConfig.WorkteamArn cannot be honoured: the public workforce is not given video or 3D tasks"
        )
    lowest = next((least for name, least in _LOWEST.items() if name in function), PRICES[0])
    _check_terms(request, "HumanTaskConfig", [step for step in PRICES if step >= lowest])


def check_public_flow(request: Mapping[str, Any], settings: ServiceSettings) -> None:
    """The same for a CreateFlowDefinition request; what its data are is said of each human loop."""
    _check_settings(settings, "HumanLoopConfig")
    source = request.get("HumanLoopRequestSource", {}).get("AwsManagedHumanLoopRequestSource")
    _check_terms(request, "HumanLoopConfig", FORM_PRICES if source == FORMS else PRICES)


def check_public_loop(request: Mapping[str, Any]) -> None:
    """Raises :class:`Invalid` where a StartHumanLoop request does not allow that strangers see its input."""
    if NO_PERSONAL_DATA not in loop_classifiers(request.get("DataAttributes")):
        raise Invalid(
            f"DataAttributes.ContentClassifiers must contain {NO_PERSONAL_DATA}: "
            "data with personal data in it is not shown to the public workforce"
        )


def loop_classifiers(attributes: Mapping[str, Any] | None) -> set[str]:
    """What a human loop's ``DataAttributes`` say of its input."""
    return set((attributes or {}).get("ContentClassifiers", []))


def classifiers(request: Mapping[str, Any]) -> set[str]:
    """What a labeling job says of its data, as AWS's member or as a tag (a JSON list, or names apart by commas)."""
    said = set(request["InputConfig"].get("DataAttributes", {}).get("ContentClassifiers", []))
    tag = tags.of_request(request).get(CLASSIFIERS_TAG, "")
    try:
        listed = json.loads(tag)
    except ValueError:
        listed = re.split(r"[\s,+]+", tag)
    return said | {str(name) for name in (listed if isinstance(listed, list) else [])}


def price(request: Mapping[str, Any]) -> Decimal:
    """What one answer costs the requester, in dollars, Mechanical Turk's fee included."""
    return Decimal(_tenths_of_cents(request["HumanTaskConfig"]["PublicWorkforceTaskPrice"]["AmountInUsd"])) / 1000


def reward(request: Mapping[str, Any]) -> str:
    """What the worker gets of it, as Mechanical Turk writes it: ``"0.03"``."""
    return str((price(request) / FEE).quantize(Decimal("0.01")))


def _tenths_of_cents(amount: Mapping[str, int]) -> int:
    return amount.get("Dollars", 0) * 1000 + amount.get("Cents", 0) * 10 + amount.get("TenthFractionsOfACent", 0)


def _check_settings(settings: ServiceSettings, config: str) -> None:
    if settings.mturk_endpoint is None or settings.public_url is None:
        raise Invalid(
            f"{config}.WorkteamArn cannot be honoured: there is no public workforce here; "
            "TRUEGROUND_MTURK_ENDPOINT and TRUEGROUND_PUBLIC_URL say how to reach Mechanical Turk, and how it us"
        )


def _check_terms(request: Mapping[str, Any], config: str, prices: Sequence[int]) -> None:
    """What is paid, for how long the work is offered, and by whose rules. ``config``: the member with what is asked."""
    human = request[config]
    amount = human.get("PublicWorkforceTaskPrice", {}).get("AmountInUsd")
    if not amount:
        raise Invalid(f"{config}.PublicWorkforceTaskPrice is missing: the public workforce is paid by the task")
    tenths = _tenths_of_cents(amount)
    if tenths not in prices:
        listed = ", ".join(f"{step / 1000:.3f}" for step in prices)
        raise Invalid(
            f"{config}.PublicWorkforceTaskPrice: {tenths / 1000:.3f} dollars is not a price for this task type; "
            f"choose one of {listed}"
        )
    if human.get("TaskAvailabilityLifetimeInSeconds", 0) > LONGEST_AVAILABILITY_SECONDS:
        raise Invalid(
            f"{config}.TaskAvailabilityLifetimeInSeconds can be {LONGEST_AVAILABILITY_SECONDS} (12 hours) at most "
            "for the public workforce"
        )
    for key in tags.of_request(request):
        if key.removeprefix("trueground:") in _OWN_QUEUE_ONLY:
            raise Invalid(f"the tag {key} cannot be honoured: Mechanical Turk chooses who gets which object")
