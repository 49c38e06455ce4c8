"""``trueground consolidate``: a table of answers becomes a table of labels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trueground.csv_rows import csv_rows
from trueground.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("task", "worker", "label")
WORST_WORKERS = 5


def consolidate(
    answers: Annotated[Path, typer.Argument(help="CSV with the columns task, worker, label.", metavar="ANSWERS.csv")],
    out: Annotated[Path, typer.Option("--out", "-o", help="CSV to write: task, label, confidence.")],
    method: Annotated[
        str,
        typer.Option(help="ensemble, majority, one-coin, dawid-skene, or bayesian-combination."),
    ] = "ensemble",
) -> None:
    """Make one label for each task from the answers of several workers."""
    from trueground.consolidation import consolidate_with_workers, krippendorff_alpha

    frame = read_answers(answers)
    labels, workers = consolidate_with_workers(frame, method=method)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        labels.to_csv(out, index=False)
    except OSError as error:
        raise InputError(f"the labels cannot be written: {error.strerror}", file=str(out)) from None
    alpha = krippendorff_alpha(frame["task"], frame["worker"], frame["label"])
    typer.echo(f"{len(labels)} objects, {len(workers)} workers, {workers['answers'].sum()} answers")
    typer.echo("agreement: " + ("no object has two answers" if alpha is None else f"{alpha:.3f} Krippendorff's alpha"))
    typer.echo("least reliable workers (estimated share of right answers):")
    for row in workers.head(WORST_WORKERS).itertuples():
        typer.echo(f"  {row.worker}: {row.accuracy:.0%} of {row.answers}")
    typer.echo(f"wrote {out}")


def read_answers(path: Path) -> pd.DataFrame:
    """The columns task, worker and label, each cell the exact string of the file.

    Raises:
        InputError: the file cannot be read, has no answers, lacks a column, has a row of another length than the
            header, or an empty cell in one of the columns.
    """
    import pandas as pd

    try:
        with path.open("rb") as handle:
            # Not pandas' reader: it guesses what "NA" and rows that are too long mean, and cannot tell the line.
            rows = list(_rows(csv_rows(handle, str(path)), str(path)))
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", file=str(path)) from None
    if not rows:
        raise InputError("there are no answers below the header", file=str(path), line=2)
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=str)


def _rows(rows: Iterator[tuple[int, list[str]]], file: str) -> Iterator[list[str]]:
    _, header = next(rows, (1, []))
    for name in COLUMNS:
        if header.count(name) != 1:
            problem = "the column stands twice" if name in header else "the column is missing"
            hint = "The first line must name the columns task, worker and label."
            raise InputError("the file is empty" if not header else problem, file=file, line=1, field=name, hint=hint)
    places = [header.index(name) for name in COLUMNS]
    for line, row in rows:
        cells = [row[place] for place in places]
        for name, cell in zip(COLUMNS, cells, strict=True):
            if not cell.strip():
                raise InputError("the cell is empty", file=file, line=line, field=name)
        yield cells
