"""Labeling jobs over real HTTP with real boto3: from creation to the files."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import update

from trueground.service.engine import answering, leasing, own_work
from trueground.service.engine.errors import Invalid
from trueground.service.store.database import now
from trueground.service.store.tables import labeling_jobs

MakeJob = Callable[..., str]


def output(service: Any, job: str, path: str) -> list[Any]:
    """The parsed lines of a file of a job's output."""
    text = (service.data_root / "out" / job / path).read_text()
    return [json.loads(line) for line in text.splitlines()]


def only_file(service: Any, job: str, folder: str) -> Any:
    """The parsed content of the one file below a folder of a job's output."""
    (file,) = (service.data_root / "out" / job / folder).rglob("*.json")
    return json.loads(file.read_text())


def manifest(service: Any, job: str) -> list[Any]:
    return output(service, job, "manifests/output/output.manifest")


def test_a_described_job_says_what_was_asked_for(
    service: Any, sagemaker: Any, job_request: Callable[..., dict[str, Any]]
) -> None:
    tags = [{"Key": "trueground:dag", "Value": "label_digits"}]
    request = job_request("animals", StoppingConditions={"MaxHumanLabeledObjectCount": 2}, Tags=tags)
    arn = sagemaker.create_labeling_job(**request)["LabelingJobArn"]
    job = sagemaker.describe_labeling_job(LabelingJobName="animals")
    assert arn == job["LabelingJobArn"] == "arn:aws:sagemaker:us-east-1:000000000000:labeling-job/animals"
    assert {key: job[key] for key in request} == request
    assert job["LabelingJobStatus"] == "InProgress"
    assert abs(job["CreationTime"] - datetime.now(UTC)) < timedelta(seconds=30)
    assert job["LabelCounters"]["Unlabeled"] == 3
    assert "LabelingJobOutput" not in job


def test_the_last_answer_completes_the_job_and_its_output_tree(service: Any, make_job: MakeJob) -> None:
    first, second = service.add_worker("ann"), service.add_worker("bob")
    make_job(objects=3, workers=2)
    service.answer("animals", first, "dog")
    service.answer("animals", second, lambda position: "cat" if position == 2 else "dog")
    job = service.wait_for("animals", "Completed", seconds=5)
    assert job["LabelCounters"] == {
        "TotalLabeled": 3, "HumanLabeled": 3, "MachineLabeled": 0, "FailedNonRetryableError": 0, "Unlabeled": 0,
    }  # fmt: skip
    uri = job["LabelingJobOutput"]["OutputDatasetS3Uri"]
    assert uri == f"file://{service.data_root}/out/animals/manifests/output/output.manifest"

    lines = manifest(service, "animals")
    assert [line["number"] for line in lines] == [0, 1, 2]
    assert lines[0]["animal"] == 1
    metadata = lines[0]["animal-metadata"]
    assert metadata.pop("confidence") > 0.5
    created = datetime.fromisoformat(metadata.pop("creation-date"))
    assert created.tzinfo is None and abs(created - datetime.now(UTC).replace(tzinfo=None)) < timedelta(minutes=1)
    assert metadata == {
        "class-name": "dog",
        "type": "groundtruth/image-classification",
        "human-annotated": "yes",
        "job-name": "labeling-job/animals",
    }


def test_worker_responses_have_the_form_of_ground_truth(service: Any, make_job: MakeJob) -> None:
    worker = service.add_worker("ann")
    make_job(objects=1)
    service.answer("animals", worker, "cat")
    service.wait_for("animals", "Completed")
    folder = service.data_root / "out/animals/annotations/worker-response/iteration-1"
    (file,) = folder.rglob("*.json")
    assert file.parent.name == "0"
    datetime.strptime(file.stem, "%Y-%m-%d_%H:%M:%S")
    (answer,) = json.loads(file.read_text())["answers"]
    for key in ("acceptanceTime", "submissionTime"):
        assert answer[key].endswith("Z") and len(answer[key]) == len("2020-12-28T18:59:15.191Z")
    assert answer["answerContent"] == {"crowd-image-classifier": {"label": "cat"}}
    assert answer["workerId"] == f"private.us-east-1.{worker}"
    assert set(answer["workerMetadata"]["identityData"]) == {"identityProviderType", "issuer", "sub"}
    assert answer["timeSpentInSeconds"] <= 0.5, "no more than the lease was held"


