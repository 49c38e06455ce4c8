"""How quickly the command starts: it imports what it needs, when it needs it."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = {
    "airflow", "alembic", "boto3", "botocore", "cryptography", "fastapi", "fsspec", "great_expectations", "httpx",
    "liquid", "numpy", "pandas", "PIL", "pyarrow", "s3fs", "scipy", "sklearn", "sqlalchemy", "starlette", "uvicorn",
}  # fmt: skip
"""Each costs a tenth of a second or more."""
MOST = 450
"""Modules: typer and rich take most of them. The whole service takes more than 2,000."""
COMMANDS = (
    "serve", "audit", "consolidate", "simulate-workers", "worker", "team", "vendor", "output", "keys", "webhooks",
    "manifest", "review", "project",
)  # fmt: skip


def modules_after(*command_lines: list[str]) -> list[str]:
    """What a process has imported once these commands have run in it, which must all succeed."""
    program = f"""
import contextlib, io, json, sys
from trueground.cli import main
for arguments in {command_lines!r}:
    sys.argv = ["trueground", *arguments]
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            main()
        except SystemExit as end:
            assert not end.code, arguments
print(json.dumps(list(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    found: list[str] = json.loads(done.stdout)
    return found


def test_help_imports_neither_the_service_nor_the_science() -> None:
    modules = modules_after(["--help"])
    assert {module.partition(".")[0] for module in modules} & {*HEAVY, "pydantic"} == set()
    assert len(modules) < MOST


def test_help_of_no_command_imports_them_either() -> None:
    # Typer itself imports pydantic where a command has arguments.
    modules = modules_after(*([name, "--help"] for name in COMMANDS))
    assert {module.partition(".")[0] for module in modules} & HEAVY == set()
