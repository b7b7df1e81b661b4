"""`ecs-dynamo doctor`: find the obstacles to a deployment before it starts."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import asdict, replace
from typing import Annotated

import typer

from ecs_dynamo.aws.client import open_aws
from ecs_dynamo.cli.options import (
    DEFAULT_FILE,
    CommonFlags,
    FileOption,
    JsonOption,
    load_command_settings,
    load_graph_file,
    with_common_flags,
)
from ecs_dynamo.config import LoadedGraph, Settings
from ecs_dynamo.console import print_json, print_table, say
from ecs_dynamo.controller import aws_options, observe_namespaces
from ecs_dynamo.doctor.checks.base import worst_first
from ecs_dynamo.doctor.checks.namespaces import check_namespaces
from ecs_dynamo.doctor.diagnose import SERVICES, diagnose
from ecs_dynamo.model.doctor import Finding, Severity
from ecs_dynamo.model.errors import ExitCode, InputError, Problem

_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:(role|user)/\S+")


async def _diagnose(loaded: LoadedGraph, settings: Settings, role: str | None) -> list[Finding]:
    options = replace(aws_options(loaded.graph, settings, "doctor"), attempts=3)
    async with open_aws(options, SERVICES) as aws:
        findings, (effective, namespaces) = await asyncio.gather(
            diagnose(aws, loaded.graph, loaded.warnings, role),
            observe_namespaces(aws, loaded.graph),
        )
    return worst_first([*findings, *check_namespaces(effective, namespaces)])


@with_common_flags
def doctor(
    flags: CommonFlags,
    file: FileOption = DEFAULT_FILE,
    role: Annotated[
        str | None,
        typer.Option("--role", help="ARN of the daemon's role; its permissions are simulated."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find the obstacles to a deployment in the AWS account.

    Checks credentials, permissions, references, network, capacity and quotas, and changes nothing.
    Exits with 1 if any finding is an error.
    """
    if role is not None and not _ROLE.fullmatch(role):
        raise InputError(
            Problem(
                f"{role!r} is not the ARN of an IAM role",
                field="--role",
                remedy="write it as arn:aws:iam::123456789012:role/ecs-dynamo",
            )
        )
    settings = load_command_settings(flags)
    findings = asyncio.run(_diagnose(load_graph_file(file), settings, role))
    counts = Counter(f.severity for f in findings)
    if as_json:
        print_json([asdict(f) for f in findings])
    else:
        print_table(
            None,
            ("", "check", "evidence", "remedy"),
            ((f.severity.value, f.check, f.evidence, f.remedy) for f in findings),
        )
        say(", ".join(f"{counts[s]} {s.value}" for s in Severity if counts[s]))
    if counts[Severity.ERROR]:
        raise typer.Exit(ExitCode.FAILED)


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(doctor)
