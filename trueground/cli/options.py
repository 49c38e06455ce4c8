"""Options that several commands have."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

HomeOption = Annotated[
    Path | None,
    typer.Option(
        envvar="TRUEGROUND_HOME", help="Folder of the embedded store and the keys.", show_default=".trueground"
    ),
]
StoreOption = Annotated[
    str | None,
    typer.Option(
        envvar="TRUEGROUND_STORE", help="SQLAlchemy URL of the store.", show_default="SQLite in the home folder"
    ),
]
DataRootOption = Annotated[
    str | None,
    typer.Option(
        envvar="TRUEGROUND_DATA_ROOT", help="The folder that file:// URIs must stay inside.", show_default="data"
    ),
]


class RoleName(StrEnum):
    """What an account may do."""

    worker = "worker"
    reviewer = "reviewer"
    manager = "manager"
    admin = "admin"
