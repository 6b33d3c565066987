# A servo that measures notebook jobs on Amazon EMR. Mount its configuration as /servo/servo.yaml; AWS credentials come by
# boto3's own rules (a role of the pod or the instance), never from the image.
#
#     docker build -t servo-emr . && docker run --rm -v "$PWD/servo.yaml:/servo/servo.yaml:ro" servo-emr describe
FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY servo_emr servo_emr
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /dist .

FROM python:3.11-slim AS install
COPY --from=build /dist /dist
COPY constraints.txt tools/install.sh /src/
RUN PIP_NO_CACHE_DIR=1 /src/install.sh /venv /dist/servo_emr-*.whl /src/constraints.txt

FROM python:3.11-slim
COPY --from=install /venv /venv
RUN useradd --uid 10001 --no-create-home --home-dir /servo servo && mkdir /servo && chown servo: /servo
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /servo
USER 10001
# Fails the build when servo cannot start as this user or does not find the connector; takes its log away again, because
# whoever runs the image may be yet another user.
RUN servo connectors | grep -i emr && rm /venv/lib/python3.11/site-packages/logs/servo.log
ENTRYPOINT ["servo"]
CMD ["run"]
