"""Where work comes from: the task of an Airflow run that asked for it.

Labeling jobs carry it in their tags. Human loops have no tags, so who starts them sends it in a header, which Amazon
A2I passes over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from urllib.parse import parse_qs

HEADER = "x-trueground-origin"
"""``dag=…&run=…&task=…&map=…``, as in a form."""
TAG = "trueground:"
"""Prefix of the tags that say the same of a labeling job."""
_LONGEST = 2000

origin_header: ContextVar[str] = ContextVar("origin_header", default="")
"""The header of the request that is being answered."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A task of a DAG run. ``map_index`` is ``-1`` for a task that is not mapped."""

    dag: str
    run: str
    task: str
    map_index: str = "-1"

    @property
    def run_key(self) -> str:
        """DAG and run, as the store keeps them."""
        return json.dumps([self.dag, self.run])

    @property
    def task_key(self) -> str:
        """Task and map index, as the store keeps them."""
        return json.dumps([self.task, self.map_index])


def of_header(text: str) -> Origin | None:
    """What a header says; ``None`` where it says nothing that can be used."""
    if len(text) > _LONGEST:
        return None
    found = {name: values[0] for name, values in parse_qs(text).items()}
    if not all(name in found for name in ("dag", "run", "task")) or "\0" in "".join(found.values()):
        return None
    return Origin(found["dag"], found["run"], found["task"], found.get("map", "-1"))


def of_tags(tags: Mapping[str, str]) -> Origin | None:
    """What the tags of a labeling job say; ``None`` where it was not started by Airflow."""
    if f"{TAG}dag" not in tags or f"{TAG}run" not in tags:
        return None
    return Origin(tags[f"{TAG}dag"], tags[f"{TAG}run"], tags.get(f"{TAG}task", ""), tags.get(f"{TAG}map", "-1"))


def of_keys(run_key: str | None, task_key: str | None) -> Origin | None:
    """What the store keeps of a human loop."""
    if run_key is None or task_key is None:
        return None
    return Origin(*json.loads(run_key), *json.loads(task_key))
