"""Signing in with a workforce's own OIDC provider."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc.jwk import RSAKey
from sqlalchemy import insert, select
from starlette.responses import RedirectResponse, Response

from tests.service.oidc_servers import MockProvider, StrictProvider, aws_claims, mock_provider, strict_provider
from tests.service.running import TEAM, RunningService
from trueground.service.engine import erasure
from trueground.service.engine.errors import Invalid, SignInRefused
from trueground.service.engine.oidc import person_of
from trueground.service.engine.oidc_provider import check_address
from trueground.service.engine.output_rows import WorkerIdentity
from trueground.service.store.database import now
from trueground.service.store.tables import worker_groups, workers, workforces

WORKFORCE = "partners"


def add_workforce(service: RunningService, config: dict[str, Any], name: str = WORKFORCE) -> None:
    # There is one workforce in a region: the first one goes, with the team that the fixture has made in it.
    client = service.client()
    if any(team["WorkteamName"] == TEAM for team in client.list_workteams()["Workteams"]):
        client.delete_workteam(WorkteamName=TEAM)
    client.create_workforce(WorkforceName=name, OidcConfig=config)


def add_oidc_team(service: RunningService, name: str, *groups: str) -> str:
    answer = service.client().create_workteam(
        WorkteamName=name,
        WorkforceName=WORKFORCE,
        Description=name,
        MemberDefinitions=[{"OidcMemberDefinition": {"Groups": list(groups)}}],
    )
    return str(answer["WorkteamArn"])


@pytest.fixture
def mock(service: RunningService) -> Iterator[MockProvider]:
    with mock_provider(f"{service.url}/oauth2/idpresponse") as provider:
        add_workforce(service, provider.config)
        yield provider


@pytest.fixture
def strict(service: RunningService) -> Iterator[StrictProvider]:
    with strict_provider() as provider:
        add_workforce(service, provider.config)
        yield provider


@pytest.fixture
def visitor(service: RunningService) -> Iterator[httpx.Client]:
    """Somebody's browser: cookies, but redirects one by one."""
    with httpx.Client(base_url=service.url) as client:
        yield client


def to_provider(visitor: httpx.Client, next: str = "", workforce: str = WORKFORCE) -> str:
    answer = visitor.get(f"/oauth2/signin/{workforce}", params={"next": next})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def log_in(visitor: httpx.Client, subject: str, next: str = "") -> httpx.Response:
    """Through oidc-provider-mock's own form, and back."""
    form = to_provider(visitor, next)
    assert 'name="sub"' in httpx.get(form).text
    back = httpx.post(form, data={"sub": subject})
    assert back.status_code == 302, back.text
    return visitor.get(back.headers["location"])


def straight_in(visitor: httpx.Client, next: str = "") -> httpx.Response:
    """With the strict provider, which asks nothing."""
    return visitor.get(httpx.get(to_provider(visitor, next)).headers["location"])


def me(visitor: httpx.Client) -> dict[str, Any] | None:
    answer = visitor.get("/api/session")
    return answer.json()["worker"] if answer.status_code == 200 else None


def accounts_of(service: RunningService) -> list[Any]:
    with service.db.read() as connection:
        return list(connection.execute(select(workers).where(workers.c.source == "oidc")).all())


def groups_of(service: RunningService) -> set[str]:
    with service.db.read() as connection:
        return set(connection.scalars(select(worker_groups.c.group_name)))


def test_the_sign_in_page_has_a_button_for_each_oidc_workforce(mock: MockProvider, visitor: httpx.Client) -> None:
    page = visitor.get("/signin", params={"next": "/work/x"}).text
    assert "Sign in with partners" in page
    assert 'href="/oauth2/signin/partners?next=/work/x"' in page