def test_the_consolidation_files_have_the_form_of_the_functions(service: Any, make_job: MakeJob) -> None:
    worker = service.add_worker("ann")
    make_job(objects=2)
    service.answer("animals", worker, "bird")
    service.wait_for("animals", "Completed")
    folder = "annotations/consolidated-annotation"
    request = only_file(service, "animals", f"{folder}/consolidation-request/iteration-1")
    assert [entry["datasetObjectId"] for entry in request] == ["0", "1"]
    assert request[0]["dataObject"]["s3Uri"].endswith("/pixel.png")
    (annotation,) = request[0]["annotations"]
    content = json.loads(annotation["annotationData"]["content"])
    assert content == {"crowd-image-classifier": {"label": "bird"}}
    response = only_file(service, "animals", f"{folder}/consolidation-response/iteration-1")
    label = response[1]["consolidatedAnnotation"]["content"]
    assert label["animal"] == 2 and label["animal-metadata"]["class-name"] == "bird"


def test_worker_responses_are_written_while_the_job_runs(service: Any, make_job: MakeJob) -> None:
    worker = service.add_worker("ann")
    make_job(objects=3)
    service.answer("animals", worker, most=1)
    service.wait_for("animals", "InProgress")
    file = service.data_root / "out/animals/annotations/worker-response/iteration-1/0"
    assert wait_until(lambda: list(file.glob("*.json")))


def test_stopping_keeps_what_was_answered_and_copies_the_rest(
    service: Any, sagemaker: Any, make_job: MakeJob, next_second: Callable[[], None]
) -> None:
    worker = service.add_worker("ann")
    make_job(objects=4)
    service.answer("animals", worker, most=1)
    held = leasing.next_assignment(service.db, worker, "animals")
    sagemaker.stop_labeling_job(LabelingJobName="animals")
    answering.submit_answer(service.db, held.id, worker, {"crowd-image-classifier": {"label": "cat"}}, 1.0)
    job = service.wait_for("animals", "Stopped")
    assert job["LabelCounters"]["HumanLabeled"] == 2 and job["LabelCounters"]["Unlabeled"] == 2
    assert ["animal" in line for line in manifest(service, "animals")] == [True, True, False, False]
    given = (service.data_root / "in/animals/input.manifest").read_text().splitlines()
    written = (service.data_root / "out/animals/manifests/output/output.manifest").read_text().splitlines()
    assert written[2:] == given[2:]
    next_second()
    with pytest.raises(ClientError, match="only a job in progress can be stopped"):
        sagemaker.stop_labeling_job(LabelingJobName="animals")


def test_a_stopped_job_waits_only_so_long_for_a_task_someone_holds(
    service: Any, sagemaker: Any, make_job: MakeJob
) -> None:
    worker = service.add_worker("ann")
    make_job(objects=2)
    held = leasing.next_assignment(service.db, worker, "animals")
    sagemaker.stop_labeling_job(LabelingJobName="animals")
    assert sagemaker.describe_labeling_job(LabelingJobName="animals")["LabelingJobStatus"] == "Stopping"
    service.wait_for("animals", "Stopped", seconds=5)
    with pytest.raises(Exception, match="The job has ended"):
        answering.submit_answer(service.db, held.id, worker, {"crowd-image-classifier": {"label": "cat"}}, 1.0)


