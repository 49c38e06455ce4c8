"""``trueground manifest``: build one, check one."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from trueground.storage import Storage, as_uri

if TYPE_CHECKING:
    from trueground.manifests import Problem

app = typer.Typer(help="Manifests: the data objects that a labeling job is about.", no_args_is_help=True)


class Media(StrEnum):
    """What the objects are."""

    image = "image"
    text = "text"


@app.command("create", hidden=True)
@app.command("build")
def build(
    prefix: Annotated[str, typer.Argument(help="Folder, or s3:// prefix, with the files.")],
    out: Annotated[str, typer.Option(help="The manifest to write: path or URI.")],
    media: Annotated[Media, typer.Option(help="Images are objects; of texts, each line or row is one.")] = Media.image,
    column: Annotated[
        str | None, typer.Option(help="Of CSV files, the column with the text; a number where there is no header.")
    ] = None,
) -> None:
    """Write the manifest of all files below a prefix.

    Example: trueground manifest build data/birds --out data/birds.manifest
    """
    from trueground.manifests import build_manifest

    count = build_manifest(Storage(), as_uri(prefix), as_uri(out), media=media.value, column=column, note=typer.echo)
    typer.echo(f"{count} objects in {out}")


@app.command("check")
def check(
    manifest: Annotated[str, typer.Argument(help="The manifest: path or URI.")],
    media: Annotated[Media, typer.Option(help="What the objects are.")] = Media.image,
    label_attribute: Annotated[str | None, typer.Option(help="The attribute that is to be labeled.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Problems to print at the most.")] = 100,
) -> None:
    """Check a manifest, and that every object it names can be labeled. Ends with 1 where something is wrong.

    Example: trueground manifest check data/birds.manifest --label-attribute bird
    """
    from trueground.manifests import check_manifest

    report = check_manifest(
        Storage(),
        as_uri(manifest),
        source_key="source" if media is Media.text else "source-ref",
        media=media.value,
        label_attribute=label_attribute,
        limit=limit,
    )
    if report.ok:
        typer.echo(f"{report.objects} objects, nothing wrong")
        return
    for row in _table(report.problems):
        typer.echo(row)
    more = report.total_problems - len(report.problems)
    typer.echo(
        f"{report.total_problems} problems in {manifest} ({report.objects} objects)"
        + (f", {more} not shown" if more else "")
    )
    raise typer.Exit(1)


def _table(problems: list[Problem]) -> list[str]:
    """Problems as aligned columns: line, field, what is wrong and what to do."""
    places = ["file" if problem.line is None else f"line {problem.line}" for problem in problems]
    fields = [problem.field or "" for problem in problems]
    place_width, field_width = max(map(len, places)), max(map(len, fields))
    return [
        f"{place:<{place_width}}  {field:<{field_width}}  {problem.problem}. {problem.hint or ''}".rstrip()
        for place, field, problem in zip(places, fields, problems, strict=True)
    ]
