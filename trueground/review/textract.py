"""The key-value pairs of a Textract ``AnalyzeDocument`` response."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trueground.errors import InputError

Block = Mapping[str, Any]


@dataclass(frozen=True)
class FormField:
    """A key-value pair, confidences from 0 to 100.

    ``confidence`` is that of the pair's blocks; Textract gives key and value the same, where they differ it is the
    lower. ``word_confidences`` are those of the words of key and value, ``value_confidences`` those of the value's.
    ``block_ids`` are all blocks of the pair, the key's first.
    """

    key: str
    value: str
    confidence: float
    word_confidences: tuple[float, ...]
    block_ids: tuple[str, ...]
    value_confidences: tuple[float, ...] = ()


def form_fields(response: Any) -> list[FormField]:
    """The key-value pairs of a response, in its order.

    Raises:
        InputError: the response has not Textract's shape; ``field`` is the place in the prediction line.
    """
    blocks = response.get("Blocks") if isinstance(response, Mapping) else None
    if not isinstance(blocks, list):
        raise InputError("Textract's response has a list of Blocks", field="prediction.Blocks")
    by_id: dict[str, Block] = {}
    for number, block in enumerate(blocks):
        if not isinstance(block, Mapping) or not isinstance(block.get("Id"), str) or "BlockType" not in block:
            raise InputError("a block has Id and BlockType", field=f"prediction.Blocks[{number}]")
        by_id[block["Id"]] = block
    return [_form_field(block, by_id) for block in by_id.values() if _is(block, "KEY")]


def _form_field(key: Block, by_id: Mapping[str, Block]) -> FormField:
    values = [block for block in _related(key, "VALUE", by_id) if _is(block, "VALUE")]
    children = [list(_related(block, "CHILD", by_id)) for block in (key, *values)]
    words = [[child for child in found if child["BlockType"] == "WORD"] for found in children]
    return FormField(
        key=_text(children[0]),
        value=" ".join(_text(found) for found in children[1:]),
        confidence=min(confidence_of(block) for block in (key, *values)),
        word_confidences=tuple(confidence_of(word) for found in words for word in found),
        block_ids=tuple(block["Id"] for found in ((key, *values), *children) for block in found),
        value_confidences=tuple(confidence_of(word) for found in words[1:] for word in found),
    )


def confidence_of(block: Block) -> float:
    """A block's confidence. Raises :class:`InputError` where it has none from 0 to 100."""
    found = block.get("Confidence")
    # Python reads NaN from JSON, which no condition would find too low.
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not 0 <= found <= 100:
        place = f"prediction.Blocks.{block['Id']}.Confidence"
        raise InputError("the block has no confidence from 0 to 100", field=place)
    return float(found)


def _is(block: Block, entity: str) -> bool:
    return block["BlockType"] == "KEY_VALUE_SET" and entity in block.get("EntityTypes", ())


def _related(block: Block, kind: str, by_id: Mapping[str, Block]) -> Iterator[Block]:
    for relation in block.get("Relationships") or ():
        if relation.get("Type") != kind:
            continue
        for identity in relation.get("Ids", ()):
            if identity not in by_id:
                place = f"prediction.Blocks.{block['Id']}.Relationships"
                raise InputError(f"it names the block {identity}, which is not there", field=place)
            yield by_id[identity]


def _text(children: list[Block]) -> str:
    """The words, and ``SELECTED`` or ``NOT_SELECTED`` for a box to tick."""
    return " ".join(str(child.get("Text") or child.get("SelectionStatus") or "") for child in children)
