"""Work teams and workforces, over real HTTP with real boto3."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

TEAMS = "arn:aws:sagemaker:us-east-1:000000000000:workteam/"


def test_work_teams_and_workforces_are_made_described_and_listed(service: Any, sagemaker: Any) -> None:
    sagemaker.create_workforce(WorkforceName="volunteers")
    names = [workforce["WorkforceName"] for workforce in sagemaker.list_workforces()["Workforces"]]
    assert names == ["default", "volunteers"]
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
        ({"NotificationConfiguration": {"NotificationTopicArn": "arn:aws:sns:us-east-1:000000000000:t"}},
         "ValidationException", "NotificationConfiguration cannot be honoured"),
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
