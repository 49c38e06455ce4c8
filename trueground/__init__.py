"""Trueground: labels people can trust.

The library and the labeling service. Nothing in this package imports Airflow; the pipelines in ``dags/`` and
``plugins/`` call it.
"""

__version__ = "0.1.0"
