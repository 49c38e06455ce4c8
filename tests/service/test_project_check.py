"""`trueground project check`, and how many people are in a team."""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest
from typer.testing import CliRunner

from demo.digits import write_digits
from tests.service.running import RunningService
from trueground.cli import app
from trueground.errors import InputError
from trueground.service.engine import accounts
from trueground.work_teams import counting

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "include" / "projects" / "digits.yaml"


def test_members_are_counted_by_the_service(shared_service: RunningService) -> None:
    count = counting(shared_service.client())
    assert count("annotators") == 0
    shared_service.add_worker("ana")
    shared_service.add_worker("ben", team=None)
    shared_service.add_worker("cleo")
    accounts.disable(shared_service.db, "cleo")
    assert count("annotators") == 1
    assert count("arn:aws:sagemaker:us-east-1:123456789012:workteam/private-crowd/x") is None
    with pytest.raises(InputError, match="there is no work team 'none'"):
        count("none")
    nowhere = boto3.client(
        "sagemaker", endpoint_url="http://127.0.0.1:1", region_name="us-east-1",
        aws_access_key_id="a", aws_secret_access_key="b",
    )  # fmt: skip
    with pytest.raises(InputError, match="cannot be asked") as caught:
        counting(nowhere)("annotators")
    assert caught.value.field == "connection"


def test_the_command_checks_files_against_the_store_or_a_service(
    shared_service: RunningService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_digits(tmp_path / "digits" / "images", tmp_path / "truth.csv", limit=2)
    options = ["project", "check", str(DIGITS), "--data-root", str(tmp_path)]
    run, home = CliRunner().invoke, ["--home", str(tmp_path / "home")]
    found = run(app, [*options, *home])
    assert found.exit_code == 1
    assert "digits.yaml: people.team: there is no work team 'annotators'" in found.output
    assert "digits.yaml: verification.team: there is no work team 'reviewers'" in found.output
    for team in ("annotators", "reviewers"):
        run(app, ["worker", "add", f"{team}-one", "--password", "0123456789", *home])
        assert run(app, ["team", "add", team, "--worker", f"{team}-one", *home]).exit_code == 0
    found = run(app, [*options, *home])
    assert (found.exit_code, found.output) == (0, f"{DIGITS}: nothing is missing\n")

    for name, value in shared_service.credentials.items():
        monkeypatch.setenv(name.upper(), value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    found = run(app, [*options, "--endpoint-url", shared_service.url])
    assert found.exit_code == 1 and "there is no work team 'reviewers'" in found.output
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: x\n")
    found = run(app, ["project", "check", str(broken), "--endpoint-url", shared_service.url])
    assert found.exit_code == 1 and str(broken) in found.output and "the field is missing" in found.output
