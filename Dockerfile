# The daemon. Graph files go to /etc/ecs-dynamo (taskdefs/README.md).
FROM python:3.12-slim AS build
COPY --from=ghcr.io/astral-sh/uv:0.9 /uv /usr/local/bin/uv
WORKDIR /src
COPY pyproject.toml uv.lock README.md LICENSE ./
COPY ecs_dynamo ecs_dynamo
COPY examples/local examples/local
RUN UV_PROJECT_ENVIRONMENT=/opt/ecs-dynamo uv sync --frozen --no-dev --no-editable

FROM python:3.12-slim
COPY --from=build /opt/ecs-dynamo /opt/ecs-dynamo
RUN useradd --system --uid 10001 ecs-dynamo && mkdir /etc/ecs-dynamo
USER 10001
ENV PATH=/opt/ecs-dynamo/bin:$PATH PYTHONDONTWRITEBYTECODE=1
WORKDIR /etc/ecs-dynamo
EXPOSE 9400
ENTRYPOINT ["ecs-dynamo"]
CMD ["run"]
