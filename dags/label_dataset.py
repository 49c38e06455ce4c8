"""Label a data set once, from a form, without writing a project file.

Press Trigger and fill in the form. A value that cannot be is refused at the form; values that do not fit each other at
the first task, which names the field. What you asked for is kept as `project.json` in the run's folder, and the labels
are published as the asset `<name>-labels`, as a project file's are.
"""

from __future__ import annotations

from airflow.sdk import DAG, AssetAlias, chain
from operators.forms import ROUNDS, MakeProjectOperator, dataset_form
from operators.labeling_pipeline import labeling_steps
from operators.manifests import BuildManifestOperator
from operators.publish import PublishLabelsOperator

with DAG(
    dag_id="label_dataset",
    description="Label a data set from a form",
    schedule=None,
    catchup=False,
    default_args={"retries": 2, "retry_delay": 10, "connection": "{{ params.connection }}"},
    tags=["labeling"],
    doc_md=__doc__,
    params=dataset_form(),
):
    # One at a time, so that of two forms with one name the second is refused.
    make = MakeProjectOperator(task_id="project", max_active_tis_per_dag=1)
    project = make.output["project"]
    chain(
        make,
        BuildManifestOperator(task_id="build_manifest", project=project),
        *labeling_steps(project, rounds=ROUNDS, verified=True),
        PublishLabelsOperator(task_id="publish", project=project, labels=AssetAlias("labels-by-form")),
    )
