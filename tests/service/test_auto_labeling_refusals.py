"""What of automated labeling is refused, and by which name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError
from sqlalchemy import update

from tests.service.auto_labeling import (
    ALGORITHM,
    IMAGES,
    MakeRequest,
)
from tests.service.running import RunningService
from trueground.autolabel.model import LabelModel
from trueground.service.engine import jobs
from trueground.service.store.tables import labeling_jobs
from trueground.storage import file_uri


@pytest.mark.parametrize(
    ("config", "members", "message"),
    [
        ({"LabelingJobAlgorithmSpecificationArn": ALGORITHM + "object-detection"}, {}, "object-detection' is not offe"),
        ({"LabelingJobAlgorithmSpecificationArn": "arn:aws:sagemaker:us-east-1:123456789012:algorithm/mine"}, {},
         "LabelingJobAlgorithmSpecificationArn cannot be honoured"),
        ({"LabelingJobAlgorithmSpecificationArn": ALGORITHM + "text-classification"}, {}, "needs the built-in"),
        (IMAGES, {"AnnotationConsolidationConfig": None}, "needs the built-in"),
        (IMAGES, {"Tags": [{"Key": "trueground:streaming", "Value": "yes"}]}, "a streaming job never knows"),
        (IMAGES, {"Tags": [{"Key": "trueground:gold", "Value": "file://DATA/gold"},
                           {"Key": "trueground:gold-limit", "Value": "0.8"},
                           {"Key": "trueground:gold-policy", "Value": "ask-again"}]}, "cannot be ask-again"),
        (IMAGES, {"Tags": [{"Key": "trueground:auto-label-accuracy", "Value": "1"}]}, "from 0.5 to below 1, not '1'"),
        (None, {"Tags": [{"Key": "trueground:auto-label-confidence", "Value": "0.9"}]}, "need LabelingJobAlgorithmsCo"),
        ({**IMAGES, "LabelingJobResourceConfig": {"VolumeKmsKeyId": "key"}}, {}, "VolumeKmsKeyId cannot be honoured"),
        ({**IMAGES, "LabelingJobResourceConfig": {"VpcConfig": {"SecurityGroupIds": ["a"], "Subnets": ["b"]}}}, {},
         "VpcConfig cannot be honoured"),
        ({**IMAGES, "InitialActiveLearningModelArn": "arn:aws:sagemaker:us-east-1:000000000000:model/none"}, {},
         "is no FinalActiveLearningModelArn"),
        ({**IMAGES, "InitialActiveLearningModelArn": "arn:aws:sagemaker:us-east-1:123456789012:model/animals"}, {},
         "is no FinalActiveLearningModelArn"),
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_of_automated_labeling_is_refused_by_name(
    service: RunningService,
    sagemaker: Any,
    job_request: MakeRequest,
    config: dict[str, Any] | None,
    members: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(ClientError, match="ValidationException") as caught:
        sagemaker.create_labeling_job(**job_request(LabelingJobAlgorithmsConfig=config, **members))
    assert message in str(caught.value)


def test_a_model_that_does_not_fit_is_refused(
    service: RunningService, sagemaker: Any, job_request: MakeRequest
) -> None:
    models = {
        "texts": LabelModel().fit(np.eye(4, 4096), ["cat", "dog", "cat", "dog"]).to_bytes(),
        "wolves": LabelModel().fit(np.eye(4, 808), ["cat", "wolf", "cat", "wolf"]).to_bytes(),
        "torn": b"no model",
    }
    for name, content in models.items():
        sagemaker.create_labeling_job(**job_request(name, 1))
        uri = service.data_root / f"{name}.skops"
        uri.write_bytes(content)
        with service.db.write() as connection:
            this = labeling_jobs.c.name == name
            connection.execute(update(labeling_jobs).where(this).values(final_model=file_uri(uri)))
    told = {}
    for name in models:
        arn = service.settings.arn(f"model/{name}")
        config = {**IMAGES, "InitialActiveLearningModelArn": arn}
        with pytest.raises(ClientError) as caught:
            sagemaker.create_labeling_job(**job_request("animals", LabelingJobAlgorithmsConfig=config))
        told[name] = str(caught.value)
    assert "made for another kind of data" in told["texts"]
    assert "knows 'wolf', which is not among the label categories" in told["wolves"]
    assert "torn.skops" in told["torn"] and "not a model file" in told["torn"]


def test_more_objects_than_a_model_can_hold_are_refused(
    service: RunningService, sagemaker: Any, job_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trueground.service.engine.algorithms.MOST_OBJECTS", 2)
    with pytest.raises(ClientError, match="3 data objects are to be labeled, automated labeling takes 2 at most"):
        sagemaker.create_labeling_job(**job_request(LabelingJobAlgorithmsConfig=IMAGES))
    assert jobs.list_jobs(service.db, service.settings).items == []
