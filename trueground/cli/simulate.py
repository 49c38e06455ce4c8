"""``trueground simulate-workers``: people for demos and tests."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from trueground.csv_rows import csv_rows
from trueground.errors import InputError


def simulate_workers(
    url: Annotated[str, typer.Option(help="The portal's address.")],
    worker: Annotated[list[str], typer.Option(help="USER:PASSWORD or USER:PASSWORD:ACCURACY; may be repeated.")],
    truth: Annotated[Path, typer.Option(help="CSV with the columns object (file name or text) and label.")],
    accuracy: Annotated[
        float, typer.Option(min=0, max=1, help="Chance of a right answer, where a worker has none.")
    ] = 0.95,
    seconds: Annotated[float, typer.Option(min=0, help="Mean time to think about a task.")] = 0.5,
    seed: Annotated[int, typer.Option(help="Decides who errs where.")] = 0,
    until_idle: Annotated[
        float | None, typer.Option(help="End when nobody found work for so many seconds.", show_default="never")
    ] = None,
) -> None:
    """Have simulated people label over HTTP, until Ctrl-C or until there is nothing to do.

    They sign in to the portal like anyone, know the truth from a file, and are right as often as you say. The last
    line printed is JSON: the answers that the service acknowledged, by labeling job.
    """
    from trueground.simulation import SimulatedWorker, run

    known = _read_truth(truth)
    workers = []
    for text in worker:
        username, password, own = _parse(text, accuracy)
        workers.append(SimulatedWorker(url, username, password, known, own, seconds, seed))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        acknowledged = run(workers, until_idle=until_idle, stop=stop, say=typer.echo)
    except (PermissionError, KeyError) as error:
        raise InputError(f"the simulated people stopped: {error}") from error
    typer.echo(json.dumps({"acknowledged": dict(acknowledged)}))


def _parse(text: str, accuracy: float) -> tuple[str, str, float]:
    parts = text.split(":")
    try:
        if len(parts) not in (2, 3) or not all(parts):
            raise ValueError
        return parts[0], parts[1], float(parts[2]) if len(parts) == 3 else accuracy
    except ValueError:
        raise InputError(
            f"{parts[0]!r} is not described as USER:PASSWORD or USER:PASSWORD:ACCURACY", field="--worker"
        ) from None


def _read_truth(file: Path) -> dict[str, str]:
    try:
        with file.open("rb") as handle:
            rows = csv_rows(handle, str(file))
            _, header = next(rows, (1, []))
            if not {"object", "label"} <= set(header):
                raise InputError("the columns object and label are needed", file=str(file), line=1)
            key, label = header.index("object"), header.index("label")
            return {row[key]: row[label] for _, row in rows}
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=str(file)) from None