def test_somebody_signs_in_labels_and_is_known_by_issuer_and_subject_in_the_output(
    service: RunningService, mock: MockProvider, visitor: httpx.Client, make_job: Callable[..., str]
) -> None:
    mock.set_user("ada", "labelers", email="ada@example.org", email_verified=True)
    arn = add_oidc_team(service, "labelers-team", "labelers")
    make_job("animals", objects=1, WorkteamArn=arn)

    answer = log_in(visitor, "ada", next="/work/animals")

    assert (answer.status_code, answer.headers["location"]) == (303, "/work/animals")
    session = visitor.get("/api/session").json()
    assert session["worker"]["name"] == "Ada Lovelace"
    (account,) = accounts_of(service)
    assert (account.issuer, account.subject, account.email) == (mock.url, "ada", "ada@example.org")
    assert (account.role, account.password_hash) == ("worker", None)

    visitor.headers["X-CSRF-Token"] = session["csrfToken"]
    task = visitor.post("/api/work/next", json={"job": "animals"}).json()["assignment"]
    given = {"answerContent": {"crowd-image-classifier": {"label": "cat"}}}
    assert visitor.post(f"/api/assignments/{task['id']}/answer", json=given).status_code == 200
    service.wait_for("animals", "Completed")
    (file,) = (service.data_root / "out/animals/annotations/worker-response").rglob("*.json")
    (given_answer,) = json.loads(file.read_text())["answers"]
    assert given_answer["workerId"] == f"private.us-east-1.{account.id}"
    assert given_answer["workerMetadata"] == {
        "identityData": {"identityProviderType": "Oidc", "issuer": mock.url, "sub": "ada"}
    }

    erasure.erase(service.db, account.username)
    assert erasure.rewrite_files(service.db, service.settings.storage(), account.id) == 1
    pseudonym = f"erased-{account.id}"
    (left,) = json.loads(file.read_text())["answers"]
    assert left["workerMetadata"] == {"identityData": {"identityProviderType": "Oidc", "sub": pseudonym}}
    assert left["workerMetadata"] == WorkerIdentity("oidc", None, pseudonym).metadata("")


def test_the_cookie_of_a_sign_in_is_short_lived_and_no_script_reads_it(
    mock: MockProvider, visitor: httpx.Client
) -> None:
    cookie = visitor.get("/oauth2/signin/partners").headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Max-Age=600" in cookie and "Path=/oauth2" in cookie


def test_the_clients_secret_is_not_kept_in_the_clear(service: RunningService, mock: MockProvider) -> None:
    with service.db.read() as connection:
        row = connection.execute(select(workforces).where(workforces.c.name == WORKFORCE)).one()
    assert mock.client_secret not in str(row)


def test_groups_follow_the_provider_at_each_sign_in(
    service: RunningService, mock: MockProvider, visitor: httpx.Client, make_job: Callable[..., str]
) -> None:
    make_job("animals", WorkteamArn=add_oidc_team(service, "labelers-team", "labelers"))
    mock.set_user("ada", "labelers", "others")
    log_in(visitor, "ada")
    assert groups_of(service) == {"partners/labelers", "partners/others"}
    assert [job["name"] for job in visitor.get("/api/work").json()["jobs"]] == ["animals"]

    mock.set_user("ada", "others")
    log_in(visitor, "ada")
    assert groups_of(service) == {"partners/others"}
    assert visitor.get("/api/work").json()["jobs"] == []
    assert len(accounts_of(service)) == 1


def test_who_loses_the_claim_of_groups_loses_access_and_is_told(
    service: RunningService, mock: MockProvider, visitor: httpx.Client
) -> None:
    mock.set_user("ada", "labelers")
    log_in(visitor, "ada")
    mock.set_user("ada", **{"sagemaker:groups": None})
    answer = log_in(visitor, "ada")
    assert answer.status_code == 403
    assert "sagemaker:groups" in answer.text
    assert groups_of(service) == set()


def test_a_group_of_a_provider_is_not_the_local_group_of_that_name(
    service: RunningService, mock: MockProvider, visitor: httpx.Client, make_job: Callable[..., str]
) -> None:
    # A store of before there was one workforce in a region: local teams beside those of the provider.
    with service.db.write() as connection:
        values = {"name": "default", "request": {}, "created_at": now(), "updated_at": now()}
        connection.execute(insert(workforces).values(**values))
    service.add_team()
    make_job("animals")  # of the local team and group "annotators"
    mock.set_user("ada", "annotators")
    log_in(visitor, "ada")
    assert visitor.get("/api/work").json()["jobs"] == []


