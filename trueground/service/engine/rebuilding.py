"""The output of a labeling job that has ended, made once more from the store alone: where its files were lost."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import select

from trueground import storage as paths
from trueground.service.engine import audit_log
from trueground.service.engine.errors import Invalid
from trueground.service.engine.job_rows import find_job
from trueground.service.engine.jobs import resource
from trueground.service.engine.output import Output
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database
from trueground.service.store.tables import data_objects
from trueground.storage import Storage

AT_ONCE = 500


def rebuild_output(db: Database, storage: Storage, settings: ServiceSettings, name: str) -> str:
    """Write a job's worker responses and its output manifest again, byte for byte as they were.

    What a built-in consolidation wrote about its answers is written again too. Files of automated labeling's rounds
    and of a post-annotation function of the requester's own are not: only what they led to is in the store.

    Returns:
        The URI of the output manifest.

    Raises:
        NotFound: there is no such job.
        Invalid: it has not ended.
    """
    with db.read() as connection:
        job = find_job(connection, name)
    if job.status in ("Initializing", "InProgress", "Stopping"):
        raise Invalid(f"the labeling job {name!r} is {job.status}; its output is made when it ends")
    if job.ended_at is None:
        raise Invalid(f"the labeling job {name!r} failed before it had any output")
    output = Output.of(db, storage, settings, job, lambda: None)
    for positions in _answered(db, job.id):
        output.write_responses(positions)
    output.write_labels()
    with db.write() as connection:
        audit_log.record(connection, act="RebuildOutput", resource=resource(name))
    return paths.join(output.base, "manifests/output/output.manifest")


def _answered(db: Database, job_id: int) -> Iterator[list[int]]:
    """The positions of objects with answers, some at a time."""
    last = -1
    while True:
        query = (
            select(data_objects.c.position)
            .where(
                data_objects.c.job_id == job_id,
                data_objects.c.position > last,
                data_objects.c.answers > 0,
                data_objects.c.state != "gold",
            )
            .order_by(data_objects.c.position)
            .limit(AT_ONCE)
        )
        with db.read() as connection:
            positions = list(connection.scalars(query))
        if not positions:
            return
        yield positions
        last = positions[-1]
