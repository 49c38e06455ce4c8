"""A server that speaks the operations of Amazon Mechanical Turk that we use, and is its workers' site too.

Requests are checked against botocore's model of the real one.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlencode

import botocore.session
import uvicorn
from botocore.validate import ParamValidator
from fastapi import FastAPI, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

MODEL = botocore.session.get_session().get_service_model("mturk")
TARGET = f"{MODEL.metadata['targetPrefix']}."


@dataclass
class MTurkServer:
    """What it was asked, and what it keeps."""

    url: str = ""
    balance: str = "100.00"
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    hits: dict[str, dict[str, Any]] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    assignments: dict[str, dict[str, Any]] = field(default_factory=dict)
    lose_answers: set[str] = field(default_factory=set)
    """Operations that are carried out, but whose answer never arrives."""

    def named(self, operation: str) -> list[dict[str, Any]]:
        return [asked for name, asked in self.calls if name == operation]

    def accept(self, hit_id: str, worker: str) -> str:
        """A worker accepts a HIT; the id of their assignment."""
        hit = self.hits[hit_id]
        assert self.status(hit) == "Assignable", self.status(hit)
        assignment_id = "3" + secrets.token_hex(14).upper()
        self.assignments[assignment_id] = {
            "AssignmentId": assignment_id,
            "WorkerId": worker,
            "HITId": hit_id,
            "AssignmentStatus": "Accepted",
            "AcceptTime": time.time(),
        }
        return assignment_id

    def page_of(self, hit_id: str, assignment_id: str | None = None) -> str:
        """Path and query of the page that a worker sees."""
        address = unescape(re.search(r"<ExternalURL>(.*)</ExternalURL>", self.hits[hit_id]["Question"])[1])  # type: ignore[index]
        path = re.sub(r"^https?://[^/]+", "", address)
        if assignment_id is None:
            return f"{path}?{urlencode({'assignmentId': 'ASSIGNMENT_ID_NOT_AVAILABLE', 'hitId': hit_id})}"
        asked = {
            "assignmentId": assignment_id,
            "hitId": hit_id,
            "workerId": self.assignments[assignment_id]["WorkerId"],
            "turkSubmitTo": self.url,
        }
        return f"{path}?{urlencode(asked)}"

    def submit(self, assignment_id: str) -> None:
        """A worker hands an assignment in."""
        assignment = self.assignments[assignment_id]
        assert assignment["AssignmentStatus"] == "Accepted"
        assignment.update(AssignmentStatus="Submitted", SubmitTime=time.time(), Answer="<QuestionFormAnswers/>")

    def of(self, hit_id: str, *statuses: str) -> list[dict[str, Any]]:
        return [a for a in self.assignments.values() if a["HITId"] == hit_id and a["AssignmentStatus"] in statuses]

    def status(self, hit: dict[str, Any]) -> str:
        taken = self.of(hit["HITId"], "Accepted", "Submitted", "Approved")
        expired = hit["Expiration"] <= time.time()
        if self.of(hit["HITId"], "Accepted"):
            return "Unassignable" if expired or len(taken) >= hit["MaxAssignments"] else "Assignable"
        return "Reviewable" if expired or len(taken) >= hit["MaxAssignments"] else "Assignable"

    def GetAccountBalance(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"AvailableBalance": self.balance}

    def CreateHIT(self, asked: dict[str, Any]) -> dict[str, Any]:
        token = asked["UniqueRequestToken"]
        if token in self.tokens:
            raise TurkError("AWS.MechanicalTurk.HITAlreadyExists", f"HIT {self.tokens[token]} already exists.")
        hit_id = "3" + secrets.token_hex(14).upper()
        self.tokens[token] = hit_id
        self.hits[hit_id] = {
            "HITId": hit_id,
            "HITTypeId": "3TYPE",
            "HITGroupId": "3GROUP",
            "CreationTime": time.time(),
            "Expiration": time.time() + asked["LifetimeInSeconds"],
            **{key: value for key, value in asked.items() if key not in ("UniqueRequestToken", "LifetimeInSeconds")},
        }
        return {"HIT": {**self.hits[hit_id], "HITStatus": "Assignable"}}

    def GetHIT(self, asked: dict[str, Any]) -> dict[str, Any]:
        hit = self.hits[asked["HITId"]]
        return {"HIT": {**hit, "HITStatus": self.status(hit)}}

    def ListHITs(self, asked: dict[str, Any]) -> dict[str, Any]:
        start = int(asked.get("NextToken", 0))
        found = list(self.hits.values())[start : start + asked.get("MaxResults", 10)]
        more = {"NextToken": str(start + len(found))} if start + len(found) < len(self.hits) else {}
        return {"NumResults": len(found), "HITs": found, **more}

    def ListAssignmentsForHIT(self, asked: dict[str, Any]) -> dict[str, Any]:
        found = self.of(asked["HITId"], *asked.get("AssignmentStatuses", ["Submitted", "Approved", "Rejected"]))
        return {"NumResults": len(found), "Assignments": found}

    def ApproveAssignment(self, asked: dict[str, Any]) -> dict[str, Any]:
        assignment = self.assignments[asked["AssignmentId"]]
        if assignment["AssignmentStatus"] != "Submitted":
            raise TurkError("AWS.MechanicalTurk.InvalidAssignmentState", "This operation can be called with Submitted.")
        assignment["AssignmentStatus"] = "Approved"
        return {}

    def UpdateExpirationForHIT(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.hits[asked["HITId"]]["Expiration"] = asked["ExpireAt"]
        return {}

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.post("/")
        async def call(request: Request) -> Response:
            operation = request.headers["x-amz-target"].removeprefix(TARGET)
            asked = json.loads(await request.body())
            report = ParamValidator().validate(asked, MODEL.operation_model(operation).input_shape)
            assert not report.has_errors(), report.generate_report()
            assert request.headers["authorization"].startswith("AWS4-HMAC-SHA256 ")
            self.calls.append((operation, asked))
            try:
                answer = getattr(self, operation)(asked)
            except TurkError as error:
                body = {"__type": "RequestError", "Message": str(error), "TurkErrorCode": error.code}
                return JSONResponse(body, 400, media_type="application/x-amz-json-1.1")
            if operation in self.lose_answers:
                # What a client sees of a cut network, without its own retries that would hide it.
                return JSONResponse({"__type": "Cut", "Message": "the network was cut"}, 400)
            return JSONResponse(answer, media_type="application/x-amz-json-1.1")

        @app.post("/mturk/externalSubmit")
        async def external_submit(request: Request) -> Response:
            form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
            assert set(form) - {"assignmentId"}, "Mechanical Turk wants one answer at least"
            self.submit(form["assignmentId"])
            return HTMLResponse("<p id=thanks>Thank you.</p>")

        @app.get("/hit/{hit_id}/{assignment_id}")
        def hit_page(hit_id: str, assignment_id: str, service: str) -> Response:
            page = service + self.page_of(hit_id, assignment_id)
            return HTMLResponse(f'<iframe src="{page.replace("&", "&amp;")}" width="1200" height="800"></iframe>')

        return app


class TurkError(Exception):
    """What Mechanical Turk refuses."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(f"{message} ({int(time.time() * 1000)})")


@contextmanager
def mturk_server() -> Iterator[MTurkServer]:
    """The server, on a free port."""
    turk = MTurkServer()
    server = uvicorn.Server(uvicorn.Config(turk.app(), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    turk.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield turk
    finally:
        server.should_exit = True
        thread.join(10)
