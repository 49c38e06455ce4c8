"""Shows mistakes in include/projects/*.yaml under "Dag import errors" in Airflow, with file, line and field.

This file makes no DAG. It is apart from `label_projects.py` because Airflow takes all DAGs of a file away when that
file fails to import.
"""

from __future__ import annotations

from operators.connections import PROJECTS_FOLDER, data_root

from trueground.errors import InputError
from trueground.project import load_projects
from trueground.review.project import load_review_projects

_, mistakes = load_projects(PROJECTS_FOLDER, data_root=data_root())
_, of_reviews = load_review_projects(PROJECTS_FOLDER, data_root=data_root())
if mistakes or of_reviews:
    raise InputError("\n".join(str(mistake) for mistake in [*mistakes.values(), *of_reviews.values()]))
