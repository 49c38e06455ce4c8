# One image for Airflow's components and for the labeling service; docker-compose.yaml says which one a container is.
FROM python:3.12.13-slim-bookworm

ENV AIRFLOW_HOME=/opt/airflow \
    PYTHONUNBUFFERED=1 \
    UV_SYSTEM_PYTHON=1 \
    UV_COMPILE_BYTECODE=1 \
    UV_NO_CACHE=1
WORKDIR /opt/airflow

RUN apt-get update \
    && apt-get install -y --no-install-recommends curl dumb-init \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 50000 --gid 0 --home-dir /opt/airflow --no-create-home airflow \
    && pip install --no-cache-dir uv==0.13.9

# Dependencies first: they change less often than the code, and take the time.
COPY requirements.txt pyproject.toml README.md ./
RUN uv pip install -c requirements.txt -r pyproject.toml --extra cluster --extra documents

# The tree keeps its shape, because DAGs, plugins and the service find include/ beside themselves.
COPY trueground trueground
COPY plugins plugins
COPY include include
COPY dags dags
COPY docker docker
RUN uv pip install -c requirements.txt --no-deps --editable '.[cluster,documents]' \
    && mkdir -p logs data .trueground \
    && chown -R airflow:0 logs data .trueground . \
    && chmod -R g=u .

USER airflow
ENTRYPOINT ["/usr/bin/dumb-init", "--"]
CMD ["airflow", "version"]