@pytest.mark.parametrize(
    ("condition", "labeled"),
    [({"MaxHumanLabeledObjectCount": 3}, 3), ({"MaxPercentageOfInputDatasetLabeled": 50}, 2)],
    ids=["count", "percentage"],
)
def test_a_stopping_condition_stops_the_job_exactly(
    service: Any, make_job: MakeJob, condition: dict[str, int], labeled: int
) -> None:
    worker = service.add_worker("ann")
    make_job(objects=5, StoppingConditions=condition)
    assert service.answer("animals", worker) == labeled
    job = service.wait_for("animals", "Stopped")
    assert job["LabelCounters"]["HumanLabeled"] == labeled
    assert ["animal" in line for line in manifest(service, "animals")] == [n < labeled for n in range(5)]


def end_availability(service: Any) -> None:
    with service.db.write() as connection:
        connection.execute(update(labeling_jobs).values(available_until=now()))


def test_what_nobody_answered_in_time_fails_by_name_and_the_rest_is_labeled(service: Any, make_job: MakeJob) -> None:
    worker = service.add_worker("ann")
    make_job(objects=3, workers=2)
    service.answer("animals", worker, most=2)  # one of the two answers that were asked for
    end_availability(service)
    job = service.wait_for("animals", "Completed")
    assert job["LabelCounters"]["HumanLabeled"] == 2 and job["LabelCounters"]["FailedNonRetryableError"] == 1
    lines = manifest(service, "animals")
    assert ["animal" in line for line in lines] == [True, True, False]
    assert "expired" in lines[2]["animal-metadata"]["failure-reason"]


def test_a_job_nobody_answered_fails(service: Any, make_job: MakeJob) -> None:
    make_job(objects=2)
    end_availability(service)
    job = service.wait_for("animals", "Failed")
    assert "No data object was labeled" in job["FailureReason"]
    assert all("failure-reason" in line["animal-metadata"] for line in manifest(service, "animals"))


def test_a_chained_job_asks_only_about_what_has_no_label(service: Any, sagemaker: Any, make_job: MakeJob) -> None:
    worker = service.add_worker("ann")
    make_job("first", objects=4, StoppingConditions={"MaxHumanLabeledObjectCount": 2})
    service.answer("first", worker, "cat")
    service.wait_for("first", "Stopped")
    before = manifest(service, "first")
    make_job("second", objects=before)
    assert service.answer("second", worker, "dog") == 2
    job = service.wait_for("second", "Completed")
    assert job["LabelCounters"]["TotalLabeled"] == 4 and job["LabelCounters"]["HumanLabeled"] == 2
    after = manifest(service, "second")
    assert after[:2] == before[:2]
    assert [line["animal-metadata"]["class-name"] for line in after] == ["cat", "cat", "dog", "dog"]


def test_a_template_of_ones_own_without_functions_gets_the_line_and_leads_to_the_answers(
    service: Any, sagemaker: Any, job_request: Callable[..., dict[str, Any]]
) -> None:
    from trueground.service.engine import progress

    worker = service.add_worker("ann")
    line = {"source": "Is this a bird?", "hint": 1}
    left_out = dict.fromkeys(
        ["PreHumanTaskLambdaArn", "AnnotationConsolidationConfig", "LabelCategoryConfigS3Uri"], None
    )
    request = job_request(objects=[line], **left_out)
    template = service.data_root / "in/animals/template.html"
    template.write_text("<crowd-form>{{ task.input.source }} <crowd-input name='anything'></crowd-input></crowd-form>")
    sagemaker.create_labeling_job(**request)
    lease = leasing.next_assignment(service.db, worker)
    assert progress.task_view(service.db, lease.id, worker).task_input == line
    answering.submit_answer(service.db, lease.id, worker, {"anything": ["goes"]}, 1.0)
    service.wait_for("animals", "Completed")
    (written,) = manifest(service, "animals")
    metadata = written["animal-metadata"]
    assert written["animal"] == {} and metadata["type"] == "groundtruth/custom"
    answers = json.loads(service.settings.storage().read_text(metadata["worker-response-ref"]))
    assert answers["answers"][0]["answerContent"] == {"anything": ["goes"]}


