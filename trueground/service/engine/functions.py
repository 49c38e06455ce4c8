"""Which pre- and post-annotation functions there are: Ground Truth's built-in ones, and the requester's own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trueground.errors import InputError
from trueground.functions import load_function
from trueground.service.engine.errors import Invalid
from trueground.service.settings import ServiceSettings
from trueground.tasks import task_type_of_function, task_types
from trueground.tasks.base import TaskType

Kind = Literal["PRE", "ACS"]

BUILT_IN = (
    "3DPointCloudObjectDetection", "3DPointCloudObjectTracking", "3DPointCloudSemanticSegmentation",
    "Adjustment3DPointCloudObjectDetection", "Adjustment3DPointCloudObjectTracking",
    "Adjustment3DPointCloudSemanticSegmentation", "AdjustmentBoundingBox", "AdjustmentSemanticSegmentation",
    "AdjustmentVideoObjectDetection", "AdjustmentVideoObjectTracking", "BoundingBox", "ImageMultiClass",
    "ImageMultiClassMultiLabel", "NamedEntityRecognition", "PassThrough", "SemanticSegmentation", "TextMultiClass",
    "TextMultiClassMultiLabel", "VerificationBoundingBox", "VerificationSemanticSegmentation", "VideoMultiClass",
    "VideoObjectDetection", "VideoObjectTracking",
)  # fmt: skip
"""What follows ``PRE-`` and ``ACS-`` in the names of AWS's functions."""
NOT_SHOWN = ("VerificationSemanticSegmentation",)
"""Functions of a task type that is offered, for labels that workers would not see."""
AWS_ACCOUNTS = frozenset({
    "432418664414", "266458841044", "081040173940", "918755190332", "568282634449", "487402164563", "203001061592",
    "477331159723", "845288260483", "565803892007", "377565633583", "454466003867",
})  # fmt: skip
"""The accounts of AWS's own functions, one for each of its regions: nobody else has a function there."""

_ARN = re.compile(r"arn:aws[a-z-]*:lambda:(?P<region>[a-z0-9-]*):(?P<account>\d{12}):function:(?P<name>.+)")


@dataclass(frozen=True, slots=True)
class OwnFunction:
    """A function that is not built in.

    Args:
        function: its ARN, or the name under which it is registered here.
        region: where to call it if it is a Lambda function.
        local: the name under which it is registered with this service; ``None`` for a Lambda function.
    """

    function: str
    region: str
    local: str | None


def find_task_type(function: str | None) -> TaskType | None:
    """The task type of a built-in function's ARN or name; ``None`` for no function, or one that means no task type."""
    if function is None or not _may_be_built_in(function):
        return None
    try:
        return task_type_of_function(function)
    except InputError:
        return None


def passes_through(function: str | None) -> bool:
    """Whether it is the built-in function that leaves everything as it is."""
    names = ("PRE-PassThrough", "ACS-PassThrough")
    return function is not None and _may_be_built_in(function) and _name(function) in names


def own_function(function: str | None, settings: ServiceSettings) -> OwnFunction | None:
    """A function of the requester's own; ``None`` for none, or one that is built in."""
    if function is None or find_task_type(function) is not None or passes_through(function):
        return None
    arn = _ARN.fullmatch(function)
    if arn is None:
        return OwnFunction(function, settings.region, function)
    here = (arn["region"], arn["account"]) == (settings.region, settings.account)
    return OwnFunction(function, arn["region"], arn["name"] if here else None)


def check_function(function: str | None, kind: Kind, settings: ServiceSettings) -> None:
    """Raise :class:`Invalid`, which says why, unless the function can be used before (PRE) or after (ACS) people."""
    if function is None:
        return
    name, arn = _name(function), _ARN.fullmatch(function)
    built_in = name[:4] in ("PRE-", "ACS-") and name[4:] in BUILT_IN and _may_be_built_in(function)
    if built_in and not name.startswith(f"{kind}-"):
        raise Invalid(f"{name} is a function for the other side of the work; one whose name begins with {kind}- fits")
    if built_in and name[4:] in NOT_SHOWN:
        raise Invalid(
            f"the task type of {name} is not offered here; offered are {', '.join(_offered(kind))}. Workers would not "
            "see the masks that they judge"
        )
    if find_task_type(function) is not None or passes_through(function):
        return
    if built_in:
        raise Invalid(f"the task type of {name} is not offered here; offered are {', '.join(_offered(kind))}")
    if arn is not None and arn["account"] in AWS_ACCOUNTS:
        raise Invalid(f"{name!r} is none of Ground Truth's built-in functions, of which {', '.join(_offered(kind))} "
                      "are offered here")  # fmt: skip
    own = own_function(function, settings)
    if own is not None and own.local is not None:
        try:
            load_function(own.local)
        except InputError as error:
            raise Invalid(str(error)) from None


def task_input(pre_function: str | None, content: Mapping[str, Any], categories: Sequence[str]) -> dict[str, Any]:
    """``task.input`` of the template: what the built-in pre-annotation function makes, else the line itself."""
    task_type = find_task_type(pre_function)
    if task_type is not None:
        return task_type.task_input(dict(content), categories)
    # A human loop's input may be any JSON; a template then finds no member in it.
    return dict(content) if isinstance(content, Mapping) else {}


def check_object(
    pre_function: str | None, post_function: str | None, content: Mapping[str, Any], categories: Sequence[str]
) -> None:
    """Raise :class:`InputError` (or ``KeyError``) where people could not do a job's work with a data object."""
    task_input(pre_function, content, categories)
    for task_type in {find_task_type(pre_function), find_task_type(post_function)} - {None}:
        assert task_type is not None
        task_type.check_object(dict(content))


def _may_be_built_in(function: str) -> bool:
    """Whether it can be AWS's own: a bare name, or a function of one of AWS's accounts. Others may use its names."""
    arn = _ARN.fullmatch(function)
    return arn is None or arn["account"] in AWS_ACCOUNTS


def _name(function: str) -> str:
    arn = _ARN.fullmatch(function)
    return arn["name"] if arn is not None else function


def _offered(kind: Kind) -> list[str]:
    names = {name for task in task_types().values() for name in task.pre_functions + task.post_functions}
    offered = {*names, f"{kind}-PassThrough"} - {f"{kind}-{name}" for name in NOT_SHOWN}
    return sorted(name for name in offered if name.startswith(f"{kind}-"))
