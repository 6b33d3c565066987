# A servo that measures notebook jobs on Amazon EMR; with EXTRAS, the bundled optimizer and its dashboard too. AWS
# credentials come by boto3's own rules (a role of the pod or the instance), never from the image. docs/deploy.md.
#
#     docker build -t servo-emr:0.1.0 .
#     docker build -t servo-emr-optimizer:0.1.0 --build-arg EXTRAS=optimizer,dashboard .
#     docker run --rm --read-only --tmpfs /tmp -v "$PWD/servo.yaml:/servo/servo.yaml:ro" servo-emr:0.1.0 describe
ARG PYTHON=3.11-slim-bookworm

# Whoever builds and installs here is no root either: what a package's own set-up does, it does as nobody.
FROM python:${PYTHON} AS user
RUN useradd --uid 10001 --create-home --home-dir /servo servo

FROM user AS build
WORKDIR /servo/src
COPY --chown=servo pyproject.toml README.md LICENSE constraints.txt ./
COPY --chown=servo servo_emr servo_emr
USER 10001
# The variable, unlike the option, reaches the build's own environment.
RUN PIP_CONSTRAINT=/servo/src/constraints.txt python -m pip wheel --no-cache-dir --no-deps --wheel-dir /servo/dist .

FROM user AS install
ARG EXTRAS=""
RUN install --directory --owner servo /venv
COPY --from=build /servo/dist /servo/dist
COPY constraints.txt tools/install.sh /servo/
USER 10001
RUN PIP_NO_CACHE_DIR=1 /servo/install.sh /venv /servo/dist/servo_emr-*.whl /servo/constraints.txt "$EXTRAS"

FROM user
# Root's from here on: the user of the image cannot change what it runs. Nothing in it is written to, so that the root
# file system may be read-only; /tmp holds the file that the health check reads.
COPY --from=install --chown=root:root /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 SERVO_EMR_ALIVE=/tmp/servo-emr-alive
WORKDIR /servo
USER 10001
# Fails the build when servo cannot start as this user or does not find the connector.
RUN servo version emr
HEALTHCHECK --interval=30s --timeout=10s --start-period=5m --retries=3 CMD ["python", "-m", "servo_emr.alive"]
ENTRYPOINT ["servo"]
CMD ["run"]
