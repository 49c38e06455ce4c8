"""What a job for the public workforce, Amazon Mechanical Turk, must say before strangers see its data."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
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
_LOWEST = {"BoundingBox": 36, "SemanticSegmentation": 840}
_NOT_OFFERED = re.compile(r"(PRE|ACS)-(Adjustment|Verification)?(Video|3DPointCloud)")
# Which worker gets which object, and how many, is Mechanical Turk's to say.
_OWN_QUEUE_ONLY = ("workers-max", "gold", "gold-share", "qualification")


def is_public(request: Mapping[str, Any]) -> bool:
    """Whether a CreateLabelingJob request is for the public workforce."""
    return PUBLIC_ARN.fullmatch(request["HumanTaskConfig"]["WorkteamArn"]) is not None


def check_public(request: Mapping[str, Any], settings: ServiceSettings) -> None:
    """Raises :class:`Invalid`, naming the member, where strangers must not be asked, or not like this."""
    human = request["HumanTaskConfig"]
    if settings.mturk_endpoint is None or settings.public_url is None:
        raise Invalid(
            "HumanTaskConfig.WorkteamArn cannot be honoured: there is no public workforce here; "
            "TRUEGROUND_MTURK_ENDPOINT and TRUEGROUND_PUBLIC_URL say how to reach Mechanical Turk, and how it us"
        )
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
    amount = human.get("PublicWorkforceTaskPrice", {}).get("AmountInUsd")
    if not amount:
        raise Invalid("HumanTaskConfig.PublicWorkforceTaskPrice is missing: the public workforce is paid by the task")
    _check_price(_tenths_of_cents(amount), function)
    if human.get("TaskAvailabilityLifetimeInSeconds", 0) > LONGEST_AVAILABILITY_SECONDS:
        raise Invalid(
            f"TaskAvailabilityLifetimeInSeconds can be {LONGEST_AVAILABILITY_SECONDS} (12 hours) at most "
            "for the public workforce"
        )
    for key in tags.of_request(request):
        if key.removeprefix("trueground:") in _OWN_QUEUE_ONLY:
            raise Invalid(f"the tag {key} cannot be honoured: Mechanical Turk chooses who gets which object")


def classifiers(request: Mapping[str, Any]) -> set[str]:
    """What the request says of its data, as AWS's member or as a tag (a JSON list, or names apart by commas)."""
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


def _check_price(tenths: int, function: str) -> None:
    lowest = next((least for name, least in _LOWEST.items() if name in function), PRICES[0])
    allowed = [step for step in PRICES if step >= lowest]
    if tenths not in allowed:
        listed = ", ".join(f"{step / 1000:.3f}" for step in allowed)
        raise Invalid(
            f"HumanTaskConfig.PublicWorkforceTaskPrice: {tenths / 1000:.3f} dollars is not a price for this task type; "
            f"choose one of {listed}"
        )
