"""The service as people start it: the commands, mounted in another app, the AWS CLI."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from typer.testing import CliRunner

from trueground.cli import app
from trueground.cli.serve import serve
from trueground.errors import InputError
from trueground.service.app import create_app
from trueground.service.engine import invitations, leasing, sessions
from trueground.service.engine.errors import EngineError
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database
from trueground.storage import file_uri


def test_the_aws_cli_prints_a_job(service: Any, make_job: Callable[..., str]) -> None:
    make_job(objects=2)
    command = [str(Path(sys.executable).parent / "aws"), "sagemaker", "describe-labeling-job"]
    command += ["--labeling-job-name", "animals", "--endpoint-url", service.url, "--output", "json"]
    environment = {
        **os.environ,
        "AWS_SHARED_CREDENTIALS_FILE": str(service.settings.credentials_file),
        "AWS_PROFILE": "trueground",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["LabelCounters"]["Unlabeled"] == 2


def test_mounted_below_a_prefix_it_answers_there(
    settings: ServiceSettings,
    serve_app: Callable[..., Any],
    connect: Callable[..., Any],
    job_request: Callable[..., dict[str, Any]],
) -> None:
    from contextlib import asynccontextmanager

    inner = create_app(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> Any:
        async with inner.router.lifespan_context(inner):  # as Airflow enters the lifespans of mounted apps
            yield

    outer = FastAPI(lifespan=lifespan)
    outer.mount("/labeling", inner)
    with serve_app(outer) as url:
        service = connect(url, settings)
        service.add_team()
        worker = service.add_worker("ann")
        assert httpx.get(f"{url}/labeling/healthz").json() == {"status": "ok"}
        for path in ("/labeling/", "/labeling/aws", "/labeling/aws/"):
            client = service.client(endpoint_url=url + path)
            assert client.list_labeling_jobs()["LabelingJobSummaryList"] == []
        client.create_labeling_job(**job_request("animals", objects=1))
        service.answer("animals", worker)
        service.url = f"{url}/labeling/aws"
        service.wait_for("animals", "Completed")
        _review_something_large(service, client)


def _review_something_large(service: Any, sagemaker: Any) -> None:
    """Start a human loop whose request is larger than any other may be."""
    template = {"Content": "<crowd-form>{{ task.input.words }}<input name='q'></crowd-form>"}
    ui = sagemaker.create_human_task_ui(HumanTaskUiName="words", UiTemplate=template)["HumanTaskUiArn"]
    shown = sagemaker.describe_human_task_ui(HumanTaskUiName="words")["UiTemplate"]["Url"]
    assert httpx.get(shown).text == template["Content"]
    team = service.settings.arn("workteam/private-crowd/annotators")
    human = {"WorkteamArn": team, "HumanTaskUiArn": ui, "TaskTitle": "x", "TaskDescription": "x", "TaskCount": 1}
    flow = sagemaker.create_flow_definition(
        FlowDefinitionName="words",
        HumanLoopConfig=human,
        OutputConfig={"S3OutputPath": file_uri(service.data_root / "reviews")},
        RoleArn="arn:aws:iam::000000000000:role/labeling",
    )["FlowDefinitionArn"]
    a2i = service.client("sagemaker-a2i-runtime")
    given = json.dumps({"words": '"' * 1_500_000})
    a2i.start_human_loop(HumanLoopName="large", FlowDefinitionArn=flow, HumanLoopInput={"InputContent": given})
    assert a2i.describe_human_loop(HumanLoopName="large")["HumanLoopStatus"] == "InProgress"


def test_serve_prints_where_everything_is(service_process: Any) -> None:
    service_process.kill()
    printed = service_process.process.stdout.read()
    assert f"AWS_SHARED_CREDENTIALS_FILE={service_process.settings.credentials_file}" in printed
    assert "trueground worker add" in printed and "--endpoint-url" in printed


def test_a_taken_port_gets_a_clear_message(tmp_path: Path) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match=r"cannot listen on 127.0.0.1 port .*Give another --port"):
            serve(port=taken.getsockname()[1], home=tmp_path)


def test_the_first_start_happens_once(settings: ServiceSettings, running_service: Callable[..., Any]) -> None:
    with running_service(settings) as service:
        first = settings.credentials_file.read_text()
        service.client().list_workforces()
    settings.credentials_file.unlink()
    app = create_app(settings)
    assert app.openapi_url is None
    from trueground.service.engine import first_start

    first_start.prepare(app.state.service.db, app.state.service.secrets, settings)
    assert not settings.credentials_file.exists(), "a file that someone removed stays away"
    assert "aws_access_key_id = TGIA" in first


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., str]:
    """Run a command of ``trueground``; gives what it prints."""

    def run(group: str, *words: str) -> str:
        result = CliRunner().invoke(app, [group, *words, "--home", str(tmp_path)])
        if result.exception is not None and isinstance(result.exception, EngineError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.output

    return run


def test_people_are_invited_closed_erased_and_put_with_vendors_from_the_command_line(
    command: Callable[..., str], tmp_path: Path
) -> None:
    command("team", "add", "zebras")
    link = command("worker", "invite", "--role", "reviewer", "--team", "zebras", "--url", "https://x.example/")
    assert link.startswith("https://x.example/join/")
    with closing(Database(f"sqlite:///{tmp_path}/store.db")) as db:
        token = link.split()[0].rpartition("/")[2]
        ann = invitations.accept(db, token, "ann", "longer than ten", name="Ann Other")
    command("worker", "role", "ann", "manager")
    command("worker", "password", "ann", "--password", "another one")
    command("worker", "disable", "ann")
    assert "ann\tmanager\tAnn Other\tzebras\tclosed" in command("worker", "list")
    command("worker", "enable", "ann")
    arn = command("vendor", "add", "acme", "--manager", "ann").strip()
    assert arn.endswith(":workteam/vendor-crowd/acme")
    assert "ann\tmanager\tAnn Other\tvendor:acme\n" in command("worker", "list")
    assert command("vendor", "add", "acme", "--worker", "ann").strip() == arn
    assert f"ann is erased-{ann.id} now" in command("worker", "erase", "ann", "--yes", "--data-root", str(tmp_path))
    assert f"erased-{ann.id}\tEnableWorker" not in command("audit", "--act", "SetRole")
    assert f"\tSetRole\terased-{ann.id}\trole=manager before=reviewer" in command("audit", "--act", "SetRole")
    lines = command("audit", "--resource", f"erased-{ann.id}", "--json").splitlines()
    assert [json.loads(line)["act"] for line in lines][:2] == ["EraseWorker", "AddToGroup"]
    assert len(command("audit", "--limit", "3").splitlines()) == 3


def test_people_and_teams_are_made_from_the_command_line(command: Callable[..., str], tmp_path: Path) -> None:
    command("worker", "add", "ann", "--password", "secret", "--name", "Ann Other")
    assert command("team", "add", "zebras", "--worker", "ann").strip().endswith(":workteam/private-crowd/zebras")
    command("worker", "add", "max", "--password", "secret", "--role", "manager", "--team", "zebras")
    command("team", "add", "zebras", "--worker", "ann")  # once more does no harm
    assert "zebras\tarn:aws:sagemaker:us-east-1:000000000000:workteam/private-crowd/zebras\tann, max" in command(
        "team", "list"
    )
    assert "max\tmanager\tmax\tzebras" in command("worker", "list")
    with closing(Database(f"sqlite:///{tmp_path}/store.db")) as db:
        session = sessions.sign_in(db, "ann", "secret")
        assert session is not None and session.identity.name == "Ann Other"
        assert sessions.sign_in(db, "ann", "wrong") is None and sessions.sign_in(db, "nobody", "secret") is None
        found = sessions.session_of(db, session.token)
        assert found is not None and found == (session.identity, session.csrf_token)
        sessions.sign_out(db, session.token)
        assert sessions.session_of(db, session.token) is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("worker", "add", "ann", "--password", "x", "--team", "none"), "The work team 'none' does not exist"),
        (("worker", "add", "a b", "--password", "x"), "cannot be a user name"),
        (("worker", "add", "ann", "--password", ""), "a password cannot be empty"),
        (("team", "add", "zebras", "--worker", "nobody"), "there is no account 'nobody'"),
        (("keys", "revoke", "TGIAX"), "there is no access key 'TGIAX' in use"),
    ],
)
def test_a_command_that_cannot_be_done_says_why_and_does_nothing(
    command: Callable[..., str], words: tuple[str, ...], message: str
) -> None:
    with pytest.raises(EngineError, match=re.escape(message)):
        command(*words)
    assert command("worker", "list") == "" and command("team", "list") == ""


def test_access_keys_are_made_listed_and_revoked(command: Callable[..., str]) -> None:
    printed = command("keys", "create", "--name", "laptop")
    key_id, secret = re.findall(r"= (\S+)", printed)
    listed = command("keys", "list")
    assert f"{key_id}\t" in listed and "laptop" in listed and secret not in listed
    command("keys", "revoke", key_id)
    assert "revoked" in command("keys", "list")


def test_two_processes_serve_one_store(store_url: str, settings: ServiceSettings, tmp_path: Path) -> None:
    """What one process creates, the other hands out."""
    from dataclasses import replace

    shared = replace(settings, store_url=store_url)
    one, other = create_app(shared).state.service, create_app(shared).state.service
    from trueground.service.engine import first_start, workforces

    first_start.prepare(one.db, one.secrets, shared)
    first_start.prepare(other.db, other.secrets, shared)
    workforces.create_workforce(one.db, shared, one.secrets, {"WorkforceName": "volunteers"})
    assert workforces.describe_workforce(other.db, shared, "volunteers").name == "volunteers"
    assert leasing.next_assignment(other.db, "0" * 16) is None


def test_each_operation_of_the_portal_has_its_own_id(settings: ServiceSettings) -> None:
    paths = create_app(settings).openapi()["paths"]
    ids = [operation["operationId"] for methods in paths.values() for operation in methods.values()]
    assert len(ids) == len(set(ids)) > 50
    assert {"get", "head"} <= paths["/media/{token}"].keys()
