"""What a task read and wrote, told as OpenLineage tells it: so that data, labels and models can be followed.

Airflow's OpenLineage provider asks for it, and sends it where the deployment's transport says; without a transport it
asks nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from trueground.storage import bucket_and_key

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage


@dataclass(frozen=True)
class Lineage:
    """URIs of what a task read, and of what it wrote with the number of lines or rows, ``None`` where it has none."""

    inputs: Sequence[str] = ()
    outputs: Mapping[str, int | None] = field(default_factory=dict)


def openlineage(lineage: Lineage) -> OperatorLineage:
    """The same in OpenLineage's form."""
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.event_v2 import InputDataset, OutputDataset
    from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics

    inputs = [InputDataset(*place(uri)) for uri in lineage.inputs]
    outputs = []
    for uri, rows in lineage.outputs.items():
        counted = {} if rows is None else {
            "outputStatistics": statistics.OutputStatisticsOutputDatasetFacet(rowCount=rows)
        }  # fmt: skip
        outputs.append(OutputDataset(*place(uri), outputFacets=counted))
    return OperatorLineage(inputs=inputs, outputs=outputs)


def place(uri: str) -> tuple[str, str]:
    """A file's namespace and name, as OpenLineage's naming convention has them.

    ``s3://bucket/a/b`` is ``s3://bucket`` and ``a/b``; ``file:///a/b`` is ``file`` and ``/a/b``.
    """
    if (found := bucket_and_key(uri)) is not None:
        return f"s3://{found[0]}", found[1]
    parts = urlsplit(uri)
    return parts.scheme, unquote(parts.path)
