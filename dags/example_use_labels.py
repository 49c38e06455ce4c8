"""An example of another team's DAG: it starts when labels of `digits` are published, and needs them to be good enough.

It knows the asset's name and the contract of its events (docs/asset-contract.md), and nothing else of who labels.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Asset, task

LABELS = Asset(name="digits-labels", uri="x-trueground://digits/labels")
NEEDED = 0.5
"""Lower limit of the accuracy that this team can work with."""


@task(retries=1)
def read_events(triggering_asset_events: Any = None) -> list[dict[str, Any]]:
    """What was published since the last run, which may be several label sets; fails naming the field that is wrong."""
    from airflow.sdk.exceptions import AirflowFailException

    from trueground.contracts import LabelsExtra, read_extra
    from trueground.errors import InputError

    try:
        sets = [read_extra(LabelsExtra, event.extra, asset=LABELS.name) for event in triggering_asset_events[LABELS]]
    except InputError as error:
        raise AirflowFailException(str(error)) from error
    # Of a run that was published twice, the last one counts.
    newest = {published.run: published for published in sets}
    return [published.as_extra() for published in newest.values()]


@task
def count_classes(published: dict[str, Any]) -> dict[str, int]:
    """The new labels by class: the place of what a team really does with them."""
    from collections import Counter

    from airflow.sdk.exceptions import AirflowFailException
    from operators.connections import storage_of

    from trueground.manifests import read_manifest

    bound = published["certificate"]["accuracy_bound"]
    if bound < NEEDED:
        raise AirflowFailException(f"{published['certificate_uri']}: {bound:.3f} is certified, {NEEDED} is needed")
    metadata = f"{published['label_attribute']}-metadata"
    lines = read_manifest(storage_of("trueground"), published["run_labels"])
    return dict(Counter(line[metadata]["class-name"] for line in lines))


with DAG(
    dag_id="example_use_labels",
    description="Count the classes of newly published labels",
    schedule=[LABELS],
    catchup=False,
    tags=["example"],
    doc_md=__doc__,
):
    count_classes.expand(published=read_events())
