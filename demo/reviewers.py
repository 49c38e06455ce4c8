"""People who review forms, simulated: HTTP clients of the portal who can read what is printed."""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import Any

from trueground.activation_conditions import TEXTRACT
from trueground.documents.values import plain
from trueground.simulation import object_name

CLOSE_ENOUGH = 0.55
"""How alike a key that was read and a printed one are, at least, for a person to see that they are the same."""


def review_form(
    task_input: Mapping[str, Any], truth: Mapping[str, Mapping[str, str]], accuracy: float, chance: random.Random
) -> dict[str, Any]:
    """The answer of somebody who corrects each field with chance ``accuracy``, and else lets it pass as it was read.

    Args:
        task_input: the human loop's input.
        truth: by file name, each printed key and its value.
        accuracy: the chance.
        chance: draws.
    """
    printed = truth[object_name({"taskObject": task_input["source-ref"]})]
    blocks = {block["id"]: block for block in task_input["selectedAiServiceResponse"]["blocks"]}
    answer: list[dict[str, Any]] = []
    seen: set[str] = set()
    for block in blocks.values():
        values = [name for relation in block.get("relationships", ()) if relation["type"] == "VALUE"
                  for name in relation["ids"]]  # fmt: skip
        if not values:
            continue
        key = _same_key(block["text"], printed)
        if key is None or key in seen:
            continue  # no pair: it is left out of the answer
        seen.add(key)
        careless = chance.random() >= accuracy
        said = (block["text"], blocks[values[0]]["text"]) if careless else (f"{key}:", printed[key])
        answer += _pair(block["id"], values[0], *said)
    for wanted in task_input["humanLoopContext"]["importantFormKeys"]:
        names = {plain(name) for name in (wanted["importantFormKey"], *wanted["importantFormKeyAliases"])}
        for key in printed:
            if plain(key) in names and key not in seen and chance.random() < accuracy:
                answer += _pair(_new_id(chance), _new_id(chance), f"{key}:", printed[key])
    return {TEXTRACT: {"blocks": answer}}


def _same_key(read: str, printed: Mapping[str, str]) -> str | None:
    alike = {key: SequenceMatcher(None, plain(read), plain(key)).ratio() for key in printed}
    best = max(alike, key=lambda key: alike[key])
    return best if alike[best] >= CLOSE_ENOUGH else None


def _pair(key_id: str, value_id: str, key: str, value: str) -> list[dict[str, Any]]:
    def block(identity: str, entity: str, text: str, relationships: list[dict[str, Any]]) -> dict[str, Any]:
        return {"blockType": "KEY_VALUE_SET", "id": identity, "relationships": relationships,
                "entityTypes": [entity], "text": text}  # fmt: skip

    return [
        block(key_id, "KEY", key, [{"type": "VALUE", "ids": [value_id]}]),
        block(value_id, "VALUE", value, []),
    ]


def _new_id(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))
