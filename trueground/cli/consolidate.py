"""``trueground consolidate``: a table of answers becomes a table of labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trueground.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("task", "worker", "label")
WORST_WORKERS = 5


def consolidate(
    answers: Annotated[Path, typer.Argument(help="CSV with the columns task, worker, label.", metavar="ANSWERS.csv")],
    out: Annotated[Path, typer.Option("--out", "-o", help="CSV to write: task, label, confidence.")],
) -> None:
    """Make one label for each task from the answers of several workers."""
    from trueground.consolidation import consolidate_frame, krippendorff_alpha

    frame = read_answers(answers)
    labels = consolidate_frame(frame)
    out.parent.mkdir(parents=True, exist_ok=True)
    labels.to_csv(out, index=False)
    alpha = krippendorff_alpha(frame["task"], frame["worker"], frame["label"])
    typer.echo(f"{len(labels)} objects, {frame['worker'].nunique()} workers, {len(frame)} answers")
    typer.echo(
        "agreement: " + ("no object has two answers" if alpha is None else f"{alpha:.3f} (Krippendorff's alpha)")
    )
    typer.echo(f"wrote {out}")


def read_answers(path: Path) -> pd.DataFrame:
    """The columns of :data:`COLUMNS` as the exact strings of the file.

    Raises:
        InputError: the file cannot be read, has no answers, lacks a column, or has an empty cell.
    """
    import pandas as pd

    try:
        # One line of text is one answer, so that the number of a row tells its line.
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, skip_blank_lines=False, encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError("there is no such file", file=str(path)) from None
    except pd.errors.EmptyDataError:
        raise InputError("the file is empty", file=str(path), line=1, hint=_HINT) from None
    except (OSError, UnicodeDecodeError, pd.errors.ParserError) as error:
        raise InputError(f"the file cannot be read as CSV: {error}", file=str(path)) from None
    for name in COLUMNS:
        if name not in frame.columns:
            raise InputError("the column is missing", file=str(path), line=1, field=name, hint=_HINT)
    if frame.empty:
        raise InputError("there are no answers below the header", file=str(path), line=2)
    for name in COLUMNS:
        empty = (frame[name].isna() | (frame[name] == "")).to_numpy()
        if empty.any():
            raise InputError("the cell is empty", file=str(path), line=int(empty.argmax()) + 2, field=name)
    return frame[list(COLUMNS)]


_HINT = "The first line must name the columns task, worker and label."
