"""What a worker gets to see: the tasks of their own teams, and nothing else by any address."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from fastapi import FastAPI

from tests.service.running import PIXEL, TEAM, RunningService, add_team, read_credentials, running
from trueground.service.app import create_app
from trueground.service.engine import accounts
from trueground.service.security import SecretBox
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database
from trueground.storage import file_uri

MARK = "nobody-else-may-read-this"
ANSWER = {"answerContent": {"crowd-image-classifier": {"label": "dog"}}, "secondsActive": 1}
TEMPLATE = (
    '<crowd-form><img src="{{ task.input.taskObject | grant_read_access }}">'
    '<crowd-image-classifier name="crowd-image-classifier" categories="{{ task.input.labels | to_json }}">'
    "</crowd-image-classifier></crowd-form>"
)


@pytest.fixture
def app(settings: ServiceSettings) -> FastAPI:
    return create_app(settings)


@pytest.fixture
def service(app: FastAPI, settings: ServiceSettings) -> Iterator[RunningService]:
    with running(app) as url, closing(Database(settings.database_url)) as db:
        add_team(db, settings)
        yield RunningService(url, settings, read_credentials(settings), db)


def sign_in(service: RunningService, username: str, **account: Any) -> httpx.Client:
    service.add_worker(username, **account)
    client = httpx.Client(base_url=service.url, timeout=30)
    answer = client.post("/api/session", json={"username": username, "password": "secret"})
    client.headers["X-CSRF-Token"] = answer.json()["csrfToken"]
    return client


@pytest.fixture
def secret_job(make_job: Callable[..., str], service: RunningService) -> str:
    """A job of the team ``annotators`` whose every text is marked."""
    folder = service.data_root / "pictures"
    folder.mkdir()
    (folder / f"{MARK}.png").write_bytes(PIXEL)
    line = {"source-ref": file_uri(folder / f"{MARK}.png"), "note": MARK}
    return make_job("secret-animals", [line] * 3, 1, TaskTitle=MARK, TaskDescription=MARK)


@pytest.fixture
def ada(service: RunningService) -> httpx.Client:
    return sign_in(service, "ada")


@pytest.fixture
def eve(service: RunningService, make_job: Callable[..., str], secret_job: str) -> httpx.Client:
    """A worker of another team, which has a job of its own."""
    arn = service.add_team("others")
    make_job("plants", objects=3, WorkteamArn=arn)
    return sign_in(service, "eve", team="others")


def test_no_address_shows_a_worker_the_work_of_another_team(
    app: FastAPI, service: RunningService, ada: httpx.Client, eve: httpx.Client, secret_job: str
) -> None:
    task = ada.post("/api/work/next", json={"job": secret_job}).json()["assignment"]
    assert MARK in json.dumps(task)
    ada_id = accounts.get_worker(service.db, "ada").id
    known = {"assignment_id": task["id"], "name": secret_job, "job": secret_job, "worker_id": ada_id, "username": "ada"}
    seen = 0
    for path, methods in app.openapi()["paths"].items():
        for method in methods:
            address = re.sub(r"{(\w+)}", lambda found: known.get(found[1], task["id"]), path)
            for body in ({"json": ANSWER}, {"json": {"job": secret_job}}, {"data": {"job": secret_job}}):
                answer = eve.request(method, address, **({} if method in ("get", "head") else body))
                assert MARK not in answer.text and MARK not in str(answer.headers), (method, path)
                if set(re.findall(r"{(\w+)}", path)) & known.keys():
                    assert answer.status_code >= 300, (method, path, answer.text)
                if method == "delete" or "signout" in path or "session" in path:
                    eve = sign_in_again(eve, service)
            seen += 1
    assert seen >= 20
    assert eve.post("/api/work/next", json={"job": secret_job}).json()["assignment"] is None
    assert eve.post("/api/work/next", json={}).json()["assignment"]["job"] == "plants"
    # What eve sent changed nothing for ada.
    assert ada.post(f"/api/assignments/{task['id']}/answer", json=ANSWER).json()["repeated"] is False


def sign_in_again(client: httpx.Client, service: RunningService) -> httpx.Client:
    fresh = httpx.Client(base_url=service.url, timeout=30)
    answer = fresh.post("/api/session", json={"username": "eve", "password": "secret"})
    fresh.headers["X-CSRF-Token"] = answer.json()["csrfToken"]
    client.close()
    return fresh


def test_a_stranger_sees_nothing_by_any_address(
    app: FastAPI, service: RunningService, ada: httpx.Client, secret_job: str
) -> None:
    task = ada.post("/api/work/next", json={"job": secret_job}).json()["assignment"]
    known = {"assignment_id": task["id"], "name": secret_job, "job": secret_job}
    for path, methods in app.openapi()["paths"].items():
        for method in methods:
            address = re.sub(r"{(\w+)}", lambda found: known.get(found[1], "x"), path)
            answer = httpx.request(method, service.url + address)
            assert MARK not in answer.text and secret_job not in answer.text.replace(address, ""), (method, path)


def test_who_left_the_team_gets_no_more_of_its_work(service: RunningService, secret_job: str) -> None:
    gone = sign_in(service, "gone")
    assert gone.get("/api/work").json()["jobs"]
    with service.db.write() as connection:
        connection.exec_driver_sql("DELETE FROM worker_groups")
    assert gone.get("/api/work").json()["jobs"] == []
    assert gone.post("/api/work/next", json={"job": secret_job}).json()["assignment"] is None
    assert gone.get(f"/work/{secret_job}").status_code == 404


# -- links ---------------------------------------------------------------------------------------------------------


def test_a_link_is_good_for_what_it_was_made_for_and_not_for_ever(
    service: RunningService, ada: httpx.Client, secret_job: str
) -> None:
    task = ada.post("/api/work/next", json={"job": secret_job}).json()["assignment"]
    frame = task["frameUrl"].rpartition("/")[2]
    signer = SecretBox.load(service.settings.home).signer()
    claims = signer.read("frame", frame)
    assert claims is not None
    uri, outside = file_uri(service.data_root / f"pictures/{MARK}.png"), "file:///etc/passwd"
    file = {"u": uri, "w": claims["w"], "a": claims["a"]}
    assert httpx.get(f"{service.url}/media/{signer.sign('media', file, 60)}").status_code == 200
    refused = {
        "expired frame": f"/frame/{signer.sign('frame', claims, -1)}",
        "expired file": f"/media/{signer.sign('media', file, -1)}",
        "frame as file": f"/media/{frame}",
        "file as frame": f"/frame/{signer.sign('media', file, 60)}",
        "another worker's": f"/frame/{signer.sign('frame', {**claims, 'w': 'someone-else'}, 60)}",
        "another key": f"/frame/{SecretBox(b'A' * 43 + b'=').signer().sign('frame', claims, 60)}",
        "cut": f"/frame/{frame[:-1]}",
        "no signature": f"/frame/{frame.partition('.')[0]}.",
        "outside": f"/media/{signer.sign('media', {**file, 'u': outside}, 60)}",
    }
    for what, path in refused.items():
        answer = httpx.get(service.url + path)
        assert answer.status_code == 404 and MARK not in answer.text and "root:" not in answer.text, what


def test_every_letter_of_a_link_is_covered_by_its_signature(
    service: RunningService, ada: httpx.Client, secret_job: str
) -> None:
    signer = SecretBox.load(service.settings.home).signer()
    token = signer.sign("media", {"u": "file:///x"}, 60)
    for place in range(len(token) - 1):
        letter = "A" if token[place] != "A" else "B"
        assert signer.read("media", token[:place] + letter + token[place + 1 :]) is None, place


def test_links_to_files_run_out_with_the_task(service: RunningService, ada: httpx.Client, secret_job: str) -> None:
    task = ada.post("/api/work/next", json={"job": secret_job}).json()["assignment"]
    page = httpx.get(service.url + task["frameUrl"]).text
    (link,) = re.findall(r"/media/([\w.-]+)", page)
    signer = SecretBox.load(service.settings.home).signer()
    assert signer.read("media", link) is not None
    with patch("time.time", return_value=time.time() + 3700):
        assert signer.read("media", link) is None and signer.read("frame", task["frameUrl"].rpartition("/")[2]) is None


@pytest.mark.parametrize("gone", ["closed account", "left team"])
def test_links_die_with_the_account_and_with_the_place_in_the_team(
    service: RunningService, ada: httpx.Client, secret_job: str, gone: str
) -> None:
    task = ada.post("/api/work/next", json={"job": secret_job}).json()["assignment"]
    frame = httpx.get(service.url + task["frameUrl"])
    (link,) = re.findall(r"/media/[\w.-]+", frame.text)
    assert httpx.get(service.url + link).content == PIXEL
    if gone == "closed account":
        accounts.disable(service.db, "ada")
    else:
        accounts.remove_from_group(service.db, "ada", TEAM)
    for path in (link, task["frameUrl"]):
        answer = httpx.get(service.url + path)
        assert answer.status_code == 404 and MARK not in answer.text and answer.content != PIXEL, path


def test_a_template_gets_no_link_to_a_file_that_its_task_does_not_name(
    service: RunningService, ada: httpx.Client, make_job: Callable[..., str]
) -> None:
    other = service.data_root / "other"
    other.mkdir()
    (other / "secret.txt").write_text(MARK)
    make_job("sneaky", objects=1)
    path = service.data_root / "in/sneaky/template.html"
    place = str(other / "secret.txt")
    half = len(place) // 2
    address = f"{{{{ 'file://{place[:half]}' | append: '{place[half:]}' | grant_read_access }}}}"
    path.write_text(TEMPLATE.replace("</crowd-form>", f"<i>{address}</i></crowd-form>"))
    request = service.client().describe_labeling_job(LabelingJobName="sneaky")
    kept = (
        "LabelAttributeName",
        "InputConfig",
        "OutputConfig",
        "RoleArn",
        "HumanTaskConfig",
        "LabelCategoryConfigS3Uri",
    )
    client = service.client()
    try:
        client.create_labeling_job(LabelingJobName="sneaky-2", **{name: request[name] for name in kept})
    except client.exceptions.ClientError as error:
        assert "names" in str(error)  # refused at once is as good
        return
    task = ada.post("/api/work/next", json={"job": "sneaky-2"}).json()["assignment"]
    answer = httpx.get(service.url + task["frameUrl"])
    assert answer.status_code == 422 and "/media/" not in answer.text and MARK not in answer.text


def test_a_file_that_became_a_link_out_of_the_data_root_is_not_served(
    service: RunningService, ada: httpx.Client, secret_job: str
) -> None:
    task = ada.post("/api/work/next", json={"job": secret_job}).json()["assignment"]
    page = httpx.get(service.url + task["frameUrl"]).text
    (link,) = re.findall(r"/media/[\w.-]+", page)
    assert httpx.get(service.url + link).status_code == 200
    picture = service.data_root / f"pictures/{MARK}.png"
    picture.unlink()
    picture.symlink_to("/etc/passwd")
    answer = httpx.get(service.url + link)
    assert answer.status_code == 404 and "root:" not in answer.text


@pytest.mark.parametrize("name", ["x.html", "x.svg", "x.png", "x.xml", "x.js", "x.pdf"])
def test_a_file_that_could_run_scripts_is_sent_as_data(service: RunningService, name: str) -> None:
    (service.data_root / name).write_text("<html><svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script>")
    signer = SecretBox.load(service.settings.home).signer()
    uri = file_uri(service.data_root / name)
    answer = httpx.get(f"{service.url}/media/{signer.sign('media', {'u': uri, 'w': None}, 60)}")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
