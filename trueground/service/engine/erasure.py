"""Erasing a person's data. What they answered stays, under an id that leads to nobody.

What goes, in one transaction: user name, name, e-mail address, the ``sub`` and issuer of their identity, password,
sessions, drafts, groups and the invitations sent to their address. What stays: the worker id (random, made here) and
the answers, because labels were made of them. The audit log needs no change, for it knows people by that id only.

Files that were written before hold the person's ``sub``, which an OIDC provider could still tell the name for. So
they are written again with ``erased-<id>`` in its place: :func:`rewrite_files`. It may be repeated, and must be where
it was cut short. What a person typed into an answer is not looked at: it belongs to the label.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import delete, select, update

from trueground import storage as paths
from trueground.service.engine import audit_log, leasing, sessions
from trueground.service.engine.errors import NotFound
from trueground.service.engine.user_names import find_by_username, pass_on_key
from trueground.service.store.database import Database, now
from trueground.service.store.tables import (
    answers,
    assignments,
    drafts,
    human_loops,
    invitations,
    labeling_jobs,
    worker_groups,
    workers,
)
from trueground.storage import Storage


def pseudonym(worker_id: str) -> str:
    """What stands in the place of all names of an erased account."""
    return f"erased-{worker_id}"


def erase(db: Database, username: str) -> str:
    """Erase an account's personal data from the store; returns its worker id. Again, it changes nothing.

    Raises:
        NotFound: there is no such account.
    """
    with db.write() as connection:
        found = find_by_username(connection, username)
        if found is None:
            raise NotFound(f"there is no account {username!r}")
        worker_id: str = found.id
        if found.erased_at is not None:
            return worker_id
        name = pseudonym(worker_id)
        connection.execute(
            update(workers)
            .where(workers.c.id == worker_id)
            .values(
                username=name,
                name_key=None,
                name=name,
                email=None,
                subject=name,
                issuer=None,
                password_hash=None,
                disabled_at=found.disabled_at or now(),
                erased_at=now(),
            )
        )
        pass_on_key(connection, found.username)
        sessions.end_all(connection, worker_id)
        mine = select(assignments.c.id).where(assignments.c.worker_id == worker_id)
        connection.execute(delete(drafts).where(drafts.c.assignment_id.in_(mine)))
        connection.execute(delete(worker_groups).where(worker_groups.c.worker_id == worker_id))
        if found.email:
            connection.execute(delete(invitations).where(invitations.c.email == found.email))
        audit_log.record(connection, act="EraseWorker", resource=f"worker/{worker_id}")
    leasing.release_all(db, worker_id)
    return worker_id


def rewrite_files(db: Database, storage: Storage, worker_id: str) -> int:
    """Put the pseudonym into all files that hold an erased person's identity; returns how many changed."""
    changed = 0
    for uri in _files(db, storage, worker_id):
        try:
            text = storage.read_text(uri)
        except FileNotFoundError:
            continue
        content = json.loads(text)
        if _replace(content, worker_id):
            # As the files were written: in one line, in UTF-8.
            storage.write_text(uri, json.dumps(content, ensure_ascii=text.isascii()))
            changed += 1
    return changed


def _files(db: Database, storage: Storage, worker_id: str) -> Iterator[str]:
    """The files with answers of a worker: worker responses of labeling jobs, outputs of human loops."""
    query = (
        select(labeling_jobs.c.id, labeling_jobs.c.name, labeling_jobs.c.kind, labeling_jobs.c.request)
        .where(labeling_jobs.c.id.in_(select(answers.c.job_id).where(answers.c.worker_id == worker_id)))
        .order_by(labeling_jobs.c.id)
    )
    with db.read() as connection:
        jobs = connection.execute(query).all()
    for job in jobs:
        of_job = (answers.c.job_id == job.id) & (answers.c.worker_id == worker_id)
        with db.read() as connection:
            positions = set(connection.scalars(select(answers.c.position).where(of_job)))
            if job.kind == "review":
                outputs = select(human_loops.c.output_uri).where(
                    human_loops.c.job_id == job.id,
                    human_loops.c.output_uri.is_not(None),
                    human_loops.c.position.in_(select(answers.c.position).where(of_job)),
                )
                yield from connection.scalars(outputs).all()
                continue
        folder = paths.join(job.request["OutputConfig"]["S3OutputPath"], job.name, "annotations/worker-response/")
        for uri in storage.list(folder):
            # …/iteration-1/<position>/<time>.json
            position = paths.name(paths.parent(uri))
            if position.isdigit() and int(position) in positions:
                yield uri


def _replace(content: Any, worker_id: str) -> bool:
    """Replace the worker's ``sub`` wherever it stands in a file; whether there was one."""
    if isinstance(content, list):
        return any([_replace(item, worker_id) for item in content])
    if not isinstance(content, dict):
        return False
    if str(content.get("workerId", "")).rpartition(".")[2] == worker_id and "workerMetadata" in content:
        identity = content["workerMetadata"].get("identityData", {})
        if "sub" in identity and identity["sub"] != pseudonym(worker_id):
            identity["sub"] = pseudonym(worker_id)
            if identity.get("identityProviderType") == "Oidc":
                # As the store has it, so that the file is the same when it is made again.
                identity.pop("issuer", None)
            return True
        return False
    return any([_replace(item, worker_id) for key, item in content.items() if key != "answerContent"])
