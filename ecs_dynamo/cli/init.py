"""`ecs-dynamo init`: a graph file to start from, around task definitions that are there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecs_dynamo.cli.options import DEFAULT_FILE
from ecs_dynamo.console import say
from ecs_dynamo.model.errors import InputError, Problem

_TEMPLATE = """\
# yaml-language-server: $schema=https://raw.githubusercontent.com/ecs-dynamo/ecs-dynamo/main/ecs_dynamo/config/graph.schema.json
name: {name}
region: ${{AWS_REGION:-us-east-1}}

clusters:
  infrastructure: dynamo-fargate # etcd and NATS, on Fargate
  workers: dynamo-GPU # EC2 instances with GPUs

network: # of tasks in awsvpc mode; they must reach the GPU instances on all TCP ports
  subnets: ["${{SUBNET_ID}}"]
  securityGroups: ["${{SECURITY_GROUP_ID}}"]

infrastructure:
  taskDefinition: {etcd_nats} # etcd and NATS in one task

components:
  - name: frontend
    type: frontend
    replicas: 1
    taskDefinition: {frontend}
  - name: decode
    type: decode
    replicas: 1
    taskDefinition: {decode}
  - name: prefill
    type: prefill
    replicas: 1
    taskDefinition: {prefill}
    scaling:
      min: 1
      max: 4
"""


def init(
    file: Annotated[Path, typer.Option("--file", "-f", help="Where to write.")] = DEFAULT_FILE,
    name: Annotated[str, typer.Option("--name", help="Name of the graph.")] = "dynamo",
    taskdefs: Annotated[
        Path, typer.Option("--taskdefs", help="Folder of the ECS task definition files.")
    ] = Path("taskdefs"),
) -> None:
    """Write a commented graph file. Never overwrites one."""
    text = _TEMPLATE.format(
        name=name,
        **{
            key: (taskdefs / f"{key.replace('_', '-')}.json").as_posix()
            for key in ("etcd_nats", "frontend", "decode", "prefill")
        },
    )
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise InputError(
            Problem("the file exists already", file=str(file), remedy="give another with --file")
        ) from None
    except OSError as error:
        raise InputError(
            Problem(f"can not be written: {error.strerror}", file=str(file), remedy="see --file")
        ) from None
    say(f"wrote {file}: fill in the ids, then run `ecs-dynamo validate -f {file}`")


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(init)
