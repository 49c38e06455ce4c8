"""Work teams and workforces, over real HTTP with real boto3."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from trueground.service.engine import leasing, teams
from trueground.service.security import SecretBox
from trueground.service.settings import ServiceSettings

TEAMS = "arn:aws:sagemaker:us-east-1:000000000000:workteam/"


def test_work_teams_and_workforces_are_made_described_and_listed(service: Any, sagemaker: Any) -> None:
    sagemaker.delete_workteam(WorkteamName="annotators")
    sagemaker.create_workforce(WorkforceName="volunteers")
    names = [workforce["WorkforceName"] for workforce in sagemaker.list_workforces()["Workforces"]]
    assert names == ["volunteers"]
    service.add_team()
    assert sagemaker.describe_workforce(WorkforceName="volunteers")["Workforce"]["Status"] == "Active"
    cognito = {"UserPool": "us-east-1_abc", "UserGroup": "zebra-crew", "ClientId": "x"}
    arn = sagemaker.create_workteam(
        WorkteamName="zebras",
        WorkforceName="volunteers",
        MemberDefinitions=[{"CognitoMemberDefinition": cognito}],
        Description="Know zebras.",
    )["WorkteamArn"]
    team = sagemaker.describe_workteam(WorkteamName="zebras")["Workteam"]
    assert team["WorkteamArn"] == arn == TEAMS + "private-crowd/zebras"
    assert team["MemberDefinitions"] == [{"CognitoMemberDefinition": cognito}]
    listed = sagemaker.list_workteams(SortBy="Name", SortOrder="Descending", MaxResults=1)
    assert [one["WorkteamName"] for one in listed["Workteams"]] == ["zebras"]
    second = sagemaker.list_workteams(SortBy="Name", SortOrder="Descending", NextToken=listed["NextToken"])
    assert [one["WorkteamName"] for one in second["Workteams"]] == ["annotators"]


@pytest.mark.parametrize(
    ("members", "code", "message"),
    [
        ({"WorkteamName": "annotators"}, "ResourceInUse", "already a work team"),
        ({"WorkforceName": "elsewhere"}, "ValidationException", "no workforce 'elsewhere'"),
        ({"MemberDefinitions": [{}]}, "ValidationException", "MemberDefinitions.1"),
        ({"NotificationConfiguration": {"NotificationTopicArn": "arn:aws:sns:us-east-1:000000000000:t.fifo"}},
         "ValidationException", "NotificationTopicArn cannot be honoured"),
        ({"WorkerAccessConfiguration": {"S3Presign": {"IamPolicyConstraints": {"VpcSourceIp": "Enabled"}}}},
         "ValidationException", "VpcSourceIp cannot be honoured"),
    ],
)  # fmt: skip
def test_a_work_team_that_cannot_be_is_refused(
    sagemaker: Any, members: dict[str, Any], code: str, message: str
) -> None:
    request = {
        "WorkteamName": "new",
        "Description": "x",
        "MemberDefinitions": [{"OidcMemberDefinition": {"Groups": ["new"]}}],
    }
    with pytest.raises(ClientError, match=message) as caught:
        sagemaker.create_workteam(**{**request, **members})
    assert caught.value.response["Error"]["Code"] == code


def test_members_and_description_of_a_work_team_are_changed(
    service: Any, sagemaker: Any, make_job: Callable[..., str]
) -> None:
    worker = service.add_worker("ada", team="botanists")
    arn = sagemaker.describe_workteam(WorkteamName="annotators")["Workteam"]["WorkteamArn"]
    definitions = [{"OidcMemberDefinition": {"Groups": ["botanists"]}}]
    team = sagemaker.update_workteam(WorkteamName="annotators", MemberDefinitions=definitions)["Workteam"]
    assert (team["WorkteamArn"], team["Description"], team["MemberDefinitions"]) == (arn, "annotators", definitions)
    team = sagemaker.update_workteam(WorkteamName="annotators", Description="Know plants.")["Workteam"]
    assert (team["Description"], team["MemberDefinitions"]) == ("Know plants.", definitions)
    assert team["LastUpdatedDate"] > team["CreateDate"]
    make_job(objects=1)
    assert service.answer("animals", worker) == 1


def test_a_work_team_is_deleted_when_its_work_is_over_and_its_name_is_free_again(
    service: Any, sagemaker: Any, make_job: Callable[..., str], next_second: Callable[[], None]
) -> None:
    worker = service.add_worker("ada")
    make_job(objects=1)
    with pytest.raises(ClientError, match="still gets work from 'animals'") as caught:
        sagemaker.delete_workteam(WorkteamName="annotators")
    assert caught.value.response["Error"]["Code"] == "ResourceInUse"
    service.answer("animals", worker)
    service.wait_for("animals", "Completed")
    next_second()
    assert sagemaker.delete_workteam(WorkteamName="annotators")["Success"] is True
    assert sagemaker.list_workteams()["Workteams"] == []
    next_second()
    for operation in (sagemaker.describe_workteam, sagemaker.update_workteam, sagemaker.delete_workteam):
        with pytest.raises(ClientError, match="does not exist"):
            operation(WorkteamName="annotators")
    with pytest.raises(ClientError, match="no work team 'annotators'"):
        make_job("more", objects=1)
    assert sagemaker.describe_labeling_job(LabelingJobName="animals")["LabelingJobStatus"] == "Completed"
    service.add_team()
    next_second()
    make_job("more", objects=1)
    assert service.answer("more", worker) == 1


def test_vendors_work_teams_are_listed_apart(service: Any, sagemaker: Any) -> None:
    definitions = [{"OidcMemberDefinition": {"Groups": ["acme"]}}]
    request = {"WorkteamName": "acme", "Description": "Labels pictures.", "MemberDefinitions": definitions}
    arn = teams.create_workteam(service.db, service.settings, request, kind="vendor")
    assert arn == TEAMS + "vendor-crowd/acme"
    assert [team["WorkteamName"] for team in sagemaker.list_workteams()["Workteams"]] == ["annotators"]
    expected = {"WorkteamArn": arn, "SellerName": "acme", "MarketplaceDescription": "Labels pictures."}
    assert sagemaker.list_subscribed_workteams(NameContains="ACM")["SubscribedWorkteams"] == [expected]
    assert sagemaker.describe_subscribed_workteam(WorkteamArn=arn)["SubscribedWorkteam"] == expected
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "site", "Value": "north"}])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "site", "Value": "north"}]
    with pytest.raises(ClientError, match="does not exist"):
        sagemaker.describe_workteam(WorkteamName="acme")
    with pytest.raises(ClientError, match="does not exist"):
        sagemaker.describe_subscribed_workteam(WorkteamArn=TEAMS + "private-crowd/annotators")


@pytest.mark.parametrize(("constraint", "elsewhere"), [("Enabled", 403), ("Disabled", 200)])
def test_links_to_files_open_from_the_workers_own_address_where_the_team_says_so(
    settings: ServiceSettings,
    running_service: Callable[..., Any],
    job_request: Callable[..., dict[str, Any]],
    constraint: str,
    elsewhere: int,
) -> None:
    access = {"S3Presign": {"IamPolicyConstraints": {"SourceIp": constraint}}}
    with running_service(replace(settings, trusted_proxies=("127.0.0.1",))) as service:
        client = service.client()
        client.update_workteam(WorkteamName="annotators", WorkerAccessConfiguration=access)
        told = client.describe_workteam(WorkteamName="annotators")["Workteam"]
        assert told["WorkerAccessConfiguration"] == access
        client.create_labeling_job(**job_request())
        worker = service.add_worker("ann")
        lease = leasing.next_assignment(service.db, worker, "animals")
        assert lease is not None
        token = SecretBox.load(settings.home).signer().sign("frame", {"a": lease.id, "w": worker}, 60)
        home, other = ({"X-Forwarded-For": address} for address in ("192.0.2.7", "192.0.2.8"))
        page = httpx.get(f"{service.url}/frame/{token}", headers=home).text
        (link,) = re.findall(r"/media/[\w.-]+", page)
        assert httpx.get(service.url + link, headers=home).status_code == 200
        assert httpx.get(service.url + link, headers=other).status_code == elsewhere


def test_a_work_team_tells_the_topic_it_was_given(sagemaker: Any) -> None:
    topic = {"NotificationTopicArn": "arn:aws:sns:us-east-1:000000000000:news"}
    sagemaker.update_workteam(WorkteamName="annotators", NotificationConfiguration=topic)
    assert sagemaker.describe_workteam(WorkteamName="annotators")["Workteam"]["NotificationConfiguration"] == topic
