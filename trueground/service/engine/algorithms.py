"""Automated labeling as a request asks for it: ``LabelingJobAlgorithmsConfig``."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, select

from trueground.errors import InputError
from trueground.service.engine.errors import Invalid
from trueground.service.engine.functions import find_task_type
from trueground.service.engine.reading import reading
from trueground.service.settings import ServiceSettings
from trueground.service.store.tables import labeling_jobs
from trueground.storage import Storage

MOST_OBJECTS = 100_000
"""Unlabeled data objects of a job with automated labeling: a model has to hold what it knows of all of them."""
OFFERED = ("image-classification", "text-classification")
"""The algorithms, each by the name of its task type."""

_MEMBER = "LabelingJobAlgorithmsConfig"
_SPECIFICATION = re.compile(
    r"arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:027400017018:labeling-job-algorithm-specification/(?P<algorithm>[a-z-]+)"
)


def read_algorithm(request: Mapping[str, Any], *, streaming: bool) -> str | None:
    """The algorithm that a request asks for by AWS's ARN; ``None`` for none. Raises :class:`Invalid`."""
    config = request.get(_MEMBER)
    if not config:
        return None
    specification = config["LabelingJobAlgorithmSpecificationArn"]
    found = _SPECIFICATION.fullmatch(specification)
    algorithm = found["algorithm"] if found is not None else None
    if algorithm not in OFFERED:
        raise Invalid(
            f"{_MEMBER}.LabelingJobAlgorithmSpecificationArn cannot be honoured: {specification!r} is not offered; "
            f"offered are arn:aws:sagemaker:<region>:027400017018:labeling-job-algorithm-specification/ with "
            f"{' or '.join(OFFERED)}"
        )
    resources = config.get("LabelingJobResourceConfig") or {}
    for member in ("VolumeKmsKeyId", "VpcConfig"):
        if resources.get(member):
            raise Invalid(
                f"{_MEMBER}.LabelingJobResourceConfig.{member} cannot be honoured: models are trained inside the "
                "service, on no machines of their own"
            )
    if streaming:
        raise Invalid(f"{_MEMBER} cannot be honoured: a streaming job never knows all of its data objects")
    human = request["HumanTaskConfig"]
    post = human.get("AnnotationConsolidationConfig", {}).get("AnnotationConsolidationLambdaArn")
    pre = human.get("PreHumanTaskLambdaArn")
    types = [find_task_type(function) for function in (post, pre) if function is not None]
    if post is None or any(one is None or one.name != algorithm for one in types):
        raise Invalid(
            f"{_MEMBER}.LabelingJobAlgorithmSpecificationArn cannot be honoured: {algorithm} needs the built-in "
            f"functions of this task type before and after people"
        )
    return algorithm


def model_resource(job_name: str) -> str:
    """The last part of the ARN of the model that a job's automated labeling ended with."""
    return f"model/{job_name}"


def find_initial_model(
    connection: Connection,
    storage: Storage,
    settings: ServiceSettings,
    request: Mapping[str, Any],
    algorithm: str | None,
    categories: Collection[str],
) -> str | None:
    """The URI of the model that a request's automated labeling is to begin with; ``None`` for none.

    Raises:
        Invalid: there is no such model, or it fits neither the task nor the labels.
        InputError: its file cannot be used.
    """
    arn = (request.get(_MEMBER) or {}).get("InitialActiveLearningModelArn")
    if algorithm is None or not arn:
        return None
    member = f"{_MEMBER}.InitialActiveLearningModelArn cannot be honoured"
    job_name = arn.removeprefix(settings.arn(model_resource("")))
    query = select(labeling_jobs.c.final_model).where(
        labeling_jobs.c.name == job_name, labeling_jobs.c.kind == "labeling"
    )
    uri = connection.scalar(query)
    if uri is None:
        raise Invalid(f"{member}: {arn!r} is no FinalActiveLearningModelArn of a labeling job of this service")
    from trueground.autolabel.features import width_of
    from trueground.autolabel.model import LabelModel

    with reading(uri):
        content = storage.read_bytes(uri)
    try:
        model = LabelModel.from_bytes(content)
    except InputError as error:
        raise InputError(error.problem, file=uri, hint=error.hint) from None
    if model.width != width_of(algorithm.partition("-")[0]):
        raise Invalid(f"{member}: the model of {job_name!r} was made for another kind of data, or by another version")
    unknown = sorted(set(model.classes_.tolist()) - set(categories))
    if unknown:
        raise Invalid(f"{member}: the model knows {unknown[0]!r}, which is not among the label categories")
    return str(uri)
