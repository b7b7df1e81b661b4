"""`ecs-dynamo init`: write a first graph file for existing task definitions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecs_dynamo.cli.options import DEFAULT_FILE, FileOption
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
    file: FileOption = DEFAULT_FILE,
    name: Annotated[str, typer.Option("--name", help="Name of the graph.")] = "dynamo",
    taskdefs: Annotated[
        Path, typer.Option("--taskdefs", help="Folder of the ECS task definition files.")
    ] = Path("taskdefs"),
) -> None:
    """Write a commented graph file. An existing file is never overwritten."""
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
    except OSError as error:
        exists = isinstance(error, FileExistsError)
        problem = "the file already exists" if exists else f"cannot be written: {error.strerror}"
        raise InputError(
            Problem(problem, file=str(file), remedy="choose another with --file")
        ) from None
    say(
        f"wrote {file}: fill in the subnet and security group, then run "
        f"`ecs-dynamo validate -f {file}`"
    )


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(init)
