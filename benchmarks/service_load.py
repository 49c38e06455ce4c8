"""The annotators of a benchmark: a process of its own, whose CPU time is not the server's.

It reads a plan (JSON) from its standard input, signs everybody in, prints ``ready``, waits for a line, works, and
prints what it measured (JSON). HTTP is spoken by hand over connections that stay open: a client library would cost more
than the server that is measured.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

Answered = tuple[str, int]
"""An object and the number of the worker who answered it."""


class Failed(Exception):
    """The server could not do it (5xx), such as Label Studio on SQLite when its database is locked."""


class Connection:
    """One HTTP connection that stays open."""

    def __init__(self, address: str) -> None:
        self._host, _, port = address.removeprefix("http://").partition(":")
        self._port = int(port)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.headers = ""

    async def send(self, method: str, path: str, content: Any = None) -> tuple[int, Any, list[str]]:
        """Send a request; gives the status, the JSON of the answer, and the cookies it sets."""
        body = b"" if content is None else json.dumps(content).encode()
        kind = "Content-Type: application/json\r\n" if body else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n{kind}Content-Length: {len(body)}\r\n"
        message = f"{head}{self.headers}\r\n".encode() + body
        first, reader, writer = await self._begin(message)
        if not first:
            raise RuntimeError(f"{method} {path}: the server closed the connection")
        status = int(first.split()[1])
        length, cookies, closes = 0, [], False
        while (line := await reader.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            match name.lower():
                case "content-length":
                    length = int(value)
                case "set-cookie":
                    cookies.append(value.strip().partition(";")[0])
                case "connection":
                    closes = value.strip().lower() == "close"
        answer = await reader.readexactly(length)
        if closes:
            writer.close()
            self._streams = None
        if status >= 500:
            raise Failed(f"{method} {path}: {status} {answer[:200]!r}")
        return status, json.loads(answer) if answer else None, cookies

    async def _begin(self, message: bytes) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
        """Send a request and wait for the first line of its answer; empty where the server closed the connection.

        Servers close connections that nobody used for some seconds, as while the others sign in, and may do so just
        when the next request comes. As a browser does, it is then sent once more over a new connection.
        """
        while True:
            used = self._streams is not None
            if self._streams is None:
                self._streams = await asyncio.open_connection(self._host, self._port)
            reader, writer = self._streams
            try:
                writer.write(message)
                first = await reader.readline()
            except ConnectionError:
                first = b""
            if first:
                return first, reader, writer
            writer.close()
            self._streams = None
            if not used:
                return first, reader, writer


@dataclass
class Trueground:
    """An annotator of our service."""

    number: int
    connection: Connection
    job: str
    held: tuple[str, str] | None = None

    async def sign_in(self, username: str, password: str) -> None:
        """By name and password, as the portal does."""
        content = {"username": username, "password": password}
        status, answer, cookies = await self.connection.send("POST", "/api/session", content)
        if status != 200:
            raise RuntimeError(f"signing in: {status} {answer}")
        self.connection.headers = f"Cookie: {'; '.join(cookies)}\r\nX-CSRF-Token: {answer['csrfToken']}\r\n"

    async def next(self) -> bool:
        """Get the next task; whether there was one."""
        status, answer, _ = await self.connection.send("POST", "/api/work/next", {"job": self.job})
        if status != 200:
            raise RuntimeError(f"next: {status} {answer}")
        found = answer["assignment"]
        self.held = found and (found["id"], found["objectId"])
        return found is not None

    async def submit(self) -> str:
        """Answer it; gives the object."""
        assert self.held is not None
        task, object_id = self.held
        content = {"answerContent": {"category": {"label": "good"}}, "secondsActive": 1.0}
        status, answer, _ = await self.connection.send("POST", f"/api/assignments/{task}/answer", content)
        if status != 200:
            raise RuntimeError(f"submit: {status} {answer}")
        self.held = None
        return object_id


@dataclass
class LabelStudio:
    """An annotator of Label Studio."""

    number: int
    connection: Connection
    job: str
    held: str | None = None

    async def sign_in(self, username: str, password: str) -> None:
        """By the account's token: its cheapest way, without a session."""
        self.connection.headers = f"Authorization: Token {password}\r\n"
        status, answer, _ = await self.connection.send("GET", "/api/current-user/whoami")
        if status != 200:
            raise RuntimeError(f"the token of {username}: {status} {answer}")

    async def next(self) -> bool:
        """Get the next task; whether there was one."""
        status, answer, _ = await self.connection.send("GET", f"/api/projects/{self.job}/next")
        if status not in (200, 404):
            raise RuntimeError(f"next: {status} {answer}")
        self.held = str(answer["id"]) if status == 200 else None
        return self.held is not None

    async def submit(self) -> str:
        """Answer it; gives the task."""
        assert self.held is not None
        task = self.held
        choice = {"from_name": "category", "to_name": "text", "type": "choices", "value": {"choices": ["good"]}}
        content = {"result": [choice], "lead_time": 1.0}
        status, answer, _ = await self.connection.send("POST", f"/api/tasks/{task}/annotations/", content)
        if status != 201:
            raise RuntimeError(f"submit: {status} {answer}")
        self.held = None
        return task


