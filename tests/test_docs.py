"""What the guide says is tried: its links lead somewhere, its project loads, its commands exist."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trueground.cli import app
from trueground.project import load_project

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
GUIDE = (ROOT / "docs" / "add-your-own-data-set.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_that_exist(page: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()) if "://" not in link]
    for link in links:
        assert (page.parent / link.split("#")[0]).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_trueground_commands_on_a_page_exist_with_their_options(page: Path) -> None:
    text = page.read_text()
    lines = [line for block in blocks(text, "console") for line in block.splitlines() if "bin/trueground " in line]
    for line in lines:
        words = shlex.split(line.split("bin/trueground ", 1)[1], comments=True)
        options = [word for word in words if word.startswith("--")]
        command = words[: next((i for i, word in enumerate(words) if word.startswith("-")), len(words))]
        # The command's name is one or two words; what follows are its arguments.
        helps = [CliRunner().invoke(app, [*command[:size], "--help"], env={"COLUMNS": "200"}) for size in (2, 1)]
        shown = next(
            (result.output for result in helps if result.exit_code == 0 and "COMMAND" not in result.output), ""
        )
        assert shown, line
        assert all(option in shown for option in options), line


def test_the_make_targets_on_the_pages_exist() -> None:
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for page in PAGES:
        for target in re.findall(r"(?:^\$ |`)make ([a-z-]+)", page.read_text(), re.M):
            assert target in known, f"{page.name}: make {target}"


def test_the_project_of_the_guide_loads_as_it_is_written(tmp_path: Path) -> None:
    (text,) = blocks(GUIDE, "yaml")
    (tmp_path / "birds.yaml").write_text(text)
    project = load_project(tmp_path / "birds.yaml", data_root=str(tmp_path))
    assert project.name == "birds" and project.task.labels == ("blackbird", "robin", "wren", "other")


def test_the_connections_of_the_guide_lead_where_it_says() -> None:
    from airflow.models import Connection
    from airflow.providers.amazon.aws.utils.connection_wrapper import AwsConnectionWrapper

    here, aws = (json.loads(text) for text in blocks((ROOT / "docs" / "label-on-aws.md").read_text(), "json"))
    for fields, endpoint in ((here, "http://labeling:8000/aws"), (aws, None)):
        connection = Connection(conn_id="trueground", **{**fields, "extra": json.dumps(fields["extra"])})
        assert AwsConnectionWrapper(connection).get_service_endpoint_url(service_name="sagemaker") == endpoint


def test_the_tests_that_the_page_on_security_names_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "security.md").read_text())
    assert len(named) > 20
    for file, name in named:
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.M), f"{file}::{name}"


def test_every_message_of_the_page_on_troubleshooting_is_in_the_code() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    messages = re.findall(r"^\| `([^`]+)` \|", page, re.M)
    assert len(messages) > 20
    files = [
        ROOT / "Makefile",
        *(file for top in ("trueground", "plugins", "demo") for file in (ROOT / top).rglob("*.py")),
    ]
    # A message may be written in two strings, one below the other.
    code = re.sub(r'"\s*f?"', "", "\n".join(file.read_text() for file in files))
    for message in messages:
        assert message in code, message