def test_a_local_account_is_not_taken_over_by_a_provider_who_has_somebody_of_its_name(
    service: RunningService, mock: MockProvider, visitor: httpx.Client
) -> None:
    local = service.add_worker("boss", role="manager")
    mock.set_user("boss", "labelers", name="boss", preferred_username="boss", **{"sagemaker:name": "boss"})

    log_in(visitor, "boss")

    (account,) = accounts_of(service)
    assert account.id != local
    assert account.username != "boss"
    assert me(visitor)["role"] == "worker"  # type: ignore[index]
    assert visitor.get("/api/jobs").status_code == 403


def test_the_same_subject_of_two_issuers_is_two_people(
    service: RunningService, mock: MockProvider, visitor: httpx.Client
) -> None:
    mock.set_user("u-1", "labelers")
    log_in(visitor, "u-1")
    service.client().delete_workforce(WorkforceName=WORKFORCE)
    with strict_provider() as other:
        add_workforce(service, other.config, "others")
        visitor.get(httpx.get(to_provider(visitor, workforce="others")).headers["location"])
    assert len({account.id for account in accounts_of(service)}) == 2


def test_a_closed_account_cannot_sign_in(service: RunningService, mock: MockProvider, visitor: httpx.Client) -> None:
    from sqlalchemy import update

    mock.set_user("ada", "labelers")
    log_in(visitor, "ada")
    visitor.post("/signout")
    with service.db.write() as connection:
        connection.execute(update(workers).where(workers.c.subject == "ada").values(disabled_at=now()))
    assert log_in(visitor, "ada").status_code == 403
    assert me(visitor) is None


def test_refusing_at_the_provider_is_a_readable_page(strict: StrictProvider, visitor: httpx.Client) -> None:
    state = parse_qs(urlsplit(to_provider(visitor)).query)["state"][0]
    answer = visitor.get("/oauth2/idpresponse", params={"state": state, "error": "access_denied<script>"})
    assert answer.status_code == 403
    assert "access_denied&lt;script&gt;" in answer.text and "<html" in answer.text
    assert me(visitor) is None


def test_an_answer_of_another_provider_is_refused(strict: StrictProvider, visitor: httpx.Client) -> None:
    back = httpx.get(to_provider(visitor)).headers["location"]
    assert visitor.get(back.replace("iss=", "iss=x")).status_code == 403
    assert strict.token_requests == []  # the code was not given away


def test_signing_out_ends_the_session_here_and_leads_to_the_providers_logout(
    service: RunningService, mock: MockProvider, visitor: httpx.Client
) -> None:
    mock.set_user("ada", "labelers")
    log_in(visitor, "ada")

    answer = visitor.post("/signout")

    assert me(visitor) is None
    url = unescape(re.search(r'url=([^"]+)"', answer.text)[1])  # type: ignore[index]
    assert url.startswith(f"{mock.url}/oauth2/end_session?")
    asked = parse_qs(urlsplit(url).query)
    assert asked == {"client_id": [mock.client_id], "post_logout_redirect_uri": [f"{service.url}/signin"]}
    assert httpx.get(url).status_code == 200


def test_signing_out_of_a_local_account_leads_to_no_provider(
    service: RunningService, mock: MockProvider, visitor: httpx.Client
) -> None:
    service.add_worker("ada")
    visitor.post("/signin", data={"username": "ada", "password": "secret"})
    assert visitor.post("/signout").headers["location"] == "/signin"


@pytest.mark.parametrize(
    "target", ["https://evil.example", "//evil.example", "/\\evil.example", "/\t/evil.example", "javascript:alert(1)"]
)
def test_no_sign_in_leads_to_another_site(strict: StrictProvider, visitor: httpx.Client, target: str) -> None:
    answer = straight_in(visitor, next=target)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_nobody_is_signed_in_by_anothers_answer(strict: StrictProvider, service: RunningService) -> None:
    with httpx.Client(base_url=service.url) as attacker, httpx.Client(base_url=service.url) as victim:
        back = httpx.get(to_provider(attacker)).headers["location"]
        assert victim.get(back).status_code == 403  # no sign-in was begun there
        to_provider(victim)
        assert victim.get(back).status_code == 403  # another one was
        assert me(victim) is None


