"""Checks of credentials, clock, and the daemon's permissions. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ecs_dynamo.common.arns import parse_arn
from ecs_dynamo.doctor.checks.base import listed
from ecs_dynamo.model.doctor import Finding, Identity, Severity, Simulated, Simulation
from ecs_dynamo.model.ecs.task_definition import graph_roles
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.snapshot import Observed, Unknown

MAX_SKEW_SECONDS = 60.0
REFUSED_SKEW_SECONDS = 300.0
"""AWS refuses signatures whose time differs by more than five minutes."""


def check_identity(graph: Graph, identity: Observed[Identity]) -> Iterator[Finding]:
    """Check the credentials, that the graph's roles belong to the same account, and the clock."""
    if isinstance(identity, Unknown):
        yield Finding(
            "credentials",
            Severity.ERROR if "NoCredentials" in identity.reason else Severity.UNKNOWN,
            identity.reason,
            "configure credentials as for the AWS CLI; `aws sts get-caller-identity` must answer",
        )
        return
    yield Finding("credentials", Severity.OK, identity.arn)
    others = [
        role
        for role in graph_roles(graph)
        if (arn := parse_arn(role)) is not None and arn.account != identity.account
    ]
    if others:
        yield Finding(
            "credentials",
            Severity.ERROR,
            f"account {identity.account}, but {listed(others)} belongs to another",
            "use the other account's credentials, or correct the task definitions (AWS_ID)",
        )
    if identity.skew is None:
        yield Finding("clock", Severity.UNKNOWN, "AWS's answer had no date")
    else:
        yield check_clock(identity.skew)


def check_clock(skew: float) -> Finding:
    """Compare this machine's clock with AWS's; ``skew`` in seconds."""
    text = f"{abs(skew):.0f} s {'behind' if skew < 0 else 'ahead of'} AWS's clock"
    if abs(skew) > REFUSED_SKEW_SECONDS:
        return Finding("clock", Severity.ERROR, text, "set up time synchronisation (chrony)")
    if abs(skew) > MAX_SKEW_SECONDS:
        return Finding("clock", Severity.WARNING, text, "set up time synchronisation (chrony)")
    return Finding("clock", Severity.OK, text)


def principal_of(arn: str) -> str | None:
    """Return the IAM user or role behind a caller's ARN, whose policies can be simulated, or None.

    A session's ARN does not contain the path of its role, so a role with a path must be named with
    ``--role``. The account's root and federated users have no policies.
    """
    caller = parse_arn(arn)
    if caller is None:
        return None
    kind, _, rest = caller.resource.partition("/")
    if caller.service == "sts" and kind == "assumed-role":
        return str(replace(caller, service="iam", resource=f"role/{rest.split('/')[0]}"))
    return str(replace(caller, service="iam")) if kind in ("user", "role") else None


def simulations(policy: Mapping[str, Any]) -> list[Simulation]:
    """Return one query of the simulator for each statement of the rendered ``policy``."""
    queries = []
    for statement in policy["Statement"]:
        context: dict[str, tuple[str, tuple[str, ...]]] = {}
        for operator, keys in statement.get("Condition", {}).items():
            kind = "stringList" if operator.startswith("For") else "string"
            for key, allowed in keys.items():
                values = tuple(allowed) if isinstance(allowed, list) else (str(allowed),)
                context[key] = (kind, values if kind == "stringList" else values[:1])
        # The simulator needs names, not patterns: any name that matches the pattern is enough.
        resources = tuple(r if r == "*" else r.replace("*", "1") for r in statement["Resource"])
        queries.append(Simulation(tuple(statement["Action"]), resources, context))
    return queries


def check_rights(simulated: Observed[Simulated], *, named: bool) -> Iterator[Finding]:
    """Compare the daemon's permissions with the rendered policy. ``named``: the role was named as
    the daemon's. Otherwise it is the caller's own identity, which may be another one."""
    if isinstance(simulated, Unknown):
        remedy = "compare the daemon's policies with `ecs-dynamo iam render`"
        yield Finding("rights", Severity.UNKNOWN, simulated.reason, remedy)
        return
    if not simulated.denied:
        text = f"{simulated.arn}: {simulated.answers} permissions of the daemon's policy simulated"
        yield Finding("rights", Severity.OK, text)
        return
    by_action: dict[str, list[str]] = {}
    for action, resource in simulated.denied:
        by_action.setdefault(action, []).append(resource)
    for action, resources in sorted(by_action.items()):
        yield Finding(
            "rights",
            Severity.ERROR if named else Severity.WARNING,
            f"{simulated.arn} may not {action} on {listed(resources, 3)}",
            "attach `ecs-dynamo iam render`'s daemon-task-role.json"
            + ("" if named else "; or name the daemon's own role with --role"),
        )
