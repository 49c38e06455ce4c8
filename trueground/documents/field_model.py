"""The model of fields: how likely a field that was read is right, and what it says where the reader erred."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trueground.documents.values import KnownValues
from trueground.errors import InputError
from trueground.models.files import dump_state, load_state
from trueground.review.forms import ReviewedField
from trueground.review.textract import FormField, form_fields

if TYPE_CHECKING:
    from trueground.models.registry import ModelRecord

MARK, FORMAT = "trueground field model", 1
FOLDS = 5
FEWEST = 20
"""Reviewed fields to learn from, at least, among them one that was right and one that was not."""
SURE = 97.0
"""Of 100: a word that was read more surely is not taken for another that is known."""
FEATURES = (
    "least sure word", "mean word", "pair", "shape", "outline", "key alike", "key mended", "value mended",
    "known words", "values seen",
)  # fmt: skip


class TooFewReviews(InputError):
    """The reviewed fields are too few to learn from, or all right, or all wrong."""


@dataclass(frozen=True)
class CheckedField:
    """What a field says by the model, and how likely that is right, from 0 to 1."""

    key: str
    value: str
    probability: float


class FieldModel:
    r"""Learns from reviewed documents.

    It knows the keys and the values that people confirmed (:class:`~trueground.documents.values.KnownValues`), mends
    what differs from them by characters that look alike, and estimates by logistic regression how likely key and value
    are both right then. Its features are the logits of the reader's confidences, and how usual key and value are:
    :math:`\log((n_s + 1/2) / (n + 1))` of :math:`n` values of the key, :math:`n_s` of its shape. So that a value does
    not count itself as usual, the regression learns from features by knowledge of the other folds.
    """

    def __init__(self) -> None:
        self.known = KnownValues()
        self.coefficients = np.zeros(len(FEATURES))
        self.intercept = 0.0
        self.mean, self.scale = np.zeros(len(FEATURES)), np.ones(len(FEATURES))
        self.trained_on = 0

    def fit(self, reviewed: Sequence[ReviewedField]) -> FieldModel:
        """Learn, forgetting what was learned before; returns itself.

        Raises:
            TooFewReviews: there is nothing to learn from them.
        """
        from sklearn.linear_model import LogisticRegression

        folds = np.arange(len(reviewed)) % FOLDS
        rows, right = np.zeros((len(reviewed), len(FEATURES))), np.zeros(len(reviewed), dtype=bool)
        for fold in range(FOLDS):
            known = _knowledge(field for field, own in zip(reviewed, folds, strict=True) if own != fold)
            for number in np.flatnonzero(folds == fold).tolist():
                field = reviewed[number]
                rows[number], key, value = _features(known, field.read)
                right[number] = (key, value) == (field.key, field.value)
        if len(reviewed) < FEWEST or right.all() or not right.any():
            raise TooFewReviews(
                f"{len(reviewed)} reviewed fields, of which {int(right.sum())} are right, are too few to learn from",
                hint=f"{FEWEST} are needed, and both kinds among them.",
            )
        self.mean, self.scale = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-6)
        regression = LogisticRegression(max_iter=1000).fit((rows - self.mean) / self.scale, right)
        self.coefficients, self.intercept = regression.coef_[0], float(regression.intercept_[0])
        self.known = _knowledge(reviewed)
        self.trained_on = len(reviewed)
        return self

    def check(self, field: FormField) -> CheckedField:
        """What a field says, and how likely that is right."""
        row, key, value = _features(self.known, field)
        score = float(((row - self.mean) / self.scale) @ self.coefficients) + self.intercept
        return CheckedField(key, value, 1 / (1 + math.exp(-max(-30.0, min(30.0, score)))))

    def apply(self, response: Mapping[str, Any]) -> dict[str, Any]:
        """A response with what the model makes of it: each pair's texts mended, and the confidences of the pair and of
        its words 100 times the chance that it is right. Conditions and review pages then work by that chance.

        Raises:
            InputError: the response has not Textract's shape.
        """
        fields = form_fields(response)
        mended = copy.deepcopy(dict(response))
        blocks = {block["Id"]: block for block in mended["Blocks"]}
        for field in fields:
            checked = self.check(field)
            pair = [blocks[name] for name in field.block_ids if blocks[name]["BlockType"] == "KEY_VALUE_SET"]
            for side, text in zip(pair, (checked.key, checked.value), strict=False):
                _write(side, text, blocks)
            for name in field.block_ids:
                blocks[name]["Confidence"] = round(100 * checked.probability, 3)
        return mended

    def card(self, record: ModelRecord) -> str:
        """The model card, in Markdown: what it learned from, how right it is, and what weighs how much in its chances.

        Args:
            record: what is registered of the model.
        """
        weights = zip(FEATURES, self.coefficients, strict=True)
        keys = ", ".join(f"{key} ({count})" for key, count in self.known.keys.most_common())
        tested = "There is no test document yet."
        if record.accuracy is not None:
            tested = (
                f"Of {record.tested_on} fields of test documents, which no model learns from, people confirm "
                f"**{record.accuracy:.1%}** (95 % interval {record.lower:.1%} to {record.upper:.1%})."
            )
        if record.champion_accuracy is not None:
            tested += f" The model {record.champion}: {record.champion_accuracy:.1%}."
        return (
            f"# The model of fields of {record.project}\n\n"
            "It mends fields that a reader of documents misread, and says how likely each is right, by logistic "
            "regression on the reader's confidences and on how usual key and value are.\n\n"
            f"- trained on {self.trained_on} fields that people reviewed\n"
            f"- keys, and how often people confirmed them: {keys}\n\n"
            f"## How right it is\n\n{tested} {record.reason.capitalize()}.\n\n"
            "People looked at them because they were unsure, or in a sample, so they are harder than fields as a whole."
            "\n\n## What its chances follow from\n\n"
            "| feature, of variance 1 | weight |\n|---|---|\n"
            + "".join(f"| {name} | {weight:+.2f} |\n" for name, weight in weights)
        )

    def to_bytes(self) -> bytes:
        """The model as a skops file, which holds data and no code."""
        return dump_state({**vars(self), "known": self.known.state()}, MARK, FORMAT)

    @classmethod
    def from_bytes(cls, content: bytes) -> FieldModel:
        """What :meth:`to_bytes` wrote. Raises :class:`InputError` for anything else."""
        model = cls()
        state = load_state(content, MARK, FORMAT, set(vars(model)))
        vars(model).update(state, known=KnownValues.of_state(state["known"]))
        return model


def _knowledge(reviewed: Any) -> KnownValues:
    fields = [field for field in reviewed if field.key is not None and field.value]
    return KnownValues().learn((field.key, field.read.value, field.value) for field in fields)


def _features(known: KnownValues, field: FormField) -> tuple[NDArray[np.float64], str, str]:
    """The features of what a field says once it is mended, and that key and value."""
    words = field.value_confidences or (0.0,)
    key_words = field.word_confidences[: len(field.word_confidences) - len(field.value_confidences)] or (0.0,)
    key, alike = known.mend_key(field.key, surely=min(key_words) >= SURE)
    value = known.mend_value(key, field.value, surely=min(words) >= SURE)
    same_shape, same_outline = known.usual(key, value)
    seen = known.shapes(key).total()
    row = (
        _logit(min(words)),
        _logit(sum(words) / len(words)),
        _logit(field.confidence),
        math.log((same_shape * seen + 0.5) / (seen + 1)),
        math.log((same_outline * seen + 0.5) / (seen + 1)),
        alike,
        float(key != field.key),
        float(value != field.value),
        known.known_words(key, value),
        math.log1p(seen),
    )
    return np.array(row), key, value


def _logit(confidence: float) -> float:
    share = min(max(confidence / 100, 1e-4), 1 - 1e-4)
    return math.log(share / (1 - share))


def _write(side: dict[str, Any], text: str, blocks: Mapping[str, dict[str, Any]]) -> None:
    """Have the words of one side of a pair say a text; where there are fewer of them, the first says it all."""
    children = [relation for relation in side.get("Relationships", ()) if relation["Type"] == "CHILD"]
    words = [blocks[name] for relation in children for name in relation["Ids"]]
    if not words or " ".join(word.get("Text", "") for word in words) == text:
        return
    parts = text.split()
    if len(parts) != len(words):
        parts = [text]
        children[0]["Ids"] = [words[0]["Id"]]
    for word, part in zip(words, parts, strict=False):
        word["Text"] = part
