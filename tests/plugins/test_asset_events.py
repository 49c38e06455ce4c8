"""Events of the labeling service become asset events in a real Airflow database."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]

# In a process of its own: Airflow keeps the database that it saw first.
SCRIPT = """
import json, sys, time
from airflow.utils.db import initdb
initdb()
from fastapi.testclient import TestClient
from sqlalchemy import select
from airflow.models.asset import AssetActive, AssetEvent, AssetModel
from airflow.utils.session import create_session
import airflow_assets
from trueground.service.app import create_app
from trueground.service.engine import events, webhooks
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import now
from trueground.service.webhook_signature import sign

names = ("labeling-jobs", "labeling-jobs/digits", "labeling-jobs/other", "flow-definitions/words")
with create_session() as session:
    for name in names:
        session.add(AssetModel(name=name, uri="x-trueground://" + name))

settings = ServiceSettings.from_environment()
app = create_app(settings)
airflow_assets.install(app)
service = app.state.service
job = {"version": "0", "id": "e1", "detail-type": events.LABELING_JOB, "time": now().strftime("%Y-%m-%dT%H:%M:%SZ"),
       "resources": [settings.arn("labeling-job/digits")], "detail": {"LabelingJobStatus": "Completed"}}
loop = {**job, "id": "e2", "detail-type": events.HUMAN_LOOP, "resources": [settings.arn("human-loop/l")],
        "detail": {"flowDefinitionArn": settings.arn("flow-definition/words"), "humanLoopStatus": "Completed"}}

with TestClient(app, base_url="http://localhost") as client:
    _, secret = webhooks.add_webhook(service.db, service.secrets, "http://localhost/airflow/asset-events")

    def post(event, secret, **changed):
        body = json.dumps(event).encode()
        headers = {**sign(secret, event["id"], body), **changed}
        return client.post("/airflow/asset-events", content=body, headers=headers)

    assert client.post("/airflow/asset-events", content=b"{}").status_code == 401
    assert post(job, webhooks.new_secret()).status_code == 401
    assert post(job, secret, **{"webhook-timestamp": str(int(time.time()) - 3600)}).status_code == 401
    answer = post(job, secret)
    assert answer.json() == {"assets": ["x-trueground://labeling-jobs", "x-trueground://labeling-jobs/digits"]}, answer
    assert post(job, secret).json() == {"assets": []}
    assert post(loop, secret).json() == {"assets": ["x-trueground://flow-definitions/words"]}

with create_session() as session:
    query = select(AssetModel.name, AssetEvent.extra).join(AssetModel, AssetModel.id == AssetEvent.asset_id)
    found = session.execute(query)
    told = sorted((name, extra["id"], extra.get("LabelingJobStatus")) for name, extra in found)
assert told == [("flow-definitions/words", "e2", None), ("labeling-jobs", "e1", "Completed"),
                ("labeling-jobs/digits", "e1", "Completed")], told
print("AS IT SHOULD BE")
"""


def test_events_become_asset_events_once_and_only_where_they_are_signed(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path / 'airflow.db'}",
        "TRUEGROUND_HOME": str(tmp_path / "home"),
        "TRUEGROUND_DATA_ROOT": str(tmp_path / "data"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")]),
    }
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "AS IT SHOULD BE" in done.stdout
