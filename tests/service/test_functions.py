"""Pre- and post-annotation functions: AWS's own by their ARNs, and those of the requester's own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError

from tests.service.lambda_server import LambdaServer, serve_lambda
from trueground.errors import InputError
from trueground.functions import load_function, registered_functions
from trueground.service.engine.errors import Invalid
from trueground.service.engine.function_calls import FunctionCalls, FunctionFailed
from trueground.service.engine.functions import (
    AWS_ACCOUNTS,
    BUILT_IN,
    OwnFunction,
    check_function,
    check_object,
    find_task_type,
    own_function,
    passes_through,
)
from trueground.service.settings import ServiceSettings

MODEL = botocore.session.get_session().get_service_model("sagemaker")
DOCUMENTED = sorted(
    set(
        re.findall(
            r"arn:aws:lambda:([\w-]+):(\d{12}):function:((PRE|ACS)-\w+)",
            MODEL.shape_for("HumanTaskConfig").members["PreHumanTaskLambdaArn"].documentation
            + MODEL.shape_for("AnnotationConsolidationConfig")
            .members["AnnotationConsolidationLambdaArn"]
            .documentation,
        )
    )
)
OFFERED = {
    "ImageMultiClass": "image-classification",
    "TextMultiClass": "text-classification",
    "VerificationBoundingBox": "label-verification",
}
BOXES = "groundtruth/object-detection"
LOCAL = "arn:aws:lambda:us-east-1:000000000000:function:"
REMOTE = "arn:aws:lambda:eu-west-3:123456789012:function:"
SETTINGS = ServiceSettings()


def test_aws_documents_46_functions_in_12_regions() -> None:
    assert len({name for _, _, name, _ in DOCUMENTED}) == 46 == 2 * len(BUILT_IN)
    assert {name[4:] for _, _, name, _ in DOCUMENTED} == set(BUILT_IN)
    assert {account for _, account, _, _ in DOCUMENTED} == AWS_ACCOUNTS
    assert len(DOCUMENTED) == 46 * 12


@pytest.mark.parametrize(("region", "account", "name", "kind"), DOCUMENTED)
def test_each_function_of_aws_means_its_task_type_in_every_region_or_is_refused_by_name(
    region: str, account: str, name: str, kind: Any
) -> None:
    arn = f"arn:aws:lambda:{region}:{account}:function:{name}"
    other: Any = {"PRE": "ACS", "ACS": "PRE"}[kind]
    if name[4:] == "PassThrough":
        check_function(arn, kind, SETTINGS)
        assert passes_through(arn) and find_task_type(arn) is None and own_function(arn, SETTINGS) is None
    elif name[4:] in OFFERED:
        check_function(arn, kind, SETTINGS)
        found = find_task_type(arn)
        assert found is not None and found.name == OFFERED[name[4:]] and own_function(arn, SETTINGS) is None
    else:
        with pytest.raises(Invalid, match=rf"{name} is not offered here; offered are .*{kind}-ImageMultiClass"):
            check_function(arn, kind, SETTINGS)
    with pytest.raises(Invalid, match=rf"begins with {other}-"):
        check_function(arn, other, SETTINGS)


@pytest.mark.parametrize("name", [name for name in BUILT_IN if name.startswith(("Verification", "Adjustment"))])
def test_work_on_labels_that_nobody_would_see_is_refused_by_name(
    service: Any, sagemaker: Any, job_request: Callable[..., dict[str, Any]], name: str
) -> None:
    """Boxes and masks are not shown yet, so neither can they be judged nor corrected."""
    with pytest.raises(ClientError) as caught:
        sagemaker.create_labeling_job(
            **job_request(
                objects=[{"source": "x", "box": {"annotations": []}, "box-metadata": {"type": BOXES}}],
                LabelAttributeName="animal-ref" if "Segmentation" in name or "Video" in name else "animal",
                PreHumanTaskLambdaArn=f"arn:aws:lambda:us-east-1:432418664414:function:PRE-{name}",
                AnnotationConsolidationConfig={
                    "AnnotationConsolidationLambdaArn": f"arn:aws:lambda:us-east-1:432418664414:function:ACS-{name}"
                },
            )
        )
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert f"PRE-{name}" in str(caught.value)
    if name == "VerificationBoundingBox":
        assert f"input.manifest:1: label verification (PRE-{name})" in str(caught.value) and BOXES in str(caught.value)


def test_a_label_that_is_one_class_is_verified_as_before() -> None:
    line = {"source": "x", "a": 0, "a-metadata": {"class-name": "cat", "type": "groundtruth/text-classification"}}
    check_object("PRE-VerificationBoundingBox", None, line, ["right", "wrong"])
    check_object("PRE-TextMultiClass", "ACS-TextMultiClass", {"source": "x"}, ["cat", "dog"])
    for bad in ({"source": "x"}, {"source": "x", "a-ref": "s3://b/m.png", "a-ref-metadata": {"type": "groundtruth/x"}}):
        for functions in (("PRE-VerificationBoundingBox", None), (None, "ACS-VerificationBoundingBox")):
            with pytest.raises(InputError, match="would not see what they judge"):
                check_object(*functions, bad, ["right", "wrong"])


@pytest.mark.parametrize(("name", "kind"), sorted({(name, kind) for _, _, name, kind in DOCUMENTED}))
def test_in_another_account_the_name_of_a_function_of_aws_is_one_of_the_requesters_own(name: str, kind: Any) -> None:
    remote = f"arn:aws:lambda:eu-north-1:111122223333:function:{name}"
    assert find_task_type(remote) is None and not passes_through(remote)
    check_function(remote, kind, SETTINGS)
    assert own_function(remote, SETTINGS) == OwnFunction(remote, "eu-north-1", None)
    with pytest.raises(Invalid, match=rf"no function '{name}' is registered here"):
        check_function(LOCAL + name, kind, SETTINGS)


def test_a_name_that_aws_does_not_have_is_refused_in_its_accounts() -> None:
    with pytest.raises(Invalid, match=r"PRE-Cats' is none of Ground Truth's built-in functions"):
        check_function("arn:aws:lambda:us-east-1:432418664414:function:PRE-Cats", "PRE", SETTINGS)


def test_a_local_arn_is_refused_that_is_not_registered_and_one_of_another_account_is_a_lambda_function(
    own_functions: Callable[..., None],
) -> None:
    own_functions(mine=lambda event: {})
    with pytest.raises(Invalid, match=r"no function 'yours' is registered here \(registered: mine\)"):
        check_function(LOCAL + "yours", "PRE", SETTINGS)
    check_function(LOCAL + "mine", "PRE", SETTINGS)
    assert own_function(LOCAL + "mine", SETTINGS) == OwnFunction(LOCAL + "mine", "us-east-1", "mine")
    check_function(REMOTE + "yours:7", "PRE", SETTINGS)
    assert own_function(REMOTE + "yours:7", SETTINGS) == OwnFunction(REMOTE + "yours:7", "eu-west-3", None)
    assert own_function(None, SETTINGS) is None


def test_functions_are_found_as_entry_points_and_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fn_package.py").write_text(
        "class Tasks:\n    @staticmethod\n    def prepare(event): return {'taskInput': event}\nnumber = 1\n"
    )
    info = tmp_path / "fn_package-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fn_package\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[trueground.functions]\nprepare = fn_package:Tasks.prepare\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("TRUEGROUND_FUNCTIONS", "number=fn_package:number, gone=fn_package:gone,nowhere=fn_nothing:x")
    assert registered_functions()["prepare"] == "fn_package:Tasks.prepare"
    assert load_function("prepare")({"a": 1}) == {"taskInput": {"a": 1}}
    with pytest.raises(InputError, match="not callable"):
        load_function("number")
    with pytest.raises(InputError, match="cannot be loaded from 'fn_package:gone': AttributeError"):
        load_function("gone")
    with pytest.raises(InputError, match="ModuleNotFoundError"):
        load_function("nowhere")
    monkeypatch.setenv("TRUEGROUND_FUNCTIONS", "prepare")
    with pytest.raises(InputError, match="TRUEGROUND_FUNCTIONS: 'prepare' is not name=module:attribute"):
        registered_functions()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[LambdaServer]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with serve_lambda() as server:
        yield server


def call(server: LambdaServer, name: str, event: dict[str, Any], seconds: float = 5) -> Any:
    function = own_function(REMOTE + name, SETTINGS)
    assert function is not None
    return FunctionCalls(replace(SETTINGS, lambda_endpoint=server.url)).call(function, event, seconds)


def test_a_lambda_function_is_invoked_in_the_region_of_its_arn(aws: LambdaServer) -> None:
    aws.handlers["echo"] = lambda event: {"taskInput": event}
    assert call(aws, "echo", {"x": "ü"}) == {"taskInput": {"x": "ü"}}
    ((path, authorization),) = aws.requests
    assert path == f"/2015-03-31/functions/{REMOTE}echo/invocations" and "/eu-west-3/lambda/" in authorization


def test_where_lambda_is_called_may_stand_in_aws_own_environment(
    aws: LambdaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.handlers["echo"] = lambda event: event
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", aws.url)
    function = own_function(REMOTE + "echo", SETTINGS)
    assert function is not None and FunctionCalls(SETTINGS).call(function, {"x": 1}, 5) == {"x": 1}


def test_what_goes_wrong_in_a_lambda_function_is_told(aws: LambdaServer) -> None:
    def broken(event: Any) -> Any:
        raise ValueError("no such customer")

    def slow(event: Any) -> Any:
        import time

        time.sleep(1)

    aws.handlers |= {"broken": broken, "slow": slow, "text": lambda event: b"not json", "nan": lambda event: b"[NaN]"}
    with pytest.raises(FunctionFailed, match="ValueError: no such customer"):
        call(aws, "broken", {})
    with pytest.raises(FunctionFailed, match="Function not found"):
        call(aws, "absent", {})
    for name in ("text", "nan"):
        with pytest.raises(FunctionFailed, match="returned no JSON"):
            call(aws, name, {})
    aws.requests.clear()
    with pytest.raises(FunctionFailed, match=r"[Tt]imeout"):
        call(aws, "slow", {}, seconds=0.2)
    assert len(aws.requests) == 1


def test_a_busy_lambda_function_is_asked_again(aws: LambdaServer) -> None:
    aws.handlers["echo"], aws.busy = lambda event: event, 1
    assert call(aws, "echo", {"x": 1}) == {"x": 1} and len(aws.requests) == 2


def test_a_python_function_gets_a_copy_and_gives_json_within_its_time(own_functions: Callable[..., None]) -> None:
    import time

    def changes(event: dict[str, Any]) -> Any:
        event["x"].append(2)
        return event

    def times_out(event: Any) -> Any:
        raise TimeoutError("the database")

    own_functions(
        changes=changes, sleeps=lambda event: time.sleep(1), exits=lambda event: exit(3), raises=times_out,
        nan=lambda event: {"x": float("nan")}, set=lambda event: {1},
    )  # fmt: skip
    calls, event = FunctionCalls(SETTINGS), {"x": [1]}

    def here(name: str, seconds: float = 5) -> Any:
        return calls.call(OwnFunction(LOCAL + name, "us-east-1", name), event, seconds)

    assert here("changes") == {"x": [1, 2]} and event == {"x": [1]}
    for name, message in {
        "sleeps": "took longer than 0.1 s", "exits": "SystemExit: 3", "raises": "TimeoutError: the database",
        "nan": "not JSON", "set": "not JSON", "absent": "no function 'absent'",
    }.items():  # fmt: skip
        with pytest.raises(FunctionFailed, match=message):
            here(name, seconds=0.1 if name == "sleeps" else 5)


def test_the_functions_of_the_guide_do_what_it_says(tmp_path: Path) -> None:
    import json

    from trueground.service.engine.post_function import read_labels
    from trueground.service.engine.preparation import needs_people
    from trueground.storage import file_uri

    guide = (Path(__file__).resolve().parents[2] / "docs/annotation-functions.md").read_text()
    functions: dict[str, Any] = {}
    exec(guide.split("```python\n")[1].split("```")[0], functions)
    assert needs_people(functions["before"]({"dataObject": {"source": "Good!"}}))
    assert not needs_people(functions["before"]({"dataObject": {"source": " "}}))
    given = [{"workerId": "w", "annotationData": {"content": '{"x": 1}'}}]
    payload = [{"datasetObjectId": "0", "dataObject": {"content": "Good!"}, "annotations": given}]
    (tmp_path / "request.json").write_text(json.dumps(payload))
    event = {"labelAttributeName": "tone", "payload": {"s3Uri": file_uri(tmp_path / "request.json")}}
    assert read_labels(functions["after"](event), "tone") == {"0": {"tone": {"answers": [{"x": 1}], "count": 1}}}
