"""People who are simulated: HTTP clients of the portal that sign in, take tasks and answer them.

They know the truth and are right as often as they are said to be. Nothing else knows they are not people.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

IDLE_PAUSE = 0.5
"""Seconds until somebody who found no work looks again."""
DOWN_PAUSE = 1.0
"""Seconds until somebody who found the service down tries again."""


@dataclass
class SimulatedWorker:
    """One worker.

    Args:
        url: the portal.
        username, password: the account.
        truth: the right label by the file name of an object, or by its text; or whatever ``respond`` needs to know.
        accuracy: the chance that an answer is right.
        seconds: mean time to think about a task.
        seed: decides the mistakes.
        respond: makes the form that is submitted, from the task's input and what follows it here; :func:`answer` for
            classes.
    """

    url: str
    username: str
    password: str = field(repr=False)
    truth: Mapping[str, Any]
    accuracy: float = 0.95
    seconds: float = 0.1
    seed: int = 0
    respond: Callable[[Mapping[str, Any], Mapping[str, Any], float, random.Random], dict[str, Any]] | None = None
    acknowledged: Counter[str] = field(default_factory=Counter)
    """Answers that the service said it has, by job."""
    last_work: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._random = random.Random(f"{self.seed} {self.username}")
        self._client = httpx.Client(base_url=self.url, timeout=30)
        self._token: str | None = None

    def work(self, stop: threading.Event) -> None:
        """Work until told to stop. A service that is down or forgot the session is tried again."""
        with self._client:
            while not stop.is_set():
                try:
                    if not self._do_one():
                        stop.wait(IDLE_PAUSE)
                except httpx.HTTPStatusError as error:
                    if error.response.status_code == 401:
                        self._token = None
                    elif error.response.status_code < 500:
                        raise
                    stop.wait(DOWN_PAUSE)
                except httpx.TransportError:
                    stop.wait(DOWN_PAUSE)

    def _do_one(self) -> bool:
        """Do one task; ``False`` where there is none."""
        if self._token is None:
            self._sign_in()
        # It holds none, so one that was leased and never arrived comes again.
        task = self._post("/api/work/next", {"holding": []})["assignment"]
        if task is None:
            return False
        thinking = self._random.uniform(0.5, 1.5) * self.seconds
        time.sleep(thinking)
        respond = self.respond or answer
        self._submit(task, respond(task["taskInput"], self.truth, self.accuracy, self._random), thinking)
        self.last_work = time.monotonic()
        return True

    def _submit(self, task: Mapping[str, Any], content: dict[str, Any], seconds: float) -> None:
        """Hand the answer in, as often as it takes: a person would not throw it away because the network failed."""
        body = {"answerContent": content, "secondsActive": seconds}
        while True:
            try:
                self._post(f"/api/assignments/{task['id']}/answer", body)
                self.acknowledged[task["job"]] += 1
                return
            except httpx.HTTPStatusError as error:
                status = error.response.status_code
                if status == 401:
                    self._sign_in()
                elif status in (404, 409):
                    # Too late: somebody else does it.
                    return
                elif status < 500:
                    raise
                else:
                    time.sleep(DOWN_PAUSE)
            except httpx.TransportError:
                time.sleep(DOWN_PAUSE)

    def _sign_in(self) -> None:
        answered = self._client.post("/api/session", json={"username": self.username, "password": self.password})
        if answered.status_code == 401:
            raise PermissionError(f"{self.username} cannot sign in: name and password do not fit")
        answered.raise_for_status()
        self._token = answered.json()["csrfToken"]

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        answered = self._client.post(path, json=body, headers={"X-CSRF-Token": self._token or ""})
        answered.raise_for_status()
        return answered.json()


def answer(
    task_input: Mapping[str, Any], truth: Mapping[str, str], accuracy: float, randomness: random.Random
) -> dict[str, Any]:
    """The form that somebody who is right with chance ``accuracy`` submits for a task.

    A verification task (its input holds the labeled line) is answered ``right`` or ``wrong``; any other with a class.

    Raises:
        KeyError: the truth does not know the object.
    """
    known = truth[object_name(task_input)]
    labels = list(task_input["labels"])
    right = known
    if "manifestLine" in task_input:
        right = labels[0] if judged_label(task_input["manifestLine"]) == known else labels[1]
    others = [label for label in labels if label != right]
    label = right if randomness.random() < accuracy or not others else randomness.choice(others)
    element = "crowd-classifier" if "manifestLine" in task_input else "crowd-image-classifier"
    return {element: {"label": label}}


def object_name(task_input: Mapping[str, Any]) -> str:
    """How the truth names an object: the last part of its address, or its text."""
    thing = str(task_input["taskObject"])
    return thing.rsplit("/", 1)[-1] if "://" in thing else thing


def judged_label(line: Mapping[str, Any]) -> str | None:
    """The class that a labeled manifest line carries."""
    for key, value in line.items():
        if key.endswith("-metadata") and isinstance(value, Mapping) and "class-name" in value:
            return str(value["class-name"])
    return None


def run(
    workers: Sequence[SimulatedWorker],
    *,
    until_idle: float | None = None,
    stop: threading.Event | None = None,
    say: Callable[[str], None] = print,
    every: float = 10.0,
) -> Counter[str]:
    """Have everybody work at the same time.

    Args:
        workers: who.
        until_idle: end when nobody found work for so many seconds; ``None`` works until ``stop``.
        stop: set it to end.
        say: where a line of progress goes, every ``every`` seconds in which something was done.

    Returns:
        How many answers the service acknowledged, by job.

    Raises:
        PermissionError: somebody cannot sign in.
        KeyError: the truth does not know an object.
    """
    stop = stop or threading.Event()
    failures: list[BaseException] = []

    def work(worker: SimulatedWorker) -> None:
        try:
            worker.work(stop)
        except Exception as error:
            failures.append(error)
            stop.set()

    threads = [threading.Thread(target=work, args=(worker,), name=worker.username) for worker in workers]
    for thread in threads:
        thread.start()
    said, last = 0, time.monotonic()
    while not stop.wait(0.2):
        now = time.monotonic()
        total = sum(worker.acknowledged.total() for worker in workers)
        if now - last >= every and total != said:
            say(f"{total} answers")
            said, last = total, now
        if until_idle is not None and now - max(worker.last_work for worker in workers) > until_idle:
            stop.set()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return sum((worker.acknowledged for worker in workers), Counter())
