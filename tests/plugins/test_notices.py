"""People are told of an audit's alarm: by Airflow's own notifiers, over real HTTP and SMTP, once each way."""

from __future__ import annotations

import json
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.review.test_audits import PROJECT
from trueground.errors import InputError
from trueground.project import load_project

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).resolve().parents[2]
NOTIFY = """
audit:
  enabled: true
  notify:
    - {kind: http, connection: chat, endpoint: hook}
    - {kind: email, connection: post, to: [ana@example.org]}
"""
STATE = {
    "promise": "broken", "since": "n", "accuracy": 0.95, "confidence": 0.95, "lower": 0.081, "upper": 0.2,
    "estimate": 0.12, "reviews": 90, "drift": "steady",
}  # fmt: skip
# In a process of its own: Airflow reads its settings once.
SCRIPT = """
import json, sys
from pathlib import Path
from operators.notices import NotifyOperator

state = Path(sys.argv[1]) / "out" / "audits" / "state.json"
state.parent.mkdir(parents=True, exist_ok=True)
said = []
for change in json.loads(sys.argv[2]):
    state.write_text(json.dumps({**json.loads(sys.argv[3]), **change}))
    try:
        said.append(NotifyOperator(task_id="notify", project="birds.yaml", run_name="n").execute({})["told"])
    except RuntimeError as error:
        said.append(str(error))
print("SAID", json.dumps(said))
"""


class Mail(socketserver.StreamRequestHandler):
    """As much of SMTP as a client needs to leave a mail."""

    got: list[str]

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline():
            command = line[:4].upper()
            if command == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = []
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    lines.append(line.decode())
                self.got.append("".join(lines))
            self.wfile.write(b"221 bye\r\n" if command == b"QUIT" else b"250 yes\r\n")
            if command == b"QUIT":
                return


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[int]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def receivers(statuses: list[int]) -> Iterator[tuple[dict[str, str], list[dict[str, Any]], list[str]]]:
    """An HTTP and a mail server: Airflow's connections to them, what was posted, what was mailed."""
    posted: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status = statuses.pop(0) if statuses else 200
            if status == 200:
                posted.append({"path": self.path, **json.loads(body)})
            self.send_response(status)
            self.end_headers()

    mail = type("Mail", (Mail,), {"got": []})
    with (
        serving(ThreadingHTTPServer(("127.0.0.1", 0), Hook)) as web,
        serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), mail)) as post,
    ):
        extra = {"disable_ssl": True, "disable_tls": True, "from_email": "audits@example.org", "retry_limit": 1}
        connections = {
            "AIRFLOW_CONN_CHAT": json.dumps({"conn_type": "http", "host": f"http://127.0.0.1:{web}"}),
            "AIRFLOW_CONN_POST": json.dumps({"conn_type": "smtp", "host": "127.0.0.1", "port": post, "extra": extra}),
        }
        yield connections, posted, mail.got


def notify(folder: Path, connections: dict[str, str], changes: list[dict[str, Any]]) -> list[Any]:
    """What the operator says after each change of the audit's state."""
    (folder / "projects").mkdir()
    (folder / "projects" / "birds.yaml").write_text(PROJECT.replace("output: out", f"output: {folder}/out") + NOTIFY)
    environment = {
        **os.environ,
        **connections,
        "AIRFLOW_HOME": str(folder / "airflow"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")]),
        "TRUEGROUND_PROJECTS": str(folder / "projects"),
        "TRUEGROUND_DATA_ROOT": str(folder),
        "AIRFLOW_CONN_TRUEGROUND": "aws://",
    }
    arguments = [sys.executable, "-c", SCRIPT, str(folder), json.dumps(changes), json.dumps(STATE)]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    said: list[Any] = json.loads(done.stdout.rpartition("SAID ")[2])
    return said


def test_everybody_is_told_once_when_the_alarm_begins_and_once_when_it_ends(tmp_path: Path) -> None:
    steps = [
        {"promise": "holds"},
        {},
        {},
        {"promise": "holds", "drift": "drifted"},
        {"promise": "holds"},
        {"promise": "holds"},
    ]
    with receivers([]) as (connections, posted, mailed):
        assert notify(tmp_path, connections, steps) == [0, 2, 0, 0, 2, 0]
    assert [item["path"] for item in posted] == ["/hook", "/hook"]
    assert "at least 8.1% of the machine's labels are wrong, 5.0% are allowed" in posted[0]["text"]
    assert (posted[0]["schema"], posted[0]["promise"]) == ("trueground.audit/1", "broken")
    assert "the audit's alarm is over" in posted[1]["text"]
    assert ["Subject: birds: the audit gives an alarm" in mail for mail in mailed] == [True, False]
    assert all("ana@example.org" in mail for mail in mailed)


def test_a_receiver_that_is_down_is_told_later_and_the_others_not_again(tmp_path: Path) -> None:
    with receivers([500]) as (connections, posted, mailed):
        first, second = notify(tmp_path, connections, [{"drift": "drifted"}, {"drift": "drifted"}])
    assert "not everybody could be told: http" in first and second == 1
    assert (len(posted), len(mailed)) == (1, 1)
    assert "no longer like what the model learned from" in posted[0]["text"]


@pytest.mark.parametrize(
    "notice", ["{kind: pigeon}", "{kind: http}", "{kind: email, to: []}", "{kind: sns, topic: alarms}"]
)
def test_a_receiver_that_nobody_can_reach_is_refused_by_name(tmp_path: Path, notice: str) -> None:
    (tmp_path / "birds.yaml").write_text(f"{PROJECT}audit: {{notify: [{notice}]}}\n")
    with pytest.raises(InputError, match=r"birds\.yaml.*audit\.notify"):
        load_project(tmp_path / "birds.yaml", data_root=str(tmp_path))
