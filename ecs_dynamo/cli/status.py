"""`ecs-dynamo status`: what is so, looked up now."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import typer

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
from ecs_dynamo.config import Settings
from ecs_dynamo.console import (
    print_json,
    print_table,
    say,
)
from ecs_dynamo.controller import open_reconciler, pass_status
from ecs_dynamo.model.errors import EcsDynamoError


async def _status(file: Path, settings: Settings) -> dict[str, Any]:
    graph = load(file).graph
    async with open_reconciler(graph, settings) as reconciler:
        return pass_status(graph, await reconciler.run_pass(act=False))


COUNTS = ("desired", "running", "ready", "registered", "routed")


def _age(unknown: dict[str, Any]) -> str:
    """Of when the values shown are."""
    seconds = unknown["ageSeconds"]
    return "not observed yet" if seconds is None else f"as of {seconds:g} s ago"


def _count(counts: dict[str, Any], key: str) -> str:
    value = counts.get(key)
    return "-" if value is None else str(value)


def _show(found: dict[str, Any]) -> None:
    state = "converged" if found["converged"] else "not converged"
    say(f"graph {found['graph']}: {state}", style="green" if found["converged"] else "yellow")
    ends, unknown = found["endpoints"], found["endpointsUnknown"]
    none = "none ready" if unknown is None else "unknown"
    age = f" ({_age(unknown)})" if unknown is not None else ""
    say(f"etcd {ends['etcd'] or none}, nats {ends['nats'] or none}{age}")
    rows = []
    for one in found["components"]:
        counts = one["replicas"] or {}
        rows.append(
            (
                one["name"],
                "+".join(one["roles"]),
                one["service"] if one["exists"] else ("-" if one["observed"] else "unknown"),
                *(_count(counts, key) for key in COUNTS),
                one["revision"] or "-",
                ", ".join(t["privateIp"] or "-" for t in one["tasks"]) or "-",
            )
        )
    counted = (key.upper() for key in COUNTS)
    heads = ("COMPONENT", "ROLES", "SERVICE", *counted, "REVISION", "IPS")
    print_table(None, heads, rows)
    for one in found["components"]:
        if (why := one["unknown"]) is not None:
            say(f"unknown: {one['name']} ({_age(why)}): {why['reason']}", style="red")
        for task in one["stopped"]:
            at = (task["stoppedAt"] or "")[:19].replace("T", " ")
            say(f"stopped: {one['name']} {task['id'][:8]} at {at} UTC: {task['why']}", style="red")
    for condition in found["conditions"]:
        if condition["status"] and condition["type"] != "Ready":
            whose = condition["component"] or "graph"
            say(f"{condition['type']}: {whose}: {condition['message']}", style="yellow")
    for wait in found["waits"]:
        say(f"waiting: {wait['component']}: {wait['reason']}", style="dim")
    for text in found["unattributed"]:
        say(f"registration of no task: {text}", style="yellow")
    for problem in found["malformed"]:
        say(f"not usable: {problem}", style="red")
    for name, problem in found["signalProblems"].items():
        say(f"signal not measured: {name}: {problem}", style="yellow")
    for signal in found["signals"]:
        say(
            f"signal: {signal['component']} {signal['kind']} {signal['value']:g} {signal['unit']} "
            f"({signal['source']}, {signal['ageSeconds']} s old)",
            style="dim",
        )


def status(
    file: FileOption = DEFAULT_FILE,
    as_json: JsonOption = False,
    endpoint_url: EndpointUrlOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    log_level: LogLevelOption = None,
) -> None:
    """Show components, replicas, endpoints and what is waited for."""
    settings = settings_for(
        endpoint_url=endpoint_url, profile=profile, region=region, log_level=log_level
    )
    found = asyncio.run(_status(file, settings))
    if as_json:
        print_json(found)
    else:
        _show(found)
    if found["unknown"]:
        raise EcsDynamoError("not everything could be observed: " + "; ".join(found["unknown"]))


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(status)