Annotator = Trueground | LabelStudio


@dataclass
class Measured:
    """What happened."""

    next: list[float] = field(default_factory=list)
    submit: list[float] = field(default_factory=list)
    answered: list[Answered] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    """What the server could not do; the annotator tries again."""

    async def step(self, annotator: Annotator, since: float) -> bool:
        """Get a task, or answer the one that is held; whether there was something to do."""
        try:
            return await self._step(annotator, since)
        except Failed as failure:
            self.failed.append(str(failure))
            return True

    async def _step(self, annotator: Annotator, since: float) -> bool:
        if annotator.held is None:
            found = await annotator.next()
            self.next.append(time.perf_counter() - since)
            return found
        object_id = await annotator.submit()
        self.submit.append(time.perf_counter() - since)
        self.answered.append((object_id, annotator.number))
        return True

    def summary(self, seconds: float, workers: int) -> dict[str, Any]:
        """For the process that asked."""
        objects = Counter(object_id for object_id, _ in self.answered)
        return {
            "answers": len(self.answered),
            "seconds": seconds,
            "objects": len(objects),
            "over_assigned": sum(count > workers for count in objects.values()),
            "same_worker_twice": sum(count > 1 for count in Counter(self.answered).values()),
            "next": self.next,
            "submit": self.submit,
            "failed": len(self.failed),
            "failure": self.failed[0] if self.failed else None,
        }


async def closed_loop(annotators: list[Annotator], measured: Measured, seconds: float) -> None:
    """Everybody works as fast as the server lets them, until nothing is left or the time is over."""
    end = time.perf_counter() + seconds

    async def work(annotator: Annotator) -> None:
        while time.perf_counter() < end and await measured.step(annotator, time.perf_counter()):
            pass
        if annotator.held is not None:
            await measured.step(annotator, time.perf_counter())

    await asyncio.gather(*map(work, annotators))


async def open_loop(annotators: list[Annotator], measured: Measured, seconds: float, rate: float) -> None:
    """Requests come at a fixed rate whatever the server does, and a request's time counts from when it was due."""
    idle: asyncio.Queue[Annotator] = asyncio.Queue()
    for annotator in annotators:
        idle.put_nowait(annotator)
    start = time.perf_counter()

    async def one(due: float) -> None:
        annotator = await idle.get()
        await measured.step(annotator, due)
        idle.put_nowait(annotator)

    async with asyncio.TaskGroup() as requests:
        for number in range(int(rate * seconds)):
            due = start + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            requests.create_task(one(due))


async def main() -> None:
    """Do what the plan says."""
    plan = json.loads(sys.stdin.readline())
    kind = {"trueground": Trueground, "label-studio": LabelStudio}[plan["system"]]
    addresses = plan["addresses"]
    annotators: list[Annotator] = []
    for number, (username, password) in enumerate(plan["people"]):
        annotator = kind(number, Connection(addresses[number % len(addresses)]), plan["job"])
        await annotator.sign_in(username, password)
        annotators.append(annotator)
    print("ready", flush=True)
    sys.stdin.readline()
    measured, start = Measured(), time.perf_counter()
    if plan["rate"]:
        await open_loop(annotators, measured, plan["seconds"], plan["rate"])
    else:
        await closed_loop(annotators, measured, plan["seconds"])
    print(json.dumps(measured.summary(time.perf_counter() - start, plan["workers"])), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
