"""Building blocks of IAM policy documents, and the ARNs in them. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ecs_dynamo.common.arns import (
    is_arn,
    resource_name,
)
from ecs_dynamo.model.ecs.partitions import partition_of
from ecs_dynamo.model.ecs.task_definition import EcrImage
from ecs_dynamo.model.graph import TAG_GRAPH, Component, Graph
from ecs_dynamo.model.spec.capacity import AutoScalingGroupSpec

Json = dict[str, Any]
Graphs = Graph | Sequence[Graph]
"""One graph, or all graphs of a daemon."""
MANAGED_POLICY_SIZE = 6144
"""Maximum size of a managed policy in characters, not counting white space. The inline policies of
a role may have 10,240 together (IAM user guide, "IAM and AWS STS quotas")."""


def statement(
    sid: str, actions: Iterable[str], resources: Iterable[str], **conditions: Mapping[str, Any]
) -> Json:
    """Return an Allow statement; ``conditions`` are by operator, and empty ones are left out."""
    allow: Json = {
        "Sid": sid,
        "Effect": "Allow",
        "Action": sorted(actions),
        "Resource": sorted(set(resources)),
    }
    if conditions:
        allow["Condition"] = dict(conditions)
    return allow


def document(statements: Iterable[Json]) -> Json:
    """Return a policy document."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


class Arns:
    """Builder of ARNs of one account and Region."""

    def __init__(self, region: str, account: str) -> None:
        self.partition = partition_of(region)
        self.region, self.account = region, account
        self.ecs = self.of("ecs", "").removesuffix(":")

    def of(self, service: str, resource: str) -> str:
        """Return the ARN of a resource of a regional ``service``."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def cluster(self, name: str) -> str:
        """Return a cluster's ARN from its name or its ARN."""
        return name if is_arn(name) else f"{self.ecs}:cluster/{name}"

    def within(self, kind: str, cluster: str, name: str = "*") -> str:
        """Return the ARN of a ``service``, ``task`` or ``container-instance`` in a cluster."""
        return f"{self.ecs}:{kind}/{resource_name(cluster)}/{name}"

    def repository(self, image: EcrImage) -> str:
        """Return the ARN of an image's repository, in the account and Region of its registry."""
        registry = f"arn:{self.partition}:ecr:{image.region}:{image.registry}"
        return f"{registry}:repository/{image.repository}"

    def role(self, name: str) -> str:
        """Return a role's ARN from its ARN or from its short name, which ECS accepts too."""
        if is_arn(name):
            return name
        return f"arn:{self.partition}:iam::{self.account}:role/{name.lstrip('/')}"


@dataclass(frozen=True)
class Scope:
    """The graphs of one daemon, in one Region of one account.

    The permissions for one graph are bound to its name. Those for several graphs are bound to their
    clusters and to the ownership tag with any value. They do not grow when a graph is added, which
    needs no new policy if it uses no other cluster, role or secret.
    """

    graphs: tuple[Graph, ...]
    arns: Arns

    @cached_property
    def clusters(self) -> list[str]:
        return list(dict.fromkeys(name for graph in self.graphs for name in graph.clusters))

    @cached_property
    def components(self) -> tuple[Component, ...]:
        return tuple(c for graph in self.graphs for c in graph.components)

    @cached_property
    def groups(self) -> tuple[AutoScalingGroupSpec, ...]:
        """The declared Auto Scaling groups."""
        declared = (g for graph in self.graphs for g in graph.capacity.auto_scaling_groups)
        return tuple({(g.name, g.cluster): g for g in declared}.values())

    @property
    def references(self) -> set[str]:
        """References to the secrets that the daemon itself reads."""
        return {r for graph in self.graphs for r in graph.security.references()}

    @property
    def _prefix(self) -> str:
        """The pattern for names of services and families, which are ``{graph}-{component}``."""
        return f"{self.graphs[0].name}-*" if len(self.graphs) == 1 else "*"

    def services(self) -> list[str]:
        """Return ARNs of the graphs' services, including those that are no longer declared."""
        return [self.arns.within("service", name, self._prefix) for name in self.clusters]

    def definitions(self) -> list[str]:
        """Return ARNs of the graphs' task definitions."""
        return [f"{self.arns.ecs}:task-definition/{self._prefix}:*"]

    def tagged(self, key: str) -> dict[str, Any]:
        """Return the condition that ``key``, such as ``aws:ResourceTag``, has the ownership tag."""
        key = f"{key}/{TAG_GRAPH}"
        if len(self.graphs) == 1:
            return {"StringEquals": {key: self.graphs[0].name}}
        return {"Null": {key: "false"}}


def scope_of(graphs: Graphs, region: str, account: str) -> Scope:
    """Return the scope of one graph or several."""
    every = (graphs,) if isinstance(graphs, Graph) else tuple(graphs)
    return Scope(every, Arns(region, account))


# Sizes -----------------------------------------------------------------------------------------


def size_of(policy: Mapping[str, Any]) -> int:
    """Return the number of characters as IAM counts them: without white space."""
    return len(json.dumps(policy, separators=(",", ":")))


SID_DIGITS = 4
"""Maximum length of the part number that is appended to the name of a statement."""


def _within(statement: Json, limit: int) -> list[Json]:
    """Return the statement, split by resources into several if it is too large."""
    if size_of(document([statement])) <= limit or len(statement["Resource"]) < 2:
        return [statement]
    parts = _halves(statement, limit - SID_DIGITS)
    return [{**part, "Sid": f"{statement['Sid']}{n}"} for n, part in enumerate(parts, 1)]


def _halves(statement: Json, limit: int) -> list[Json]:
    resources = statement["Resource"]
    if size_of(document([statement])) <= limit or len(resources) < 2:
        return [statement]
    half = len(resources) // 2
    parts = (resources[:half], resources[half:])
    return [part for some in parts for part in _halves({**statement, "Resource": some}, limit)]


def split(name: str, policy: Json, limit: int = MANAGED_POLICY_SIZE) -> dict[str, Json]:
    """Split ``policy`` into as few documents as IAM's limit allows, by file name.

    They are ``x.json``, ``x-2.json`` and so on, which must all be attached to the same role.
    """
    parts: list[list[Json]] = [[]]
    for statement in policy["Statement"]:
        for piece in _within(statement, limit):
            if parts[-1] and size_of(document([*parts[-1], piece])) > limit:
                parts.append([])
            parts[-1].append(piece)
    stem = name.removesuffix(".json")
    names = [name, *(f"{stem}-{number}.json" for number in range(2, len(parts) + 1))]
    return dict(zip(names, map(document, parts), strict=True))
