"""Textract's blocks: https://docs.aws.amazon.com/textract/latest/dg/API_Block.html."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

from trueground.documents.ocr import Corners, Line, Word
from trueground.documents.pairs import Pair, page_angle, turned

_NAMESPACE = uuid.UUID("5d0f5a0a-64b5-4b5a-9d55-0a8e7fd0a4b1")


def response_of(lines: Sequence[Line], pairs: Sequence[Pair], size: tuple[int, int], name: str) -> dict[str, Any]:
    """The response of ``AnalyzeDocument`` for what was found on a page.

    Args:
        lines, pairs: what was found; the pairs are made of the lines' words.
        size: width and height of the page in pixels.
        name: what the page is; the blocks' ``Id`` follow from it.
    """
    ids = (str(uuid.uuid5(_NAMESPACE, f"{name}/{number}")) for number in count())
    angle = page_angle(lines)
    # Pairs hold the very words of the lines.
    word_ids = {id(word): next(ids) for line in lines for word in line.words}
    line_blocks = []
    for line in lines:
        head = {"BlockType": "LINE", "Confidence": _confidence(line.confidence), "Text": line.text}
        children = [word_ids[id(word)] for word in line.words]
        line_blocks.append(_block(head, next(ids), line.corners, size, CHILD=children))
    word_blocks = [
        _block(
            {
                "BlockType": "WORD",
                "Confidence": _confidence(word.confidence),
                "Text": word.text,
                "TextType": "PRINTED",
            },
            word_ids[id(word)],
            word.corners,
            size,
        )
        for line in lines
        for word in line.words
    ]
    pair_blocks = []
    for pair in pairs:
        key_id, value_id = next(ids), next(ids)
        for side, words, identity, more in (
            ("KEY", pair.key, key_id, {"VALUE": [value_id]}),
            ("VALUE", pair.value, value_id, {}),
        ):
            head = {
                "BlockType": "KEY_VALUE_SET",
                "Confidence": _confidence(pair.confidence),
                "EntityTypes": [side],
            }
            relations = {**more, "CHILD": [word_ids[id(word)] for word in words]}
            pair_blocks.append(_block(head, identity, _around(words, angle), size, **relations))
    children = [block["Id"] for block in (*line_blocks, *pair_blocks)]
    whole = ((0.0, 0.0), (float(size[0]), 0.0), (float(size[0]), float(size[1])), (0.0, float(size[1])))
    page = _block({"BlockType": "PAGE"}, next(ids), whole, size, CHILD=children)
    return {
        "DocumentMetadata": {"Pages": 1},
        "Blocks": [page, *line_blocks, *word_blocks, *pair_blocks],
        "AnalyzeDocumentModelVersion": "1.0",
    }


def _block(
    head: dict[str, Any], identity: str, corners: Corners, size: tuple[int, int], **relations: list[str]
) -> dict[str, Any]:
    block = {**head, "Id": identity, "Geometry": _geometry(corners, size)}
    if relations:
        block["Relationships"] = [{"Type": kind, "Ids": ids} for kind, ids in relations.items()]
    return block


def _geometry(corners: Corners, size: tuple[int, int]) -> dict[str, Any]:
    width, height = size
    points = [(_share(x / width), _share(y / height)) for x, y in corners]
    left, top = min(x for x, _ in points), min(y for _, y in points)
    right, bottom = max(x for x, _ in points), max(y for _, y in points)
    return {
        "BoundingBox": {
            "Left": left,
            "Top": top,
            "Width": round(right - left, 6),
            "Height": round(bottom - top, 6),
        },
        "Polygon": [{"X": x, "Y": y} for x, y in points],
    }


def _around(words: Iterable[Word], angle: float) -> Corners:
    """The corners of the smallest box around words on a page that is turned by ``angle``."""
    points = [turned(point, -angle) for word in words for point in word.corners]
    left, top = min(x for x, _ in points), min(y for _, y in points)
    right, bottom = max(x for x, _ in points), max(y for _, y in points)
    return tuple(turned(corner, angle) for corner in ((left, top), (right, top), (right, bottom), (left, bottom)))


def _share(value: float) -> float:
    return round(min(max(value, 0.0), 1.0), 6)


def _confidence(value: float) -> float:
    # More digits than mean anything differ between machines.
    return round(min(max(value, 0.0), 100.0), 3)
