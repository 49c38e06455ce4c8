"""Drive the service with ``sagemaker-core``, as a program of its own: its client is one for the whole process.

The address comes from ``AWS_ENDPOINT_URL_SAGEMAKER``, the keys from the usual variables; the job's request from the
first argument. Prints what it saw as JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from sagemaker_core.main import shapes
from sagemaker_core.main.resources import FlowDefinition, HumanTaskUi, LabelingJob, Workforce, Workteam


def main(given: dict[str, Any]) -> dict[str, Any]:
    """Make what can be made, look at everything, wait for people to label, and delete it again."""
    # Its own create and get of these two cannot read the response that AWS's model prescribes; refresh can.
    workforce, team = Workforce(workforce_name="default"), Workteam(workteam_name="annotators")
    workforce.refresh()
    team.refresh()
    ui = HumanTaskUi.create(
        human_task_ui_name="core-ui", ui_template=shapes.UiTemplate(content="<crowd-form><input name='q'></crowd-form>")
    )
    flow = FlowDefinition.create(
        flow_definition_name="core-flow",
        role_arn=given["RoleArn"],
        output_config=shapes.FlowDefinitionOutputConfig(s3_output_path=given["OutputConfig"]["S3OutputPath"]),
        human_loop_config=shapes.HumanLoopConfig(
            workteam_arn=team.workteam.workteam_arn,
            human_task_ui_arn=ui.human_task_ui_arn,
            task_title="Look",
            task_description="Look at it.",
            task_count=2,
        ),
    )
    human = given["HumanTaskConfig"]
    job = LabelingJob.create(
        labeling_job_name=given["LabelingJobName"],
        label_attribute_name=given["LabelAttributeName"],
        input_config=shapes.LabelingJobInputConfig(
            data_source=shapes.LabelingJobDataSource(
                s3_data_source=shapes.LabelingJobS3DataSource(
                    manifest_s3_uri=given["InputConfig"]["DataSource"]["S3DataSource"]["ManifestS3Uri"]
                )
            )
        ),
        output_config=shapes.LabelingJobOutputConfig(s3_output_path=given["OutputConfig"]["S3OutputPath"]),
        role_arn=given["RoleArn"],
        label_category_config_s3_uri=given["LabelCategoryConfigS3Uri"],
        human_task_config=shapes.HumanTaskConfig(
            workteam_arn=human["WorkteamArn"],
            ui_config=shapes.UiConfig(ui_template_s3_uri=human["UiConfig"]["UiTemplateS3Uri"]),
            pre_human_task_lambda_arn=human["PreHumanTaskLambdaArn"],
            annotation_consolidation_config=shapes.AnnotationConsolidationConfig(
                annotation_consolidation_lambda_arn=human["AnnotationConsolidationConfig"][
                    "AnnotationConsolidationLambdaArn"
                ]
            ),
            task_title=human["TaskTitle"],
            task_description=human["TaskDescription"],
            number_of_human_workers_per_data_object=1,
            task_time_limit_in_seconds=60,
        ),
    )
    seen = {
        "job": job.labeling_job_status,
        "flow": flow.flow_definition_status,
        "task_count": flow.human_loop_config.task_count,
        "ui": ui.human_task_ui_status,
        "workforce": workforce.workforce.status,
        "team": team.workteam.workteam_arn,
        "teams": sorted(one.workteam_name for one in Workteam.get_all()),
        "jobs": [one.labeling_job_name for one in LabelingJob.get_all()],
    }
    job.wait(poll=1, timeout=30)
    job.refresh()
    seen["job_at_last"] = job.labeling_job_status
    flow.delete()
    flow.wait_for_delete(poll=1, timeout=30)
    ui.delete()
    team.delete()
    return seen


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