def test_an_answer_is_good_once(strict: StrictProvider, visitor: httpx.Client) -> None:
    url = to_provider(visitor)
    cookie = visitor.cookies["trueground_oidc"]
    back = httpx.get(url).headers["location"]
    assert visitor.get(back).status_code == 303
    visitor.cookies.clear()
    visitor.cookies.set("trueground_oidc", cookie)
    assert visitor.get(back).status_code == 403
    assert me(visitor) is None


def test_what_the_flow_rests_on_is_not_replaced_by_extra_parameters(
    strict: StrictProvider, visitor: httpx.Client
) -> None:
    assert straight_in(visitor).status_code == 303
    (asked,) = strict.logins
    assert asked["prompt"] == "login"
    assert asked["state"] != "fixed"


def test_a_session_from_before_the_sign_in_is_not_kept(strict: StrictProvider, visitor: httpx.Client) -> None:
    visitor.cookies.set("trueground_session", "chosen-by-somebody-else")
    straight_in(visitor)
    assert visitor.cookies.jar is not None
    values = [cookie.value for cookie in visitor.cookies.jar if cookie.name == "trueground_session"]
    assert any(value != "chosen-by-somebody-else" for value in values)
    with httpx.Client(base_url=visitor.base_url, cookies={"trueground_session": "chosen-by-somebody-else"}) as other:
        assert me(other) is None


