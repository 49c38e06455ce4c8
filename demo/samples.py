"""What the sample projects of include/projects/ need before somebody tries them: their teams and their data."""

from __future__ import annotations

import io
from pathlib import Path

from demo.airflow import ROOT, LocalAirflow
from demo.digits import write_digits
from demo.invoices import write_invoices
from trueground.review.project import teams_of_projects
from trueground.service.engine.teams import ensure_workteam
from trueground.service.settings import ServiceSettings

DATA = ROOT / "data"
TRUTH = ROOT / ".trueground" / "demo" / "digits-truth.csv"
"""Outside the data root: nothing the pipeline or the service may read."""
NEW_DIGITS = 60
NEW_INVOICES = 6


def write_samples(data: Path = DATA, truth: Path = TRUTH) -> int:
    """Write the data of every sample project; what is there stays. Returns how many digits there are to label."""
    count = write_digits(data / "digits" / "images", truth)
    write_new_digits(data / "digits" / "images", data / "digits" / "new")
    invoices = data / "invoices" / "new"
    if not invoices.exists():
        write_invoices(invoices, truth.with_name("invoices-truth.json"), NEW_INVOICES)
    return count


def write_new_digits(images: Path, folder: Path, count: int = NEW_DIGITS) -> None:
    """Write other pictures of digits, for a model to predict on: some of those there are, turned and moved a little."""
    from PIL import Image

    if folder.exists():
        return
    folder.mkdir(parents=True)
    files = sorted(images.iterdir())
    for number, file in enumerate(files[:: max(1, len(files) // count)][:count]):
        with Image.open(file) as image:
            turned = image.rotate(
                (number * 7) % 31 - 15, fillcolor=255, translate=((number * 5) % 21 - 10, (number * 3) % 21 - 10)
            )
        content = io.BytesIO()
        turned.save(content, "PNG")
        (folder / f"new-{number:03d}.png").write_bytes(content.getvalue())


def make_teams(airflow: LocalAirflow, projects: Path = ROOT / "include" / "projects") -> list[str]:
    """Make the work teams that the projects name; those that are there stay. Returns their names."""
    names = teams_of_projects(projects, data_root=str(airflow.data_root))
    db = airflow.open_store()
    try:
        for name in names:
            ensure_workteam(db, ServiceSettings(home=airflow.trueground_home), name)
    finally:
        db.close()
    return names
