"""``trueground review``: choose the predictions that people look at."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from trueground.storage import Storage, as_uri

app = typer.Typer(help="Reviews: which predictions of a model people look at.", no_args_is_help=True)


class Made(StrEnum):
    """What made the predictions."""

    textract = "textract"
    rekognition = "rekognition"
    custom = "custom"


@app.command("choose")
def choose(
    predictions: Annotated[str, typer.Argument(help="Prediction lines: path or URI.")],
    conditions: Annotated[str, typer.Option(help="Activation conditions, A2I's JSON: path or URI.")],
    output: Annotated[str, typer.Option(help="The folder to write to: path or URI.")],
    service: Annotated[Made, typer.Option(help="What made the predictions.")] = Made.custom,
) -> None:
    """Write which predictions need a review, and which are accepted as they are.

    Example: trueground review choose predictions.jsonl --conditions conditions.json --output reviews
    """
    from trueground.errors import InputError
    from trueground.review.choose import choose_reviews
    from trueground.review.conditions import parse_conditions

    storage = Storage()
    try:
        parsed = parse_conditions(storage.read_text(as_uri(conditions)), service=service.value)
    except FileNotFoundError:
        raise InputError("there is no such file", file=conditions, field="conditions") from None
    except InputError as error:
        raise InputError(error.problem, file=conditions, field=error.field) from None
    chosen = choose_reviews(storage, as_uri(predictions), parsed, as_uri(output), service=service.value)
    typer.echo(f"{chosen.total} predictions: {chosen.to_review} to review, {chosen.accepted} accepted", nl=False)
    typer.echo(f", {chosen.set_aside} set aside (see set-aside.jsonl)" if chosen.set_aside else "")
