"""The nightly labeling pipeline of each project: an Airflow DAG `label_<name>` of each file in include/projects/.

A project whose file has a mistake is left out here and named by `broken_projects.py`.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, chain
from operators.connections import PROJECTS_FOLDER, data_root
from operators.dag_docs import description_of, labeling_docs
from operators.labeling_pipeline import approval, labeling_steps
from operators.manifests import BuildManifestOperator
from operators.project_dags import first_night, paused_at_first, project_asset, timetable
from operators.publish import PublishLabelsOperator

from trueground.project import Project, load_projects


def labeling_dag(file: str, project: Project) -> DAG:
    """The pipeline of one project."""
    labels = project_asset(project, "labels")
    with DAG(
        dag_id=f"label_{project.name.replace('-', '_')}",
        description=description_of(project, "Label:"),
        schedule=timetable(project, project.schedule),
        start_date=first_night(file),
        catchup=False,
        # Two runs at once would ask people for the same objects twice.
        max_active_runs=1,
        default_args={"retries": 2, "retry_delay": 10},
        tags=["labeling", project.name],
        doc_md=labeling_docs(file, project),
        **paused_at_first(project),
        params={
            "relabel_all": Param(
                False,
                type="boolean",
                title="Label everything again",
                description="Also what earlier runs labeled. People are asked again, which costs what it cost before.",
            )
        },
    ) as dag:
        start = BuildManifestOperator(
            task_id="build_manifest", project=file, labels=labels, relabel_all="{{ params.relabel_all }}"
        )
        settings = project.verification
        steps = labeling_steps(
            file,
            rounds=project.rounds.maximum,
            verified=settings.enabled,
            decide_among=project.task.labels if settings.adjudicate else (),
        )
        publish = PublishLabelsOperator(
            task_id="publish", project=file, labels=labels, nights=project_asset(project, "nights")
        )
        chain(start, *steps, *approval(project), publish)
    return dag


projects, _ = load_projects(PROJECTS_FOLDER, data_root=data_root())
for file, project in projects.items():
    globals()[f"label_{project.name}"] = labeling_dag(file, project)
