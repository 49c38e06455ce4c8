"""Reviews of documents: what people are shown of a response of Textract's shape, and what they made of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trueground.activation_conditions import TEXTRACT
from trueground.errors import InputError
from trueground.review.conditions import Decision
from trueground.review.textract import FormField, form_fields
from trueground.storage import bucket_and_key


@dataclass(frozen=True)
class ReviewedField:
    """A field as it was read, and what people made of it; ``key`` and ``value`` are ``None`` for what is no field."""

    read: FormField
    key: str | None
    value: str | None


def form_input(line: Mapping[str, Any], decision: Decision) -> dict[str, Any]:
    """The input of a document's human loop, in A2I's form; ``task.input`` of the template.

    Args:
        line: the prediction line, whose ``prediction`` is the response.
        decision: what the conditions said of it: people are asked about the pairs they selected, and about important
            keys that are missing.
    """
    response = line["prediction"]
    blocks = {block["Id"]: block for block in response["Blocks"]}
    selected: dict[str, dict[str, Any]] = {}
    for field in decision.selected:
        texts = iter((field.key, field.value))
        for name in field.block_ids:
            block = blocks[name]
            text = {"Text": next(texts, "")} if block["BlockType"] == "KEY_VALUE_SET" else {}
            selected[name] = {**block, **text}
    return {
        **service_request(line["source-ref"], "document", featureTypes=["FORMS"]),
        "aiServiceResponse": camel_case(response),
        "humanTaskActivationConditionResults": dict(decision.results),
        "selectedAiServiceResponse": {"blocks": [camel_case(block) for block in selected.values()]},
        "humanLoopContext": {"importantFormKeys": list(missing_keys(line, decision))},
    }


def said_of_form(content: Any) -> tuple[dict[str, tuple[str, str]], set[str]]:
    """By the id of its key's block, what an answer says of each pair; and the ids of those nobody could read.

    Raises:
        InputError: the answer has not the form of ``crowd-textract-analyze-document``.
    """
    answer = content.get(TEXTRACT) if isinstance(content, Mapping) else None
    blocks = answer.get("blocks") if isinstance(answer, Mapping) else None
    if not isinstance(answer, Mapping) or not isinstance(blocks, list):
        raise InputError("an answer about a form has a list of blocks", field=f"answerContent.{TEXTRACT}.blocks")
    texts = {block.get("id"): str(block.get("text", "")) for block in blocks}
    pairs = {}
    for block in blocks:
        if "KEY" in block.get("entityTypes", ()):
            values = [name for relation in block.get("relationships", ()) if relation.get("type") == "VALUE"
                      for name in relation.get("ids", ())]  # fmt: skip
            pairs[block["id"]] = (texts[block["id"]], " ".join(texts.get(name, "") for name in values))
    return pairs, set(answer.get("cannotTell", ()))


def camel_case(value: Any) -> Any:
    """A response with its members' names as A2I writes them."""
    if isinstance(value, Mapping):
        return {f"{name[0].lower()}{name[1:]}": camel_case(item) for name, item in value.items()}
    return [camel_case(item) for item in value] if isinstance(value, list) else value


def service_request(uri: str, member: str, **more: Any) -> dict[str, Any]:
    """What A2I tells of the request for a prediction: where the object is on S3. One that is not there is told by us.

    Args:
        uri: the object.
        member: what the request calls it: ``document`` or ``image``.
        more: other members of the request.
    """
    found = bucket_and_key(uri)
    if found is None:
        return {"source-ref": uri}
    return {"aiServiceRequest": {member: {"s3Object": {"bucket": found[0], "name": found[1]}}, **more}}


def missing_keys(line: Mapping[str, Any], decision: Decision) -> Iterator[dict[str, Any]]:
    """The keys that conditions name and the document has under none of their names, each once with its aliases."""
    read = {field.key for field in form_fields(line["prediction"])}
    named: set[str] = set()
    waiting = [decision.results]
    while waiting:
        here = waiting.pop(0)
        for members in (here.get(name) for name in ("Conditions", "And", "Or")):
            waiting += members or []
        parameters = here.get("ConditionParameters", {})
        key, aliases = parameters.get("ImportantFormKey", "*"), parameters.get("ImportantFormKeyAliases", ())
        if key != "*" and key not in named and read.isdisjoint((key, *aliases)):
            named.add(key)
            yield {"importantFormKey": key, "importantFormKeyAliases": list(aliases)}
