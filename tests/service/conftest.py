"""Fixtures: the labeling service, running, with real clients; and stores on both databases."""

from __future__ import annotations

import sys
import time
import types
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from fastapi import FastAPI

from tests.service import auto_labeling
from tests.service.public_work import (  # noqa: F401
    page,
    public_job,
    public_request,
    public_service,
    public_settings,
    turk,
    work,
)
from tests.service.running import (
    TEAM,
    RunningService,
    ServiceProcess,
    _flow_request,
    _job_request,
    _running_service,
    add_team,
    answer_all,
    postgresql_database,
    read_credentials,
    running,
)
from trueground.service.engine import accounts, first_start, jobs, sign_in_limits
from trueground.service.security import SecretBox
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database, now
from trueground.storage import file_uri

# Of the service, `make test-fast` runs these; all others stand for a part of it each, and `make test` runs them all.
FAST = ("test_assignment", "test_job_options", "test_labeling_jobs", "test_migrations", "test_signature", "test_store")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as ``thorough`` what is not among the fast ones."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and item.path.stem not in FAST:
            item.add_marker(pytest.mark.thorough)


@pytest.fixture
def settings(tmp_path: Path) -> ServiceSettings:
    (tmp_path / "data").mkdir()
    return ServiceSettings(
        home=tmp_path / "home", data_root=(tmp_path / "data").resolve(), poll_interval=0.1, stop_grace=1.0
    )


@pytest.fixture
def job_request(settings: ServiceSettings) -> Callable[..., dict[str, Any]]:
    """A CreateLabelingJob request with its files: ``job_request(name, objects=3, workers=1, **members)``.

    ``objects`` is a number of pictures, or the lines of the manifest. A member that is ``None`` is left out.
    """

    def make(name: str = "animals", *args: Any, **options: Any) -> dict[str, Any]:
        return _job_request(settings.data_root, name, *args, **options)

    return make


@pytest.fixture(scope="session")
def running_service() -> Callable[[ServiceSettings], AbstractContextManager[RunningService]]:
    """``with running_service(settings) as service``: in a thread, with the team ``annotators``."""
    return _running_service


@pytest.fixture(scope="session")
def serve_app() -> Callable[[FastAPI], AbstractContextManager[str]]:
    """``with serve_app(app) as url``: any ASGI app on a free port, in a thread."""
    return running


@pytest.fixture(scope="module")
def shared_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service for all tests of a module, for modules that change nothing in it."""
    folder = tmp_path_factory.mktemp("service").resolve()
    (folder / "data").mkdir()
    with _running_service(ServiceSettings(home=folder / "home", data_root=folder / "data")) as service:
        yield service


@pytest.fixture
def still_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the clock by which tries to sign in are counted: on a busy machine the waits would be over too soon."""
    at = now()
    monkeypatch.setattr(sign_in_limits, "now", lambda: at)


@pytest.fixture
def service(settings: ServiceSettings) -> Iterator[RunningService]:
    """The service in a thread of this process, with its own store and the team ``annotators``."""
    with _running_service(settings) as service:
        yield service


@pytest.fixture
def sagemaker(service: RunningService) -> Any:
    """A boto3 client of the running service."""
    return service.client()


@pytest.fixture(scope="session")
def next_second() -> Callable[[], None]:
    """Wait for the next second: two requests that are alike within one are one to the service."""

    def wait() -> None:
        time.sleep(1.001 - time.time() % 1)

    return wait


@pytest.fixture
def a2i(service: RunningService) -> Any:
    """A boto3 client of the running service's human loops. As by default, it asks again where it is to wait."""
    return service.client("sagemaker-a2i-runtime", config=Config(retries={"total_max_attempts": 5}))


@pytest.fixture
def make_flow(service: RunningService, sagemaker: Any) -> Callable[..., str]:
    """Create a flow definition with its UI over boto3: ``make_flow(name, count=1, **members)``; returns its ARN.

    ``members`` replace those of HumanLoopConfig, or those at the top under their own names.
    """

    def make(name: str = "transcripts", count: int = 1, **members: Any) -> str:
        arn: str = sagemaker.create_flow_definition(**_flow_request(service, sagemaker, name, count, **members))[
            "FlowDefinitionArn"
        ]
        return arn

    return make


