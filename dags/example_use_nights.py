"""An example of another team's DAG that works night by night: a run for each night of `digits` that was labeled.

It is started by the asset's partitions, so a night that is labeled later, by a backfill, gets its own run too.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Asset, PartitionedAssetTimetable, task

NIGHTS = Asset(name="digits-nights", uri="x-trueground://digits/nights")


@task
def count_night(dag_run: Any = None, triggering_asset_events: Any = None) -> dict[str, Any]:
    """How many labels the night has; a night that was published again counts as it is now."""
    from trueground.contracts import LabelsExtra, read_extra

    *_, last = triggering_asset_events[NIGHTS]
    published = read_extra(LabelsExtra, last.extra, asset=NIGHTS.name)
    return {"night": dag_run.partition_key, "labels": published.objects}


with DAG(
    dag_id="example_use_nights",
    description="Count each night's labels",
    schedule=PartitionedAssetTimetable(assets=NIGHTS),
    catchup=False,
    tags=["example"],
    doc_md=__doc__,
):
    count_night()
