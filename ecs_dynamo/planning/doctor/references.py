"""What task definitions refer to: images, secrets, log groups, roles. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from ecs_dynamo.model.doctor import Finding, Severity
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.snapshot import Observed, Unknown
from ecs_dynamo.planning.credentials import is_secret, secret_id
from ecs_dynamo.planning.doctor.base import listed
from ecs_dynamo.planning.iam_tasks import (
    containers_of,
    ecr_repository,
    graph_roles,
    task_references,
)

TASKS = "ecs-tasks.amazonaws.com"


def check_definitions(graph: Graph, warnings: Iterable[tuple[str, str]]) -> Iterator[Finding]:
    """The task definitions, read and checked already; ``warnings`` are (what, remedy)."""
    told = list(warnings)
    for text, remedy in told:
        yield Finding("task definitions", Severity.WARNING, text, remedy)
    if not told:
        names = listed((c.name for c in graph.components), 12)
        yield Finding("task definitions", Severity.OK, f"valid: {names}")


def images_of(graph: Graph) -> dict[str, list[str]]:
    """Image -> the components that run it."""
    found: dict[str, list[str]] = {}
    for component in graph.components:
        for container in containers_of(component):
            users = found.setdefault(str(container.get("image", "")), [])
            if component.name not in users:
                users.append(component.name)
    return found


@dataclass(frozen=True, slots=True)
class EcrImage:
    """An image in ECR, as DescribeImages takes it: a tag or a digest."""

    image: str
    registry: str
    region: str
    repository: str
    tag: str | None
    digest: str | None


def ecr_image(image: str) -> EcrImage | None:
    """The parts of an image in a private ECR registry; None for any other."""
    found = ecr_repository(image)
    if found is None:
        return None
    account, region, repository = found
    rest = image.split(f"/{repository}", 1)[1]
    name, _, digest = rest.partition("@")
    # Where both are given the digest decides, as it does for Docker.
    tag = None if digest else (name.removeprefix(":") or "latest")
    return EcrImage(image, account, region, repository, tag, digest or None)


def check_images(graph: Graph, seen: Mapping[str, Observed[bool]]) -> Iterator[Finding]:
    """Each image is in its ECR repository; others can only be looked at by pulling them.

    ``seen`` has the images of ECR.
    """
    for image, users in sorted(images_of(graph).items()):
        text = f"{image} ({listed(users)})"
        there = seen.get(image)
        if there is None:
            remedy = "docker manifest inspect, with the credentials that the task has"
            yield Finding("images", Severity.UNKNOWN, f"{text}: not checked, not in ECR", remedy)
        elif isinstance(there, Unknown):
            ecr = ecr_image(image)
            remedy = "grant the right"
            if ecr is not None and graph.region is not None and ecr.region != graph.region:
                named = f"imageDigest={ecr.digest}" if ecr.digest else f"imageTag={ecr.tag}"
                remedy = (
                    f"aws ecr describe-images --region {ecr.region} --registry-id {ecr.registry} "
                    f"--repository-name {ecr.repository} --image-ids {named}"
                )
            yield Finding("images", Severity.UNKNOWN, f"{text}: {there.reason}", remedy)
        elif there:
            yield Finding("images", Severity.OK, text)
        else:
            remedy = "push it, or correct the task definition"
            yield Finding("images", Severity.ERROR, f"{text} does not exist", remedy)


def secret_references(graph: Graph) -> tuple[list[str], list[str]]:
    """(Secrets Manager ids, Parameter Store names or ARNs) that the graph refers to."""
    secrets: set[str] = set()
    parameters: set[str] = set()
    references = task_references(graph.components, graph.security)
    for reference in references | set(graph.security.references()):
        if is_secret(reference):
            secrets.add(secret_id(reference))
        else:
            parameters.add(reference)
    return sorted(secrets), sorted(parameters)


def check_secrets(seen: Mapping[str, Observed[str | None]]) -> Iterator[Finding]:
    """Each secret and parameter exists. ``seen``: what is wrong with it, None where nothing is."""
    for name, wrong in sorted(seen.items()):
        if isinstance(wrong, Unknown):
            yield Finding("secrets", Severity.UNKNOWN, f"{name}: {wrong.reason}", "grant the right")
        elif wrong is None:
            yield Finding("secrets", Severity.OK, name)
        else:
            yield Finding("secrets", Severity.ERROR, f"{name} {wrong}", "create it, or restore it")


@dataclass(frozen=True, slots=True)
class LogGroup:
    """A log group that tasks write to; ``created``: ECS makes it where it is missing."""

    name: str
    region: str | None
    created: bool


def log_groups_of(graph: Graph) -> list[LogGroup]:
    """The log groups of the awslogs driver."""
    found: dict[tuple[str, str | None], bool] = {}
    for component in graph.components:
        for container in containers_of(component):
            log = container.get("logConfiguration", {})
            options: Mapping[str, Any] = log.get("options", {})
            if log.get("logDriver") == "awslogs" and options.get("awslogs-group"):
                key = (str(options["awslogs-group"]), options.get("awslogs-region"))
                made = str(options.get("awslogs-create-group")).lower() == "true"
                found[key] = found.get(key, False) or made
    return [LogGroup(name, region, made) for (name, region), made in sorted(found.items(), key=str)]


def check_log_groups(graph: Graph, seen: Mapping[str, Observed[bool]]) -> Iterator[Finding]:
    """Each log group is there, or is made when the first task starts."""
    for group in log_groups_of(graph):
        if group.region not in (None, graph.region):
            text = f"{group.name} is in {group.region}, the graph in {graph.region}"
            remedy = "set awslogs-region to the graph's, or look there"
            yield Finding("logs", Severity.UNKNOWN, text, remedy)
            continue
        there = seen.get(group.name, Unknown("not asked"))
        if isinstance(there, Unknown):
            text = f"{group.name}: {there.reason}"
            yield Finding("logs", Severity.UNKNOWN, text, "grant the right")
        elif there:
            yield Finding("logs", Severity.OK, group.name)
        elif group.created:
            text = f"{group.name} is made by the first task (awslogs-create-group)"
            yield Finding("logs", Severity.OK, text)
        else:
            remedy = f"aws logs create-log-group --log-group-name {group.name}"
            yield Finding("logs", Severity.ERROR, f"{group.name} does not exist", remedy)


def trusted(document: object) -> frozenset[str]:
    """The services that a role's trust policy lets take it. The document is as IAM gives it: URL
    encoded, where botocore did not decode it."""
    if isinstance(document, str):
        try:
            document = json.loads(unquote(document))
        except ValueError:
            return frozenset()
    found: set[str] = set()
    statements = document.get("Statement", ()) if isinstance(document, dict) else ()
    for statement in [statements] if isinstance(statements, dict) else statements:
        principal = statement.get("Principal", {})
        services = principal.get("Service", ()) if isinstance(principal, dict) else ()
        if statement.get("Effect") == "Allow":
            found |= {services} if isinstance(services, str) else set(services)
    return frozenset(found)


def check_roles(
    graph: Graph, seen: Mapping[str, Observed[frozenset[str] | None]]
) -> Iterator[Finding]:
    """Each role is there, and ECS tasks may take it. ``seen``: who may; None: it is missing."""
    for arn in graph_roles(graph):
        services = seen.get(arn, Unknown("not asked"))
        if isinstance(services, Unknown):
            text = f"{arn}: {services.reason}"
            yield Finding("roles", Severity.UNKNOWN, text, "grant the right")
        elif services is None:
            remedy = "create it; its policies are in iam/"
            yield Finding("roles", Severity.ERROR, f"{arn} does not exist", remedy)
        elif TASKS not in services:
            yield Finding(
                "roles",
                Severity.ERROR,
                f"{arn} trusts {listed(services) or 'no service'}, not {TASKS}",
                "use iam/trust-ecs-tasks.json as its trust policy",
            )
        else:
            yield Finding("roles", Severity.OK, arn)
