"""Trueground's operators, sensors and triggers: where Airflow meets the library."""