LIES: dict[str, Callable[[StrictProvider], None]] = {
    "not signed": lambda p: setattr(p, "forge", "none"),
    "signed by the public key as if it were a secret": lambda p: setattr(p, "forge", "public"),
    "another issuer": lambda p: p.claims.update(iss="https://elsewhere.example"),
    "another audience": lambda p: p.claims.update(aud="another-client"),
    "several audiences, none of them authorized": lambda p: p.claims.update(aud=[p.client_id, "another-client"]),
    "another authorized party": lambda p: p.claims.update(azp="another-client"),
    "expired": lambda p: p.claims.update(exp=int(time.time()) - 3600, iat=int(time.time()) - 7200),
    "no expiry": lambda p: p.claims.update(exp=None),
    "from the future": lambda p: p.claims.update(iat=int(time.time()) + 3600, exp=int(time.time()) + 7200),
    "another nonce": lambda p: p.claims.update(nonce="replayed"),
    "no nonce": lambda p: p.claims.update(nonce=None),
    "no subject": lambda p: p.claims.update(sub=None),
    "userinfo of somebody else": lambda p: p.userinfo.update(sub="u-2"),
    "claims for another client": lambda p: p.claims.update({"sagemaker:client_id": "another-client"}),
    "no subject in AWS's claims": lambda p: p.claims.update({"sagemaker:sub": None}),
    "no name": lambda p: p.claims.update({"sagemaker:name": None}),
    "no groups": lambda p: p.claims.update({"sagemaker:groups": None}),
    "too many groups": lambda p: p.claims.update({"sagemaker:groups": [f"g{n}" for n in range(11)]}),
    "a group that is too long": lambda p: p.claims.update({"sagemaker:groups": ["g" * 64]}),
    "groups that are no names": lambda p: p.claims.update({"sagemaker:groups": [{"a": 1}]}),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_token_that_is_wrong_signs_nobody_in(strict: StrictProvider, visitor: httpx.Client, lie: str) -> None:
    LIES[lie](strict)
    answer = straight_in(visitor)
    assert answer.status_code == 403, answer.text
    assert "<html" in answer.text
    assert me(visitor) is None


def test_a_token_by_a_key_that_the_provider_does_not_publish_is_refused(
    strict: StrictProvider, visitor: httpx.Client
) -> None:
    strict.signing_key = RSAKey.generate_key(2048, {"kid": "first"})
    assert straight_in(visitor).status_code == 403
    assert me(visitor) is None


def test_the_provider_may_change_its_keys(strict: StrictProvider, visitor: httpx.Client) -> None:
    assert straight_in(visitor).status_code == 303
    assert straight_in(visitor).status_code == 303
    assert strict.jwks_fetched == 1  # kept from the first time
    strict.key = RSAKey.generate_key(2048, {"kid": "second"})
    assert straight_in(visitor).status_code == 303
    strict.key = RSAKey.generate_key(2048, {"kid": "second"})  # the same name for another key
    assert straight_in(visitor).status_code == 303


def test_claims_may_come_from_the_userinfo_endpoint_and_with_hyphens(
    service: RunningService, strict: StrictProvider, visitor: httpx.Client
) -> None:
    for name in aws_claims("", ""):
        strict.claims[name] = None
    strict.userinfo = {
        name.replace(":", "-"): value for name, value in aws_claims(strict.client_id, "u-7", "labelers").items()
    }
    strict.userinfo["sagemaker-groups"] = "labelers"  # one, as a text
    assert straight_in(visitor).status_code == 303
    assert [account.subject for account in accounts_of(service)] == ["u-7"]
    assert groups_of(service) == {"partners/labelers"}


@pytest.mark.parametrize(
    "answer",
    [
        Response(b"<html>", 200),
        Response(b"[" * 100_000, 200, media_type="application/json"),
        Response(b'{"id_token": "' + b"x" * 300_000 + b'"}', 200, media_type="application/json"),
        RedirectResponse("http://127.0.0.1:9/token", 307),
        Response(b'{"access_token": "a"}', 200, media_type="application/json"),
    ],
    ids=["no JSON", "nested", "too long", "a redirect", "no ID token"],
)
def test_a_provider_that_answers_nonsense_is_a_readable_error(
    strict: StrictProvider, visitor: httpx.Client, answer: Response
) -> None:
    strict.token_response = answer
    page = straight_in(visitor)
    assert page.status_code == 502
    assert "sign-in provider" in page.text or "TokenEndpoint" in page.text


def test_a_provider_that_is_gone_is_a_readable_error(service: RunningService, visitor: httpx.Client) -> None:
    with strict_provider() as provider:
        add_workforce(service, provider.config)
        back = httpx.get(to_provider(visitor)).headers["location"]
    page = visitor.get(back)
    assert page.status_code == 502
    assert "cannot be reached" in page.text


def test_a_provider_that_never_ends_its_answer_is_given_up(
    strict: StrictProvider, visitor: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from starlette.responses import StreamingResponse

    from trueground.service.engine import oidc_provider

    monkeypatch.setattr(oidc_provider, "SECONDS_AT_MOST", 0.3)

    def drip() -> Iterator[bytes]:
        for _ in range(20):
            time.sleep(0.1)
            yield b" "

    strict.token_response = StreamingResponse(drip())
    started = time.monotonic()
    assert straight_in(visitor).status_code == 502
    assert time.monotonic() - started < 1.5


@pytest.mark.parametrize(
    "url",
    ["http://idp.example/token", "ftp://idp.example", "file:///etc/passwd", "https://", "https://user@idp.example",
     "http://127.0.0.1.evil.example/", "http://localhost@evil.example/", "http://169.254.169.254/", "https://[::1"],
)  # fmt: skip
def test_providers_are_asked_over_https_only(url: str) -> None:
    with pytest.raises(Invalid, match="TokenEndpoint"):
        check_address(url, "TokenEndpoint")


@pytest.mark.parametrize("url", ["https://idp.example/token", "http://127.0.0.1:8080/token", "http://localhost/"])
def test_addresses_of_providers_that_are_taken(url: str) -> None:
    check_address(url, "TokenEndpoint")


def test_a_workforce_with_an_unsafe_endpoint_is_refused(service: RunningService) -> None:
    config = {**StrictProvider(url="https://idp.example").config, "TokenEndpoint": "http://idp.example/token"}
    with pytest.raises(service.client().exceptions.ClientError, match="okenEndpoint"):
        add_workforce(service, config)


def test_plain_claims_are_not_taken_for_awss() -> None:
    with pytest.raises(SignInRefused, match="sagemaker:sub"):
        person_of({"sub": "u-1", "name": "Ada", "groups": ["labelers"]}, "client")


def test_an_unknown_workforce_is_not_found(service: RunningService, visitor: httpx.Client) -> None:
    assert visitor.get("/oauth2/signin/default").status_code == 404
    assert visitor.get("/oauth2/signin/nobody").status_code == 404
