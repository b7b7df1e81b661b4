"""`ecs-dynamo doctor`: what stands in the way, before it does."""

from __future__ import annotations

import asyncio
import dataclasses

import typer

from ecs_dynamo.aws.client import AwsOptions, open_aws
from ecs_dynamo.cli.options import (
    DEFAULT_FILE,
    EndpointUrlOption,
    FileOption,
    JsonOption,
    LogLevelOption,
    ProfileOption,
    RegionOption,
    load,
    settings_for,
)
from ecs_dynamo.cli.output import print_json, print_table, print_warnings
from ecs_dynamo.config import Settings
from ecs_dynamo.controller.doctor import SERVICES, diagnose
from ecs_dynamo.model.errors import ExitCode
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.planning.diagnosis import Finding, Severity


async def _diagnose(graph: Graph, settings: Settings) -> list[Finding]:
    options = AwsOptions(
        endpoint_url=settings.endpoint_url,
        profile=settings.profile,
        region=settings.region or graph.region,
        attempts=3,
        command="doctor",
    )
    async with open_aws(options, SERVICES) as aws:
        return await diagnose(aws, graph)


def doctor(
    file: FileOption = DEFAULT_FILE,
    as_json: JsonOption = False,
    endpoint_url: EndpointUrlOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    log_level: LogLevelOption = None,
) -> None:
    """Check credentials, rights, clusters, GPUs, network, roles and secrets. Changes nothing.

    Exits with 1 where a finding is an error.
    """
    settings = settings_for(
        endpoint_url=endpoint_url, profile=profile, region=region, log_level=log_level
    )
    loaded = load(file)
    print_warnings(loaded.warnings)
    findings = asyncio.run(_diagnose(loaded.graph, settings))
    if as_json:
        print_json([dataclasses.asdict(f) for f in findings])
    else:
        print_table(
            None,
            ("", "check", "evidence", "remedy"),
            ((f.severity.value, f.check, f.evidence, f.remedy) for f in findings),
        )
    if any(f.severity is Severity.ERROR for f in findings):
        raise typer.Exit(ExitCode.FAILED)


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(doctor)
