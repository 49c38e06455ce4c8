from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from trueground.storage import file_uri

Put = Callable[[str, bytes | str], str]


@pytest.fixture
def trueground(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``trueground manifest …`` in the folder."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "trueground.cli", "manifest", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    return run


def test_a_manifest_is_built_and_found_good(
    trueground: Callable[..., subprocess.CompletedProcess[str]], put: Put, image: Callable[..., bytes], tmp_path: Path
) -> None:
    uri = put("birds/a b.png", image())
    built = trueground("build", "birds", "--out", "birds.manifest")
    assert (built.returncode, built.stdout) == (0, "1 objects in birds.manifest\n"), built.stderr
    assert (tmp_path / "birds.manifest").read_text() == f'{{"source-ref": "{uri}"}}\n'
    checked = trueground("check", file_uri(tmp_path / "birds.manifest"))
    assert (checked.returncode, checked.stdout) == (0, "1 objects, nothing wrong\n")


def test_problems_are_listed_and_end_the_command_with_one(
    trueground: Callable[..., subprocess.CompletedProcess[str]], put: Put
) -> None:
    put("m", '{"source": "a"}\n{\n{"source": "b", "mood": 1}\n{"source": "a"}\n\n\n{')
    checked = trueground("check", "m", "--media", "text", "--label-attribute", "mood", "--limit", "3")
    assert checked.returncode == 1
    first, second, third, last = checked.stdout.splitlines()
    assert first.startswith("line 2          not JSON")
    assert second == ("line 3  mood    the object has this label already. Leave it out, or name another attribute.")
    assert third == "line 4  source  the same object as in line 1. Remove one of the two."
    assert last == "4 problems in m (3 objects), 1 not shown"


def test_bad_input_is_a_message_and_no_traceback(trueground: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    for arguments in (("check", "nothing"), ("build", "nowhere", "--out", "m")):
        result = trueground(*arguments)
        assert result.returncode == 1 and result.stdout == ""
        assert result.stderr.startswith("error: file://") and "Traceback" not in result.stderr
