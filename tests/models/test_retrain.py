"""A challenger from labels and reviews meets the current model on test objects that never change."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.models.conftest import WORDS, labels_extra, publish, reviews_extra, texts
from trueground.errors import InputError
from trueground.manifests import object_key
from trueground.models import ModelRecord, load_model
from trueground.models.data import in_test_split, read_predictions
from trueground.models.evaluate import compare_models
from trueground.models.retrain import model_extra, model_folder, prepare, promote, register, registry_of
from trueground.models.sources import Event, is_news, note_events
from trueground.models.trainers import PREDICTIONS, train_in_process
from trueground.review.sources import ModelSource
from trueground.run import Run
from trueground.storage import join

Night = Callable[..., Run]


def note(run: Run, *, labels: str | None = None, reviews: str | None = None) -> None:
    events = []
    if labels:
        events.append(Event("mail-labels", f"2026-01-01 {run.name}", labels_extra(labels)))
    if reviews:
        events.append(Event("mail-reviews", f"2026-01-01 {run.name}", reviews_extra(reviews)))
    assert note_events(run, events, labels_asset="mail-labels") == []


def train(run: Run) -> ModelRecord:
    prepare(run)
    folder = model_folder(run)
    return register(run, train_in_process(run, folder), join(folder, PREDICTIONS))


def test_the_first_model_is_registered_with_its_data_its_metrics_and_its_card(night: Night) -> None:
    run = night("one")
    uri = publish(run, texts(range(100)))
    note(run, labels=uri)
    record = train(run)
    assert registry_of(run).current() is None
    assert record.better and record.reason == "the first model"
    assert record.trained_on is not None and record.tested_on is not None
    assert record.trained_on + record.tested_on == 200
    assert record.accuracy is not None and record.lower is not None and record.upper is not None
    assert 0.85 < record.lower <= record.accuracy <= record.upper
    (data,) = record.data
    assert (data.kind, data.uri, data.objects, len(data.sha256)) == ("labels", uri, 200, 64)
    card = run.storage.read_text(record.card)
    assert f"{record.accuracy:.1%}** right" in card and data.sha256 in card and "| invoice |" in card
    _, switch = promote(run)
    current = registry_of(run).current()
    assert current == record
    assert model_extra(run, record, switch)["labels"] == [uri]
    assert load_model(run.storage, record).classes_.tolist() == ["greeting", "invoice"]


def test_nothing_of_the_test_split_is_trained_on_and_only_people_are_believed_in_it(night: Night) -> None:
    run = night("one")
    labels = texts(range(100))
    people = dict(list(labels.items())[:150])
    machine = dict(list(labels.items())[150:])
    note(run, labels=publish(run, people), reviews=publish(night("two"), machine, human=False))
    prepare(run)
    train_ids = {line["id"] for line in run.read_lines("retrain", "train.manifest")}
    test_ids = {line["id"] for line in run.read_lines("retrain", "test.manifest")}
    keys = {object_key({"source": text}) for text in labels}
    held = {key for key in keys if in_test_split(key, 0.2)}
    assert train_ids == keys - held
    assert test_ids == held & {object_key({"source": text}) for text in people}
    assert all("label" not in line for line in run.read_lines("retrain", "test.manifest"))


def test_a_review_replaces_the_label_that_it_looked_at(night: Night) -> None:
    run = night("one")
    labels = texts(range(100))
    wrong = dict.fromkeys(labels, "invoice") | {"many happy returns to you from 0": "greeting"}
    note(run, labels=publish(run, wrong, human=False, confidence=0.6), reviews=publish(night("two"), labels))
    prepare(run)
    lines = list(run.read_lines("retrain", "train.manifest"))
    assert all(line["label"] == labels[line["source"]] for line in lines)
    assert {(line["weight"], line["human"]) for line in lines} == {(0.95, True)}


def test_a_label_weighs_as_much_as_it_is_sure(night: Night) -> None:
    run = night("one")
    unsure = publish(night("two"), texts(range(40)), human=False, confidence=0.55)
    note(run, labels=publish(run, texts(range(40, 140))), reviews=unsure)
    prepare(run)
    weights = {(line["weight"], line["human"]) for line in run.read_lines("retrain", "train.manifest")}
    assert weights == {(0.95, True), (0.55, False)}


def test_a_challenger_that_is_no_better_is_registered_and_not_promoted(night: Night) -> None:
    first = night("one")
    note(first, labels=publish(first, texts(range(100))))
    train(first)
    promote(first)
    second = night("two")
    assert not is_news(second)
    note(second, labels=publish(second, texts(range(120))))
    assert is_news(second)
    record = train(second)
    assert (record.champion, record.better) == ("one", False)
    assert record.compared_on == record.tested_on
    assert "p = 1.000" in record.reason
    current = registry_of(second).current()
    assert current is not None and current.name == "one"


def test_a_current_model_that_nobody_can_use_is_replaced_and_named(night: Night) -> None:
    first = night("one")
    note(first, labels=publish(first, texts(range(100))))
    broken = train(first)
    promote(first)
    first.storage.write_bytes(broken.model, b"something else")
    second = night("two")
    note(second, labels=publish(second, texts(range(120))))
    record = train(second)
    assert record.better
    assert broken.model in record.reason and "not the one that was registered" in record.reason


def test_too_few_labels_are_refused_by_the_label_set(night: Night) -> None:
    run = night("one")
    uri = publish(run, texts(range(3)))
    note(run, labels=uri)
    with pytest.raises(InputError, match="too few") as caught:
        prepare(run)
    assert caught.value.file == uri


TRAINER = """
import json