@pytest.fixture
def flow_request(service: RunningService, sagemaker: Any) -> Callable[..., dict[str, Any]]:
    """A CreateFlowDefinition request whose UI is there; arguments as those of ``make_flow``."""

    def make(name: str = "transcripts", count: int = 1, **members: Any) -> dict[str, Any]:
        return _flow_request(service, sagemaker, name, count, **members)

    return make


@pytest.fixture
def make_job(service: RunningService, sagemaker: Any) -> Callable[..., str]:
    """Create a labeling job over boto3: ``make_job(name, objects=3, workers=1, **members)``; returns its name."""

    def make(name: str = "animals", *args: Any, **options: Any) -> str:
        sagemaker.create_labeling_job(**_job_request(service.data_root, name, *args, **options))
        return name

    return make


@pytest.fixture
def service_process(settings: ServiceSettings) -> Iterator[ServiceProcess]:
    process = ServiceProcess(settings)
    process.start()
    yield process
    if process.process is not None:
        process.process.kill()
        process.process.wait()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, settings: ServiceSettings) -> Iterator[str]:
    """The URL of an empty store, on each database."""
    if request.param == "sqlite":
        yield settings.database_url
        return
    with postgresql_database() as url:
        yield url


@pytest.fixture
def store(store_url: str, settings: ServiceSettings) -> Iterator[Database]:
    """A store on each database, ready for use, with the team ``annotators``."""
    with closing(Database(store_url)) as db:
        first_start.prepare(db, SecretBox.load(settings.home), settings)
        add_team(db, settings)
        yield db


@pytest.fixture
def people(store: Database) -> Callable[[int], list[str]]:
    """Accounts in the team of ``store``; gives their worker ids."""

    def add(count: int) -> list[str]:
        ids = []
        for number in range(count):
            worker = accounts.external_worker(store, f"worker-{number}", name=f"Worker {number}", role="worker")
            accounts.add_to_group(store, worker.username, TEAM)
            ids.append(worker.id)
        return ids

    return add


@pytest.fixture
def stored_job(
    store: Database, settings: ServiceSettings, job_request: Callable[..., dict[str, Any]]
) -> Callable[..., str]:
    """A labeling job made in ``store`` without HTTP: ``stored_job(name, objects, workers, **members)``."""

    def make(name: str = "animals", *args: Any, **options: Any) -> str:
        jobs.create_job(store, settings.storage(), settings, job_request(name, *args, **options))
        return name

    return make


@pytest.fixture
def own_functions(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Register annotation functions with the service: ``own_functions(name=callable)``."""

    def register(**functions: Callable[[dict[str, Any]], Any]) -> None:
        module = types.ModuleType("functions_of_a_test")
        vars(module).update(functions)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        names = ",".join(f"{name}={module.__name__}:{name}" for name in functions)
        monkeypatch.setenv("TRUEGROUND_FUNCTIONS", names)

    return register


@pytest.fixture(name="answer_all", scope="session")
def _answer_all() -> Callable[..., int]:
    """``answer_all(store, job, worker_id, label="dog")``: all that a worker can get; returns how many."""
    return answer_all


@pytest.fixture(scope="session")
def connect() -> Callable[[str, ServiceSettings], RunningService]:
    """``connect(url, settings)``: a service that something else started."""

    def make(url: str, settings: ServiceSettings) -> RunningService:
        return RunningService(url, settings, read_credentials(settings), Database(settings.database_url))

    return make


@pytest.fixture
def pictures(settings: ServiceSettings) -> Callable[[int], list[dict[str, Any]]]:
    """So many lines of a manifest, with their files."""

    def make(count: int) -> list[dict[str, Any]]:
        folder = settings.data_root / "pictures"
        folder.mkdir(exist_ok=True)
        for position in range(count):
            (folder / f"{position}.png").write_bytes(auto_labeling.picture(position))
        return [{"source-ref": file_uri(folder / f"{position}.png")} for position in range(count)]

    return make
