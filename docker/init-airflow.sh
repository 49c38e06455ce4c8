#!/bin/sh
# What Airflow needs before it starts: its tables, and someone who can sign in. Safe to repeat.
set -eu
airflow db migrate
airflow users create --role Admin --username admin --password "$AIRFLOW_ADMIN_PASSWORD" \
    --firstname Trueground --lastname Admin --email admin@localhost.localdomain
