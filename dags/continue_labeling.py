"""Go on with a labeling run that ended: `continue_<name>` of each project, `continue_dataset` of data sets by form.

More rounds: people label what a run that stopped early left without a label. Verify: with a larger sample, or another
team, people judge labels that nobody judged yet. Nobody is asked twice about the same thing, also where this is
repeated; then the labels are checked and published again, as another label set.
"""

from __future__ import annotations

from airflow.sdk import DAG, Asset, AssetAlias, Param, chain
from operators.connections import PROJECTS_FOLDER, data_root
from operators.continue_run import ContinueRunOperator
from operators.dag_docs import continuing_docs
from operators.forms import MORE_ROUNDS, continue_form
from operators.labeling_pipeline import EVEN_IF_SKIPPED, approval, label_round, verify_and_adjust
from operators.project_dags import project_asset
from operators.publish import CheckLabelsOperator, PublishLabelsOperator

from trueground.project import Project, load_projects

RUN = Param("", type="string", minLength=1, title="Run", description="The run's id, as its page in Airflow has it.")
NAME = Param("", type="string", minLength=1, pattern="^[a-z0-9-]+$", title="Name", description="Of the data set.")
CONNECTION = Param("trueground", type="string", title="Connection", description="The one the data set was labeled by.")


def continue_dag(
    name: str,
    labels: Asset | AssetAlias,
    params: dict[str, Param],
    *,
    file: str | None = None,
    project: Project | None = None,
) -> DAG:
    """Start with the changed project; more rounds; verify; check; publish again."""
    with DAG(
        dag_id=f"continue_{name.replace('-', '_')}",
        description=f"Label or verify more of a run of {name}",
        schedule=None,
        catchup=False,
        max_active_runs=1,
        default_args={
            "retries": 2,
            "retry_delay": 10,
            "run_name": "{{ ti.xcom_pull(task_ids='start', key='run_name') }}",
            "connection": "{{ params.connection }}",
        },
        tags=["labeling", name],
        doc_md=continuing_docs(file, project) if file and project else __doc__,
        params={**params, **continue_form()},
    ) as dag:
        start = ContinueRunOperator(task_id="start", project=file)
        changed, look = start.output["project"], "{{ ti.xcom_pull(task_ids='start', key='look') }}"
        number = "{{ ti.xcom_pull(task_ids='start', key='last_round') + %d }}"
        chain(
            start,
            *(label_round(changed, f"more_{count}", number % count) for count in range(1, MORE_ROUNDS + 1)),
            verify_and_adjust(changed, look=look),
            CheckLabelsOperator(task_id="check_labels", project=changed, **EVEN_IF_SKIPPED),
            *(approval(project) if project else []),
            PublishLabelsOperator(task_id="publish", project=changed, labels=labels, folder=f"published-{look}"),
        )
    return dag


continue_dataset = continue_dag("dataset", AssetAlias("labels-by-form"), {"name": NAME, "connection": CONNECTION})
projects, _ = load_projects(PROJECTS_FOLDER, data_root=data_root())
for file, project in projects.items():
    params = {"run": RUN, "connection": Param(project.connection, type="string", const=project.connection)}
    globals()[f"continue_{project.name}"] = continue_dag(
        project.name, project_asset(project, "labels"), params, file=file, project=project
    )
