"""What the labeling service needs before it starts: tables, the access key of the env file, teams, a manager, a bucket.

Safe to repeat: what is there stays as it is.
"""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import boto3
from sqlalchemy import insert

from trueground.review.project import teams_of_projects
from trueground.service.engine import accounts, first_start, keys, teams
from trueground.service.engine.errors import NotFound
from trueground.service.security import SecretBox
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database, now
from trueground.service.store.tables import access_keys


def main() -> None:
    """Prepare everything and say what there is."""
    settings = ServiceSettings.from_environment()
    db, box = Database(settings.database_url), SecretBox.load(settings.home)
    db.migrate()
    take_access_key(db, box, os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    first_start.prepare(db, box, settings)
    for team in teams_of_projects("include/projects", data_root=os.environ["TRUEGROUND_DATA_ROOT"]):
        if teams.ensure_workteam(db, settings, team)[1]:
            print(f"work team {team} made; add people with: trueground worker add NAME --team {team}")
    add_manager(db, "manager", os.environ["TRUEGROUND_MANAGER_PASSWORD"])
    add_bucket(urlsplit(os.environ["TRUEGROUND_DATA_ROOT"]).netloc)


def take_access_key(db: Database, box: SecretBox, key_id: str, secret: str) -> None:
    """Let the service know the pair that Airflow's connection signs with."""
    if keys.secret_of(db, box, key_id) is not None:
        return
    with db.write() as connection:
        values = {"id": key_id, "name": "env file", "secret": box.encrypt(secret), "created_at": now()}
        connection.execute(insert(access_keys).values(**values))
    print(f"access key {key_id} taken from the env file")


def add_manager(db: Database, username: str, password: str) -> None:
    """Make the first account: an admin, who invites the others; unless there is one of the name."""
    try:
        accounts.get_worker(db, username)
    except NotFound:
        accounts.add_worker(db, username, password, role="admin")
        print(f"{username} may sign in to the portal with TRUEGROUND_MANAGER_PASSWORD")


def add_bucket(name: str) -> None:
    """Make the bucket that the projects' relative paths lie in, unless it is there."""
    client = boto3.client("s3")
    if name not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
        client.create_bucket(Bucket=name)
        print(f"bucket {name} made")


if __name__ == "__main__":
    main()
