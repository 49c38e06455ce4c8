"""Workforces with an OIDC provider, a user pool and ranges of addresses, over real HTTP with real boto3."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import select

from tests.service.running import RunningService
from trueground.service.engine.errors import Refused
from trueground.service.engine.ip_ranges import IpRanges
from trueground.service.security import SecretBox
from trueground.service.store.tables import workforces

OIDC = {
    "ClientId": "labeling",
    "ClientSecret": "not-for-the-store",
    **{
        name: f"https://login.example/{name}"
        for name in (
            "Issuer",
            "AuthorizationEndpoint",
            "TokenEndpoint",
            "UserInfoEndpoint",
            "LogoutEndpoint",
            "JwksUri",
        )
    },
    "Scope": "openid email",
    "AuthenticationRequestExtraParams": {"prompt": "login"},
}
MEMBERS = [{"OidcMemberDefinition": {"Groups": ["nurses"]}}]


@pytest.fixture
def empty(sagemaker: Any) -> Any:
    """A client of a service whose first workforce has no work team, so that another one can take its place."""
    sagemaker.delete_workteam(WorkteamName="annotators")
    return sagemaker


def _code(caught: pytest.ExceptionInfo[ClientError]) -> str:
    return str(caught.value.response["Error"]["Code"])


def test_the_secret_of_an_oidc_provider_is_kept_encrypted_and_never_shown(service: Any, empty: Any) -> None:
    empty.create_workforce(WorkforceName="hospital", OidcConfig=OIDC)
    shown = empty.describe_workforce(WorkforceName="hospital")["Workforce"]
    assert shown["OidcConfig"] == {key: value for key, value in OIDC.items() if key != "ClientSecret"}
    assert shown["SubDomain"] == service.url.removeprefix("http://")
    with service.db.read() as connection:
        row = connection.execute(select(workforces).where(workforces.c.name == "hospital")).one()
    assert "not-for-the-store" not in str(row)
    assert SecretBox.load(service.settings.home).decrypt(row.client_secret) == "not-for-the-store"


def test_a_user_pool_is_kept_for_the_clients_that_name_one(empty: Any) -> None:
    pool = {"UserPool": "us-east-1_abc", "ClientId": "x"}
    empty.create_workforce(WorkforceName="pool", CognitoConfig=pool)
    assert empty.describe_workforce(WorkforceName="pool")["Workforce"]["CognitoConfig"] == pool
    with pytest.raises(ClientError, match="cannot have an OidcConfig too"):
        empty.update_workforce(WorkforceName="pool", OidcConfig=OIDC)


def test_ranges_of_addresses_are_changed_and_the_rest_stays(empty: Any) -> None:
    empty.create_workforce(
        WorkforceName="hospital", OidcConfig=OIDC, SourceIpConfig={"Cidrs": ["203.0.113.0/24", "2001:db8::/32"]}
    )
    before = empty.describe_workforce(WorkforceName="hospital")["Workforce"]
    assert before["SourceIpConfig"]["Cidrs"] == ["203.0.113.0/24", "2001:db8::/32"]
    after = empty.update_workforce(WorkforceName="hospital", SourceIpConfig={"Cidrs": []})["Workforce"]
    assert after["SourceIpConfig"] == {"Cidrs": []}
    assert after["OidcConfig"] == before["OidcConfig"]
    assert after["LastUpdatedDate"] > before["LastUpdatedDate"]


def test_the_provider_cannot_change_below_work_teams(empty: Any, next_second: Callable[[], None]) -> None:
    empty.create_workforce(WorkforceName="hospital", OidcConfig=OIDC)
    team = {"WorkteamName": "nurses", "WorkforceName": "hospital", "MemberDefinitions": MEMBERS, "Description": "x"}
    empty.create_workteam(**team)
    changed = {**OIDC, "ClientId": "other", "ClientSecret": "new"}
    with pytest.raises(ClientError, match="has work teams") as caught:
        empty.update_workforce(WorkforceName="hospital", OidcConfig=changed)
    assert _code(caught) == "ConflictException"
    with pytest.raises(ClientError, match="has work teams") as caught:
        empty.delete_workforce(WorkforceName="hospital")
    assert _code(caught) == "ResourceInUse"
    assert empty.delete_workteam(WorkteamName="nurses")["Success"] is True
    next_second()
    updated = empty.update_workforce(WorkforceName="hospital", OidcConfig=changed)["Workforce"]
    assert updated["OidcConfig"]["ClientId"] == "other"
    empty.delete_workforce(WorkforceName="hospital")
    with pytest.raises(ClientError, match="No workforce") as caught:
        empty.describe_workforce(WorkforceName="hospital")
    assert _code(caught) == "ValidationException"


def test_a_work_team_goes_to_the_only_workforce_where_none_is_named(empty: Any) -> None:
    empty.create_workforce(WorkforceName="hospital", OidcConfig=OIDC)
    empty.create_workteam(WorkteamName="nurses", MemberDefinitions=MEMBERS, Description="x")
    assert empty.describe_workteam(WorkteamName="nurses")["Workteam"]["WorkforceArn"].endswith("/hospital")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"OidcConfig": OIDC, "CognitoConfig": {"UserPool": "us-east-1_a", "ClientId": "x"}}, "not both"),
        ({"WorkforceVpcConfig": {"VpcId": "vpc-1"}}, "WorkforceVpcConfig cannot be honoured"),
        ({"SourceIpConfig": {"Cidrs": ["10.0.0.0/8"] * 11}}, "10 ranges at most"),
        ({"SourceIpConfig": {"Cidrs": ["anywhere"]}}, "cidrs.1.member"),
    ],
)
def test_a_workforce_that_cannot_be_honoured_is_refused(sagemaker: Any, members: dict[str, Any], message: str) -> None:
    with pytest.raises(ClientError, match=message) as caught:
        sagemaker.create_workforce(WorkforceName="new", **members)
    assert _code(caught) == "ValidationException"
    assert [one["WorkforceName"] for one in sagemaker.list_workforces()["Workforces"]] == ["default"]


def test_there_is_one_workforce_in_a_region(sagemaker: Any) -> None:
    for _ in range(2):
        with pytest.raises(ClientError, match="already the workforce 'default'") as caught:
            sagemaker.create_workforce(WorkforceName="hospital", OidcConfig=OIDC)
        assert _code(caught) == "ResourceLimitExceeded"
    sagemaker.delete_workteam(WorkteamName="annotators")
    sagemaker.create_workforce(WorkforceName="hospital", OidcConfig=OIDC)
    assert [one["WorkforceName"] for one in sagemaker.list_workforces()["Workforces"]] == ["hospital"]
    with pytest.raises(ClientError, match="already the workforce 'hospital'"):
        sagemaker.create_workforce(WorkforceName="default")
    sagemaker.delete_workforce(WorkforceName="hospital")
    sagemaker.create_workforce(WorkforceName="volunteers", SourceIpConfig={"Cidrs": ["127.0.0.1/32"]})


def test_two_workforces_cannot_have_one_name(sagemaker: Any) -> None:
    with pytest.raises(ClientError, match="already a workforce") as caught:
        sagemaker.create_workforce(WorkforceName="default")
    assert _code(caught) == "ResourceInUse"


@pytest.mark.parametrize(
    ("members", "address", "refused"),
    [
        ({"IpAddressType": "ipv4"}, "192.0.2.7", False),
        ({"IpAddressType": "ipv4"}, "::ffff:192.0.2.7", False),
        ({"IpAddressType": "ipv4"}, "2001:db8::7", True),
        ({"IpAddressType": "dualstack"}, "2001:db8::7", False),
        ({"IpAddressType": "ipv4", "SourceIpConfig": {"Cidrs": ["2001:db8::/32"]}}, "2001:db8::7", True),
        ({"IpAddressType": "ipv4", "SourceIpConfig": {"Cidrs": ["192.0.2.0/24"]}}, "192.0.2.7", False),
    ],
)
def test_people_of_an_ipv4_workforce_come_from_ipv4_addresses(
    service: RunningService, sagemaker: Any, members: dict[str, Any], address: str, refused: bool
) -> None:
    told = sagemaker.update_workforce(WorkforceName="default", **members)["Workforce"]
    assert told["IpAddressType"] == members["IpAddressType"]
    worker = service.add_worker("ann")
    with pytest.raises(Refused) if refused else nullcontext():
        IpRanges(service.db).check(worker, lambda: address)
