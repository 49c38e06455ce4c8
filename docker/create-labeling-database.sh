#!/bin/sh
# Run once by the postgres image on an empty volume: the labeling service has a database and a role of its own.
set -eu
psql --set ON_ERROR_STOP=1 --set password="$LABELING_DB_PASSWORD" --username "$POSTGRES_USER" <<'SQL'
CREATE ROLE trueground LOGIN PASSWORD :'password';
CREATE DATABASE trueground OWNER trueground;
SQL
