"""The registry: what is registered, which model is current, and how one goes back."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from trueground.autolabel.model import LabelModel
from trueground.errors import InputError
from trueground.models import ModelRecord, Registry, current_model, load_model
from trueground.storage import Storage, file_uri

ROWS = np.array([[0.0, 0.0], [0.1, 0.0], [1.0, 1.0], [1.0, 0.9]])


def content(first: str = "a") -> bytes:
    return LabelModel().fit(ROWS, [first, first, "z", "z"]).to_bytes()


def register(registry: Registry, name: str, data: bytes = b"a model") -> ModelRecord:
    model = registry.uri(name, "model.skops")
    registry.storage.write_bytes(model, data)
    record = ModelRecord(
        name=name,
        project="birds",
        run=name,
        trainer="sklearn",
        created=f"2026-01-0{1 + ord(name) - ord('a')}T00:00:00+00:00",
        model=model,
        sha256=hashlib.sha256(data).hexdigest(),
        card=registry.uri(name, "card.md"),
        better=True,
        reason="better",
    )
    registry.register(record)
    return record


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(Storage(tmp_path), file_uri(tmp_path / "out"))


def current(registry: Registry) -> str | None:
    record = registry.current()
    return record.name if record else None


def test_there_is_no_current_model_before_the_first_is_promoted(registry: Registry) -> None:
    register(registry, "a")
    assert current(registry) is None
    with pytest.raises(InputError, match="no model was promoted yet"):
        registry.roll_back(by="x", reason="")


def test_a_promoted_model_is_what_everyone_reads(registry: Registry, tmp_path: Path) -> None:
    register(registry, "a", content())
    registry.promote("a", by="monday", reason="first")
    record = current_model(registry.storage, file_uri(tmp_path / "out"))
    assert record is not None and record.name == "a"
    assert load_model(registry.storage, record).predict(ROWS).tolist() == ["a", "a", "z", "z"]
    assert [record.name for record in registry.records()] == ["a"]


def test_rolling_back_goes_further_back_each_time_and_never_forth(registry: Registry) -> None:
    for name in "abc":
        register(registry, name)
        registry.promote(name, by=name, reason="better")
    for expected in "ba":
        registry.roll_back(by=f"back to {expected}", reason="it errs")
        assert current(registry) == expected
    with pytest.raises(InputError, match="'a' is the first model"):
        registry.roll_back(by="again", reason="")
    register(registry, "d")
    registry.promote("d", by="d", reason="better")
    assert registry.roll_back(by="and back", reason="").model == "a"
    pointer = registry.pointer()
    assert pointer is not None
    assert [switch.model for switch in pointer.history] == ["a", "b", "c", "b", "a", "d", "a"]


def test_one_may_go_back_to_a_model_by_its_name(registry: Registry) -> None:
    for name in "abc":
        register(registry, name)
        registry.promote(name, by=name, reason="better")
    registry.roll_back("a", by="x", reason="")
    assert current(registry) == "a"
    with pytest.raises(InputError, match=r"there is no model 'e'.*Registered are: a, b, c"):
        registry.roll_back("e", by="y", reason="")
    assert current(registry) == "a"


def test_a_repeated_step_switches_once(registry: Registry) -> None:
    for name in "abc":
        register(registry, name)
        registry.promote(name, by=name, reason="better")
    for _ in range(2):
        assert registry.roll_back(by="x", reason="").model == "b"
        # A cleared promotion does not undo the rollback.
        registry.promote("c", by="c", reason="better")
    assert current(registry) == "b"


def test_the_champion_of_before_the_registry_is_the_current_model(registry: Registry) -> None:
    registry.storage.write_bytes(registry.uri("champion.skops"), content("old"))
    record = registry.current()
    assert record is not None
    assert load_model(registry.storage, record).classes_.tolist() == ["old", "z"]
    register(registry, "a")
    registry.promote("a", by="a", reason="better")
    assert current(registry) == "a"
    registry.roll_back(by="x", reason="")
    assert current(registry) == "champion"


def test_a_model_file_of_another_version_is_refused_by_its_name(registry: Registry) -> None:
    from skops import io as skops

    record = register(registry, "a", skops.dumps({"trueground label model": 99}))
    with pytest.raises(InputError, match="of another version") as caught:
        load_model(registry.storage, record)
    assert caught.value.file == record.model


def test_a_model_file_that_was_changed_or_is_gone_is_refused(registry: Registry) -> None:
    record = register(registry, "a", content())
    registry.storage.write_bytes(record.model, content("b"))
    with pytest.raises(InputError, match="not the one that was registered"):
        load_model(registry.storage, record)
    registry.storage.delete(record.model)
    with pytest.raises(InputError, match="is gone"):
        load_model(registry.storage, record)


@pytest.mark.parametrize(
    ("file", "text", "field"),
    [
        ("current.json", '{"format": "trueground.current-model/2", "model": "a", "history": []}', "format"),
        ("current.json", "no JSON", None),
        ("a/record.json", '{"format": "trueground.model-record/1"}', "name"),
    ],
)
def test_registry_files_of_another_form_are_refused_by_field(
    registry: Registry, file: str, text: str, field: str | None
) -> None:
    register(registry, "a")
    registry.promote("a", by="a", reason="")
    registry.storage.write_text(registry.uri(file), text)
    with pytest.raises(InputError) as caught:
        registry.current()
    assert (caught.value.file, caught.value.field) == (registry.uri(file), field)


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.models.test_registry import register, Registry, Storage, file_uri
registry = Registry(Storage(sys.argv[1]), file_uri(Path(sys.argv[1]) / "out"))
for name in "ab":
    register(registry, name, name.encode() * 100_000)
print("ready", flush=True)
for number in range(1_000_000):
    registry.promote("ab"[number % 2], by=str(number), reason="")
"""


def test_a_switch_that_is_killed_leaves_the_old_model_or_the_new_one(registry: Registry, tmp_path: Path) -> None:
    root = str(Path(__file__).resolve().parents[2])
    for attempt in range(2):
        with subprocess.Popen([sys.executable, "-c", WRITER, tmp_path, root], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None and writer.stdout.readline() == b"ready\n"
            time.sleep(0.03 + 0.05 * attempt)
            os.kill(writer.pid, signal.SIGKILL)
        record = registry.current()
        assert record is None or hashlib.sha256(registry.storage.read_bytes(record.model)).hexdigest() == record.sha256
