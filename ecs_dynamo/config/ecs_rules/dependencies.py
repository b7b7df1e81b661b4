"""Rules of dependencies between containers, and of their health checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ecs_dynamo.config.ecs_rules.base import (
    ANSWER,
    API,
    GUIDE,
    Breach,
    Breaches,
    Content,
    Rule,
    numeric,
    shown,
)
from ecs_dynamo.config.reading.document import FieldPath


def _dependencies(content: Content) -> Iterator[tuple[FieldPath, str, str, str]]:
    """Yield path, container, container that it depends on, and condition."""
    for path, entry, container in content.entries("dependsOn"):
        yield path, str(container["name"]), str(entry["containerName"]), str(entry["condition"])


def _unknown_dependency(content: Content) -> Breaches:
    known = content.names()
    for path, _, target, _ in _dependencies(content):
        if target not in known:
            yield Breach(
                (*path, "containerName"), {"found": shown(target), "known": ", ".join(known)}
            )


def _essential_dependency(content: Content) -> Breaches:
    essential = {c["name"] for _, c in content.containers() if c.get("essential", True)}
    for path, _, target, condition in _dependencies(content):
        if condition in ("SUCCESS", "COMPLETE") and target in essential:
            yield Breach((*path, "condition"), {"condition": condition, "found": shown(target)})


def _unchecked_dependency(content: Content) -> Breaches:
    checked = {c["name"] for _, c in content.containers() if c.get("healthCheck")}
    for path, _, target, condition in _dependencies(content):
        if condition == "HEALTHY" and target in content.names() and target not in checked:
            yield Breach((*path, "condition"), {"found": shown(target)})


def cycle(edges: list[tuple[str, str]]) -> list[str]:
    """Return a cycle of ``edges`` (from, to), which ends with its first name; empty if none."""
    leads: dict[str, list[str]] = {}
    for start, end in edges:
        leads.setdefault(start, []).append(end)
    done: set[str] = set()

    def walk(node: str, trail: list[str]) -> list[str]:
        if node in trail:
            return [*trail[trail.index(node) :], node]
        if node in done:
            return []
        for following in leads.get(node, ()):
            if nodes := walk(following, [*trail, node]):
                return nodes
        done.add(node)
        return []

    return next((nodes for start in leads if (nodes := walk(start, []))), [])


def _dependency_cycle(content: Content) -> Breaches:
    entries = list(_dependencies(content))
    nodes = cycle([(start, end) for _, start, end, _ in entries])
    for path, start, end, _ in entries:
        if nodes and (start, end) == (nodes[0], nodes[1]):
            yield Breach((*path, "containerName"), {"found": " -> ".join(nodes)})


def _links(content: Content) -> Iterator[tuple[FieldPath, str, str]]:
    for path, container in content.containers():
        for index, link in enumerate(container.get("links", ())):
            yield (*path, "links", index), str(container["name"]), str(link).partition(":")[0]


def _unknown_link(content: Content) -> Breaches:
    known = content.names()
    for path, _, target in _links(content):
        if target not in known:
            yield Breach(path, {"found": shown(target), "known": ", ".join(known)})


def _link_cycle(content: Content) -> Breaches:
    entries = list(_links(content))
    nodes = cycle([(start, end) for _, start, end in entries])
    for path, start, end in entries:
        if nodes and (start, end) == (nodes[0], nodes[1]):
            yield Breach(path, {"found": " -> ".join(nodes)})


def _health_command(content: Content) -> Breaches:
    for path, container in content.containers():
        command = container.get("healthCheck", {}).get("command")
        if command is not None and (len(command) < 2 or command[0] not in ("CMD", "CMD-SHELL")):
            yield Breach((*path, "healthCheck", "command"), {"found": shown(command)})


RULES: Final = (
    Rule(
        "dependency-unknown",
        ANSWER + "Cannot depend on container + '...' because it does not exist",
        "there is no container {found} to depend on",
        "write one of {known}",
        _unknown_dependency,
    ),
    Rule(
        "dependency-essential",
        ANSWER + "A dependency container with SUCCESS or COMPLETE condition cannot be an "
        "essential container",
        "{found} has the condition {condition} and is essential: the task would end when it does",
        "give {found} essential: false, or use the condition START or HEALTHY",
        _essential_dependency,
    ),
    Rule(
        "dependency-health",
        ANSWER + "A dependency container with HEALTHY condition must have health check configured",
        "{found} has the condition HEALTHY, but no healthCheck",
        "add a healthCheck to it, or use the condition START",
        _unchecked_dependency,
    ),
    Rule(
        "dependency-cycle",
        GUIDE + "container dependency (dependsOn): a start-up order cannot be circular",
        "the dependencies of the containers form a cycle: {found}",
        "remove one of these dependencies",
        _dependency_cycle,
    ),
    Rule(
        "link-unknown",
        API + "ContainerDefinition.links",
        "there is no container {found} to link to",
        "write one of {known}",
        _unknown_link,
    ),
    Rule(
        "link-cycle",
        ANSWER + "Container links should not have a cycle",
        "the links form a cycle: {found}",
        "remove one of them",
        _link_cycle,
    ),
    Rule(
        "health-command",
        API + "HealthCheck.command",
        "a health check starts with CMD or CMD-SHELL, followed by the command; found {found}",
        'write ["CMD-SHELL", "<command>"]',
        _health_command,
    ),
    numeric(
        "health-interval", "HealthCheck.interval", "healthCheck", "interval", least=5, most=300
    ),
    numeric("health-timeout", "HealthCheck.timeout", "healthCheck", "timeout", least=2, most=60),
    numeric("health-retries", "HealthCheck.retries", "healthCheck", "retries", least=1, most=10),
    numeric(
        "health-start-period",
        "HealthCheck.startPeriod",
        "healthCheck",
        "startPeriod",
        least=0,
        most=300,
    ),
)
