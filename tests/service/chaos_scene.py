"""People who label while things break, and the scene in which they do. What breaks is in :mod:`tests.service.chaos`."""

from __future__ import annotations

import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg

from tests.service.chaos import KillableService, PrivatePostgreSQL, Proxy, full, small_disk
from tests.service.running import CATEGORIES
from trueground.service.settings import ServiceSettings

PATIENCE = 90.0
"""Seconds for which a client asks again before it calls the service dead."""


class Annotator:
    """Someone who labels over HTTP, sends again what was not acknowledged, and notes what was."""

    def __init__(
        self, port: int, number: int, seed: int, done: threading.Event, label: Callable[[int], str] | None = None
    ) -> None:
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20)
        self.name, self.done = f"worker-{number}", done
        self.random = random.Random(f"{seed} {number}")
        self.label = label or (lambda _: self.random.choice(CATEGORIES))
        self.acknowledged: dict[int, str] = {}
        """The mark that each acknowledged answer carries, by data object."""

    def post(self, path: str, content: dict[str, Any]) -> httpx.Response:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with suppress(httpx.TransportError):
                response = self.http.post(path, json=content)
                if response.status_code < 500:
                    return response
            time.sleep(0.02)
        raise AssertionError("the service does not answer any more")

    def sign_in(self) -> None:
        answer = self.post("/api/session", {"username": self.name, "password": "secret"})
        self.http.headers["X-CSRF-Token"] = answer.json()["csrfToken"]

    def work(self) -> None:
        while not self.done.is_set():
            response = self.post("/api/work/next", {"job": "animals"})
            assert response.status_code == 200, response.text
            task = response.json()["assignment"]
            if task is None:
                time.sleep(0.1)
                continue
            self.answer(task)

    def answer(self, task: dict[str, Any]) -> None:
        position, mark = int(task["objectId"]), secrets.token_hex(8)
        content = {"crowd-image-classifier": {"label": self.label(position)}, "mark": {"mark": mark}}
        path = f"/api/assignments/{task['id']}/answer"
        time.sleep(self.random.random() * 0.01)
        response = self.post(path, {"answerContent": content, "secondsActive": 0.01})
        if response.status_code == 409:
            # The lease ran out while the service was away: refused, so nothing is to be kept of it.
            return
        assert response.status_code == 200 and response.json()["accepted"], response.text
        assert position not in self.acknowledged, f"{self.name} was given object {position} twice"
        self.acknowledged[position] = mark
        if self.random.random() < 0.1:
            again = self.post(path, {"answerContent": content, "secondsActive": 0.01})
            assert again.status_code == 200 and again.json()["repeated"], again.text


@dataclass
class Scene:
    """A service behind a bad line, its store, and what went wrong so far."""

    folder: Path
    mounted: bool
    service: KillableService
    workers_line: Proxy
    settings: ServiceSettings
    random: random.Random
    server: PrivatePostgreSQL | None = None
    store_line: Proxy | None = None
    happened: Counter[str] = field(default_factory=Counter)

    @property
    def kills(self) -> int:
        return sum(count for name, count in self.happened.items() if name.startswith("kill"))

    def kill_service(self) -> None:
        self.service.kill()
        self.service.start()

    def cut_workers(self) -> None:
        self.workers_line.cut()

    def tear_answers(self) -> None:
        self.workers_line.tear(self.random.randint(1, 4))

    def fill_disk(self) -> None:
        with full(self.folder, self.mounted, self.service.pid):
            time.sleep(self.random.random() * 0.4)
            if self.random.random() < 0.3:
                self.service.kill()
        if self.server is not None:
            # PostgreSQL gives up where it cannot write its log.
            self.server.start()
        self.service.start()

    def kill_backend(self) -> None:
        assert self.server is not None
        with suppress(psycopg.OperationalError):
            for backend in self.server.backends()[: self.random.randint(1, 3)]:
                self.server.terminate(backend)

    def kill_server(self) -> None:
        assert self.server is not None
        self.server.kill()
        time.sleep(self.random.random() * 0.2)
        self.server.start()

    def kill_server_and_service(self) -> None:
        assert self.server is not None
        self.server.kill()
        self.service.kill()
        self.server.start()
        self.service.start()

    def cut_store(self) -> None:
        assert self.store_line is not None
        self.store_line.cut()

    def tear_store(self) -> None:
        assert self.store_line is not None
        self.store_line.tear(self.random.randint(1, 3))


@contextmanager
def scene(store: str, seed: int, log: Path) -> Iterator[Scene]:
    with ExitStack() as stack:
        folder, mounted = stack.enter_context(small_disk(160))
        (folder / "data").mkdir()
        server = store_line = None
        url = f"sqlite:///{folder}/home/store.db"
        if store == "postgresql":
            server = PrivatePostgreSQL(folder)
            stack.callback(server.close)
            store_line = Proxy(server.port)
            stack.callback(store_line.close)
            url = f"postgresql://postgres@127.0.0.1:{store_line.port}/trueground"
        service = KillableService(folder, url, log)
        stack.callback(service.close)
        service.start()
        workers_line = Proxy(service.port)
        stack.callback(workers_line.close)
        # The test's own way to the store does not break.
        own = url if server is None else f"postgresql://postgres@127.0.0.1:{server.port}/trueground"
        settings = ServiceSettings(home=folder / "home", data_root=folder / "data", store_url=own)
        yield Scene(folder, mounted, service, workers_line, settings, random.Random(seed), server, store_line)


def wait_for(condition: Callable[[], bool], futures: list[Future[None]], problem: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        for future in futures:
            if future.done():
                future.result()
        assert time.monotonic() < end, problem
        time.sleep(0.002)
