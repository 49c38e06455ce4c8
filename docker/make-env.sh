#!/bin/sh
# Makes the secrets of the compose set-up in an env file (default: .env beside docker-compose.yaml).
# Adds what is missing and never changes what is there, so it may run before every start.
set -eu
umask 077

file=${1:-$(dirname "$0")/../.env}
touch "$file"
chmod 600 "$file"
# A last line without its end would swallow the next one.
[ -z "$(tail -c 1 "$file")" ] || echo >>"$file"

# secret BYTES: random bytes as URL-safe base64, safe in URLs, JSON and YAML alike.
secret() { head -c "$1" /dev/urandom | base64 | tr -d '\n' | tr '+/' '-_'; }
put() { grep -q "^$1=." "$file" || printf '%s=%s\n' "$1" "$2" >>"$file"; }

put POSTGRES_PASSWORD "$(secret 33)"
put LABELING_DB_PASSWORD "$(secret 33)"
put REDIS_PASSWORD "$(secret 33)"
put AIRFLOW_FERNET_KEY "$(secret 32)"
put AIRFLOW_JWT_SECRET "$(secret 66)" # HS512 wants 64 bytes or more
put AIRFLOW_API_SECRET_KEY "$(secret 48)"
put AIRFLOW_ADMIN_PASSWORD "$(secret 15)"
put TRUEGROUND_SECRET_KEY "$(secret 32)"
put TRUEGROUND_MANAGER_PASSWORD "$(secret 15)"
# One pair of keys for the labeling service and for S3, as one identity on AWS has one pair for both.
put AWS_ACCESS_KEY_ID "TG$(head -c 9 /dev/urandom | od -An -tx1 | tr -d ' \n' | tr 'a-f' 'A-F')"
put AWS_SECRET_ACCESS_KEY "$(secret 30)"

echo "Secrets are in $file (sign in to Airflow as admin with AIRFLOW_ADMIN_PASSWORD)."