def train(task):
    def guess(line):
        return "invoice" if "pay" in line["source"] else "greeting"
    said = [{"id": line["id"], "label": guess(line)} for line in task.read(task.test)]
    task.storage.write_text(task.output + "/predictions.jsonl", "".join(json.dumps(line) + "\\n" for line in said))
    task.storage.write_text(task.output + "/rule.txt", "pay")
    return "rule.txt"

def forgets(task):
    return "nothing.bin"
"""


def test_a_trainer_of_ones_own_is_compared_with_ours(
    night: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_trainer.py").write_text(TRAINER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("TRUEGROUND_TRAINERS", "rule=own_trainer:train,forgets=own_trainer:forgets")
    first = night("one", "{trainer: {kind: python, name: rule}}")
    note(first, labels=publish(first, texts(range(100))))
    record = train(first)
    assert (record.trainer, record.accuracy, record.model) == (
        "python rule",
        1.0,
        join(model_folder(first), "rule.txt"),
    )
    promote(first)
    with pytest.raises(InputError, match="not a model file"):
        load_model(first.storage, record)

    second = night("two")
    note(second, labels=publish(second, texts(range(120))))
    record = train(second)
    assert record.champion_accuracy == 1.0
    # The first trainer's model was asked about the test objects of its own time only.
    assert record.compared_on is not None and record.tested_on is not None
    assert 0 < record.compared_on < record.tested_on

    third = night("three", "{trainer: {kind: python, name: forgets}}")
    with pytest.raises(InputError, match=r"trainer forgets: it returned 'nothing\.bin', which is no file"):
        train(third)
    with pytest.raises(InputError, match=r"no trainer 'gone' is registered here \(registered: .*forgets, rule"):
        train(night("four", "{trainer: {kind: python, name: gone}}"))


@pytest.mark.parametrize(
    ("lines", "line", "field", "problem"),
    [
        (["{"], 1, None, "not JSON"),
        (['{"id": "a"}'], 1, "label", "a text is needed"),
        (['{"id": "a", "label": "x"}', '{"id": "b", "label": "q"}'], 2, "label", "'q' is no class"),
        (['{"id": "a", "label": "x"}', '{"id": "a", "label": "x"}'], 2, "id", "a second prediction"),
        (['{"id": "a", "label": "x"}'], None, None, "1 test objects have no prediction, the first is 'b'"),
    ],
)
def test_predictions_that_do_not_fit_are_refused_by_line_and_field(
    night: Night, lines: list[str], line: int | None, field: str | None, problem: str
) -> None:
    run = night("one")
    run.storage.write_text(run.uri("said.jsonl"), "\n".join(lines))
    with pytest.raises(InputError, match=problem) as caught:
        read_predictions(run.storage, run.uri("said.jsonl"), asked=["a", "b"], classes=["x"])
    assert (caught.value.line, caught.value.field) == (line, field)


def test_a_challenger_must_be_better_by_more_than_chance() -> None:
    truth = np.array(["a"] * 100)
    champion = np.array(["a"] * 80 + ["b"] * 20)
    assert not compare_models(truth, champion, np.array(["a"] * 81 + ["b"] * 19)).promote
    better = compare_models(truth, champion, np.array(["a"] * 98 + ["b"] * 2))
    assert better.promote
    # 18 objects where only the challenger is right: 0.5 ** 18.
    assert better.p_value == pytest.approx(0.5**18)
    assert compare_models(truth, None, champion).promote
    assert not compare_models(truth[:0], champion[:0], champion[:0]).promote


REVIEW = """
kind: review-predictions
name: mail-reviews
source: {kind: model, project: mail.yaml, manifest: new.manifest}
labels: [invoice, greeting]
label_attribute: topic
output: reviewed
review: {team: annotators}
"""


def test_predictions_are_those_of_the_current_model_also_after_a_rollback(night: Night, tmp_path: Path) -> None:
    from trueground.models import Registry
    from trueground.review.predict import predict_with_model
    from trueground.review.project import ReviewRun, load_review_project

    (tmp_path / "mail-reviews.yaml").write_text(REVIEW)
    first = night("one")
    swapped = {text: "invoice" if kind == "greeting" else "greeting" for text, kind in texts(range(100)).items()}
    for run, labels in ((first, texts(range(100))), (night("two"), swapped)):
        note(run, labels=publish(run, labels))
        train(run)
        promote(run)
    first.storage.write_text(f"file://{tmp_path}/new.manifest", json.dumps({"source": f"{WORDS['invoice']} 7"}) + "\n")
    project = load_review_project(tmp_path / "mail-reviews.yaml", data_root=str(tmp_path))
    said = []
    for name in ("before", "after"):
        run = ReviewRun(project, name, first.storage)
        assert isinstance(project.source, ModelSource)
        predict_with_model(run, project.source, first.project)
        said += [line["prediction"]["label"] for line in run.read_lines("predictions.jsonl")]
        if name == "before":
            Registry(first.storage, first.project.output).roll_back(by="somebody", reason="nonsense")
    assert said == ["greeting", "invoice"]


RETRAINING = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from tests.models.test_retrain import promote, train
from trueground.project import load_project
from trueground.run import Run
from trueground.storage import Storage
root = sys.argv[1]
run = Run(load_project(Path(root) / "mail.yaml", data_root=root), "two", Storage(root))
print("ready", flush=True)
train(run)
promote(run)
"""


def test_retraining_that_is_killed_leaves_the_old_model_or_the_new_one_and_can_be_repeated(
    night: Night, tmp_path: Path
) -> None:
    first = night("one")
    note(first, labels=publish(first, texts(range(60))))
    train(first)
    promote(first)
    second = night("two")
    wrong = {text: "invoice" if kind == "greeting" else "greeting" for text, kind in texts(range(60)).items()}
    note(second, labels=publish(second, wrong))
    command = [sys.executable, "-c", RETRAINING, str(tmp_path), str(Path(__file__).resolve().parents[2])]
    for pause in (0.2, 0.9):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
            time.sleep(pause)
            process.kill()
        record = registry_of(first).current()
        assert record is not None and record.name in ("one", "two")
        assert len(load_model(first.storage, record).classes_) == 2
    train(second)
    promote(second)
    current = registry_of(first).current()
    assert current is not None and current.name == "two"
