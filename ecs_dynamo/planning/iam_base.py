"""The building blocks of IAM policy documents, and the ARNs in them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ecs_dynamo.model.partitions import partition_of

Json = dict[str, Any]


def statement(
    sid: str, actions: Iterable[str], resources: Iterable[str], **conditions: Mapping[str, Any]
) -> Json:
    """An Allow statement; ``conditions`` are by operator, and none that is empty."""
    made: Json = {
        "Sid": sid,
        "Effect": "Allow",
        "Action": sorted(actions),
        "Resource": sorted(set(resources)),
    }
    if conditions:
        made["Condition"] = dict(conditions)
    return made


def document(statements: Iterable[Json]) -> Json:
    """A policy document."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


class Arns:
    """ARNs of one account and Region."""

    def __init__(self, region: str, account: str) -> None:
        self.partition = partition_of(region)
        self.region, self.account = region, account
        self.ecs = self.of("ecs", "").removesuffix(":")

    def of(self, service: str, resource: str) -> str:
        """Anything of a regional ``service``."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def cluster(self, name: str) -> str:
        """A cluster's, from its name or its ARN."""
        return name if name.startswith("arn:") else f"{self.ecs}:cluster/{name}"

    def within(self, kind: str, cluster: str, name: str = "*") -> str:
        """Of what is in a cluster: ``service``, ``task``, ``container-instance``."""
        return f"{self.ecs}:{kind}/{cluster.rsplit('/', 1)[-1]}/{name}"
