"""`ecs-dynamo status`: the state of a graph, observed now."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import typer

from ecs_dynamo.cli.options import (
    DEFAULT_FILE,
    CommonFlags,
    FileOption,
    JsonOption,
    load_command_settings,
    load_graph_file,
    with_common_flags,
)
from ecs_dynamo.config import Settings
from ecs_dynamo.console import print_json, print_table, say
from ecs_dynamo.controller import open_reconciler, pass_status
from ecs_dynamo.model.errors import EcsDynamoError
from ecs_dynamo.model.graph import Graph

COUNTS = ("desired", "running", "ready", "registered", "routed")


async def _observe(graph: Graph, settings: Settings) -> dict[str, Any]:
    async with open_reconciler(graph, settings) as reconciler:
        return pass_status(graph, await reconciler.run_pass(act=False))


def _age(unknown: dict[str, Any]) -> str:
    """Return the age of the last known values, for a sentence."""
    seconds = unknown["ageSeconds"]
    return "not observed yet" if seconds is None else f"as of {seconds:g} s ago"


def _count(counts: dict[str, Any], key: str) -> str:
    value = counts.get(key)
    return "-" if value is None else str(value)


def _row(component: dict[str, Any]) -> Iterator[str]:
    yield component["name"]
    yield "+".join(component["roles"])
    missing = "-" if component["observed"] else "unknown"
    yield component["service"] if component["exists"] else missing
    for key in COUNTS:
        yield _count(component["replicas"] or {}, key)
    yield component["revision"] or "-"
    yield ", ".join(task["privateIp"] or "-" for task in component["tasks"]) or "-"


def _print_components(components: list[dict[str, Any]]) -> None:
    counts = (key.upper() for key in COUNTS)
    heads = ("COMPONENT", "ROLES", "SERVICE", *counts, "REVISION", "IPS")
    print_table(None, heads, (_row(component) for component in components))
    for component in components:
        name = component["name"]
        if (unknown := component["unknown"]) is not None:
            say(f"unknown: {name} ({_age(unknown)}): {unknown['reason']}", style="red")
        for task in component["stopped"]:
            at = (task["stoppedAt"] or "")[:19].replace("T", " ")
            say(f"stopped: {name} {task['id'][:8]} at {at} UTC: {task['why']}", style="red")


def _print_problems(document: dict[str, Any]) -> None:
    for text in document["unattributed"]:
        say(f"registration without a task: {text}", style="yellow")
    for problem in document["malformed"]:
        say(f"malformed answer: {problem}", style="red")
    for name, problem in document["signalProblems"].items():
        say(f"signal not available: {name}: {problem}", style="yellow")


def _generations(generations: dict[str, Any]) -> str | None:
    """Return the generations of workers as a line; None for a graph that has none."""
    target, declared = generations["target"], generations["declared"]
    match generations["mode"]:
        case "off":
            return None
        case "unknown":
            return f"generations of workers: unknown ({generations['why']})"
        case "plain":
            return "generations of workers: not adopted yet"
    parts = [f"generation {target or 'plain'} of workers"]
    if generations["withdrawn"] is not None:
        parts.append(f"the declared one, {declared}, is withdrawn: {generations['withdrawn']}")
    if generations["previous"] not in (None, target):
        parts.append(f"previous {generations['previous']}")
    if generations["mode"] == "adopting":
        parts.append("adopting: frontends also serve the namespace of plain workers")
    return "; ".join(parts)


def show_status(document: dict[str, Any]) -> None:
    """Print a `pass_status` document for people."""
    state = "converged" if document["converged"] else "not converged"
    style = "green" if document["converged"] else "yellow"
    say(f"graph {document['graph']}: {state}", style=style)
    endpoints, unknown = document["endpoints"], document["endpointsUnknown"]
    none = "none ready" if unknown is None else "unknown"
    age = f" ({_age(unknown)})" if unknown is not None else ""
    say(f"etcd {endpoints['etcd'] or none}, nats {endpoints['nats'] or none}{age}")
    if (generations := _generations(document["generations"])) is not None:
        say(generations)
    _print_components(document["components"])
    for condition in document["conditions"]:
        if condition["status"] and condition["type"] != "Ready":
            subject = condition["component"] or "graph"
            say(f"{condition['type']}: {subject}: {condition['message']}", style="yellow")
    for wait in document["waits"]:
        say(f"waiting: {wait['component']}: {wait['reason']}", style="dim")
    _print_problems(document)
    for signal in document["signals"]:
        say(
            f"signal: {signal['component']} {signal['kind']} {signal['value']:g} {signal['unit']} "
            f"({signal['source']}, {signal['ageSeconds']} s old)",
            style="dim",
        )


@with_common_flags
def status(
    flags: CommonFlags,
    file: FileOption = DEFAULT_FILE,
    as_json: JsonOption = False,
) -> None:
    """Show components, replicas, endpoints, conditions and waits."""
    settings = load_command_settings(flags)
    document = asyncio.run(_observe(load_graph_file(file).graph, settings))
    if as_json:
        print_json(document)
    else:
        show_status(document)
    if document["unknown"]:
        raise EcsDynamoError("not everything could be observed: " + "; ".join(document["unknown"]))


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(status)