def test_an_unusable_answer_is_not_taken_and_one_that_is_there_fails_its_object_alone(
    service: Any, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = service.add_worker("ann")
    make_job(objects=2)
    with pytest.raises(Invalid, match=r"'unicorn' is not one of the categories \['cat', 'dog', 'bird'\]"):
        service.answer("animals", worker, "unicorn")
    # What an earlier version kept, or another program wrote.
    monkeypatch.setattr(answering, "problem_of", lambda *_: None)
    (held,) = own_work.held_assignments(service.db, worker, "animals")
    answering.submit_answer(service.db, held.id, worker, {"crowd-image-classifier": {"label": "unicorn"}}, 1.0)
    service.answer("animals", worker)
    job = service.wait_for("animals", "Completed")
    assert job["LabelCounters"]["HumanLabeled"] == 1 and job["LabelCounters"]["FailedNonRetryableError"] == 1
    lines = manifest(service, "animals")
    assert "No label could be made" in lines[0]["animal-metadata"]["failure-reason"]
    assert lines[1]["animal"] == 1


def test_a_job_without_anything_to_ask_completes_at_once(service: Any, make_job: MakeJob, sagemaker: Any) -> None:
    worker = service.add_worker("ann")
    make_job("first", objects=1)
    service.answer("first", worker)
    service.wait_for("first", "Completed")
    make_job("second", objects=manifest(service, "first"))
    service.wait_for("second", "Completed")
    assert manifest(service, "second") == manifest(service, "first")


def test_jobs_are_listed_filtered_sorted_and_page_by_page(service: Any, sagemaker: Any, make_job: MakeJob) -> None:
    start = now() - timedelta(minutes=10)
    for number, name in enumerate(("bravo", "Alpha", "charlie-2", "charlie-1")):
        make_job(name, objects=1)
        # boto3 sends times in whole seconds, so these jobs have to be some apart.
        created = update(labeling_jobs).where(labeling_jobs.c.name == name)
        with service.db.write() as connection:
            connection.execute(created.values(created_at=start + timedelta(minutes=number)))
    sagemaker.stop_labeling_job(LabelingJobName="bravo")
    service.wait_for("bravo", "Stopped")

    def names(**options: Any) -> list[str]:
        pages = sagemaker.get_paginator("list_labeling_jobs").paginate(**options, PaginationConfig={"PageSize": 1})
        return [job["LabelingJobName"] for page in pages for job in page["LabelingJobSummaryList"]]

    assert names() == ["bravo", "Alpha", "charlie-2", "charlie-1"]
    assert names(SortOrder="Descending") == ["charlie-1", "charlie-2", "Alpha", "bravo"]
    assert names(SortBy="Name", NameContains="charlie") == ["charlie-1", "charlie-2"]
    assert names(SortBy="Status", StatusEquals="Stopped") == ["bravo"]
    assert names(SortBy="Status")[-1] == "bravo"
    second = sagemaker.describe_labeling_job(LabelingJobName="Alpha")["CreationTime"]
    assert abs(second - start - timedelta(minutes=1)) < timedelta(seconds=1)
    assert names(CreationTimeAfter=second + timedelta(seconds=2)) == ["charlie-2", "charlie-1"]
    assert names(CreationTimeBefore=second) == ["bravo"]
    assert names(LastModifiedTimeAfter=datetime.now(UTC) + timedelta(hours=1)) == []
    (summary,) = sagemaker.list_labeling_jobs(NameContains="alpha")["LabelingJobSummaryList"]
    assert summary["WorkteamArn"].endswith("/annotators") and summary["InputConfig"]["DataSource"]["S3DataSource"]
    with pytest.raises(ClientError, match="NextToken is not one of this list"):
        sagemaker.list_labeling_jobs(NextToken="bm90IG91cnM=")
    with pytest.raises(ClientError, match="NextToken is not one of this list"):
        sagemaker.list_labeling_jobs(NextToken=base64.urlsafe_b64encode(b"[" * 6000).decode())


def test_tags_can_be_added_listed_and_taken_away(service: Any, sagemaker: Any, make_job: MakeJob) -> None:
    from trueground.service.engine import progress

    make_job(objects=1, Tags=[{"Key": "a", "Value": "1"}])
    arn = sagemaker.describe_labeling_job(LabelingJobName="animals")["LabelingJobArn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "2"}, {"Key": "b", "Value": "3"}])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "2"}, {"Key": "b", "Value": "3"}]
    assert [job.name for job in progress.find_by_tags(service.db, {"a": "2", "b": "3"})] == ["animals"]
    assert progress.find_by_tags(service.db, {"a": "2", "b": "4"}) == []
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["a"])
    assert sagemaker.describe_labeling_job(LabelingJobName="animals")["Tags"] == [{"Key": "b", "Value": "3"}]


def test_progress_counts_people_and_what_they_did(service: Any, make_job: MakeJob) -> None:
    from trueground.service.engine import progress

    first, second = service.add_worker("ann"), service.add_worker("bob")
    make_job(objects=3, workers=2)
    service.answer("animals", first)
    service.answer("animals", second, most=1)
    (work,) = progress.work_for(service.db, second)
    assert (work.objects, work.answered, work.answered_by_me, work.available) == (3, 1, 1, 2)
    job = progress.job_progress(service.db, "animals")
    assert (job.answers, job.answers_wanted, job.answered, job.in_work, job.held) == (4, 6, 1, 2, 0)
    assert [(worker.username, worker.answers) for worker in job.workers] == [("ann", 3), ("bob", 1)]
    assert progress.jobs_overview(service.db)[0].name == "animals"
    stranger = service.add_worker("eve", team=None)
    assert progress.work_for(service.db, stranger) == []


def test_a_name_that_is_taken_is_refused_and_the_job_stays(
    service: Any, sagemaker: Any, job_request: Callable[..., dict[str, Any]], next_second: Callable[[], None]
) -> None:
    request = job_request()
    sagemaker.create_labeling_job(**request)
    next_second()
    before = sagemaker.describe_labeling_job(LabelingJobName="animals")
    with pytest.raises(ClientError, match="already a labeling job 'animals'") as caught:
        sagemaker.create_labeling_job(**request)
    assert caught.value.response["Error"]["Code"] == "ResourceInUse"
    after = sagemaker.describe_labeling_job(LabelingJobName="animals")
    assert after["JobReferenceCode"] == before["JobReferenceCode"]


def test_a_manifest_may_have_blank_lines_and_windows_line_ends(
    service: Any, sagemaker: Any, job_request: Callable[..., dict[str, Any]]
) -> None:
    request = job_request(objects=2)
    path: Path = service.data_root / "in/animals/input.manifest"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n\r\n"))
    sagemaker.create_labeling_job(**request)
    assert sagemaker.describe_labeling_job(LabelingJobName="animals")["LabelCounters"]["Unlabeled"] == 2


def wait_until(condition: Callable[[], Any], seconds: float = 5) -> Any:
    import time

    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
    return found


def test_a_token_goes_on_only_in_the_list_and_order_it_came_from(sagemaker: Any, make_job: Callable[..., str]) -> None:
    for number in range(2):
        make_job(f"job-{number}")
    token = sagemaker.list_labeling_jobs(MaxResults=1)["NextToken"]
    for other in ({"SortBy": "Name"}, {"SortOrder": "Descending"}):
        with pytest.raises(ClientError, match="NextToken is not one of this list"):
            sagemaker.list_labeling_jobs(NextToken=token, **other)
    found = sagemaker.list_labeling_jobs(NextToken=token)["LabelingJobSummaryList"]
    assert [job["LabelingJobName"] for job in found] == ["job-1"]
