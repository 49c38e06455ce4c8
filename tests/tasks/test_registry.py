from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import botocore.session
import pytest

from trueground.errors import InputError
from trueground.tasks import task_type, task_type_of_function, task_types

TEMPLATES = Path(__file__).resolve().parents[2] / "include/templates"
BUILT_IN = "arn:aws:lambda:us-east-1:432418664414:function:"


def test_each_task_type_is_found_by_its_name_and_its_functions_and_has_a_template() -> None:
    assert {"image-classification", "text-classification", "label-verification"} <= task_types().keys()
    for name, kind in task_types().items():
        assert task_type(name) is kind and kind.name == name
        assert (TEMPLATES / name / "template.liquid.html").is_file()
        for function in kind.pre_functions + kind.post_functions:
            assert task_type_of_function(function) is task_type_of_function(BUILT_IN + function) is kind


def test_the_functions_are_those_that_aws_documents() -> None:
    model = botocore.session.get_session().get_service_model("sagemaker")
    documented = (
        model.shape_for("HumanTaskConfig").members["PreHumanTaskLambdaArn"].documentation
        + model.shape_for("AnnotationConsolidationConfig").members["AnnotationConsolidationLambdaArn"].documentation
    )
    for kind in task_types().values():
        for function in kind.pre_functions + kind.post_functions:
            assert f"{BUILT_IN}{function}<" in documented


def test_an_unknown_type_or_function_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"no task type 'image'.*image-classification"):
        task_type("image")
    with pytest.raises(InputError, match=r"mine.*ACS-ImageMultiClass"):
        task_type_of_function("arn:aws:lambda:us-east-1:1:function:mine")


def test_importing_the_types_and_projects_loads_nothing_heavy() -> None:
    # DAG files import them, every time the DAG processor reads them.
    program = "import sys, trueground.tasks, trueground.project; trueground.tasks.task_types(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"numpy", "pandas", "scipy", "sklearn", "PIL", "fsspec", "s3fs", "great_expectations", "airflow", "boto3"}
    assert not heavy & set(loaded) and "pydantic" in loaded
