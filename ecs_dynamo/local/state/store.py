"""What the local ECS knows: clusters, task definitions, instances, services, tasks. In memory."""

from __future__ import annotations

import itertools
import time
import uuid
from typing import Any

from ecs_dynamo.local.network.addresses import Addresses
from ecs_dynamo.local.state.entities import (
    Cluster,
    Instance,
    Provider,
    Service,
    Task,
    TaskDefinition,
)
from ecs_dynamo.local.wire.protocol import ACCOUNT, EcsError, Json, client_error

KEPT_SECONDS = 3600.0
"""ECS shows stopped tasks for at least an hour."""


class State:
    """All of one region's ECS, and the small questions that every handler asks of it."""

    def __init__(self, region: str) -> None:
        self.region = region
        self.clusters: dict[str, Cluster] = {}
        self.definitions: dict[str, list[TaskDefinition]] = {}
        self.revisions: dict[str, int] = {}
        self.instances: dict[str, Instance] = {}
        self.services: dict[tuple[str, str], Service] = {}
        self.tasks: dict[str, Task] = {}
        self.providers: dict[str, Provider] = {}
        self.addresses = Addresses()
        self.run_tokens: dict[str, list[str]] = {}
        self._numbers = itertools.count(1)

    @staticmethod
    def now() -> float:
        return time.time()

    def arn(self, resource: str) -> str:
        return f"arn:aws:ecs:{self.region}:{ACCOUNT}:{resource}"

    def new_id(self) -> str:
        return uuid.uuid4().hex

    def cluster(self, name: str | None) -> Cluster:
        """By name or ARN; the default cluster is called ``default``."""
        short = (name or "default").rsplit("/", 1)[-1]
        found = self.clusters.get(short)
        if found is None or found.status == "INACTIVE":
            raise EcsError("ClusterNotFoundException", "Cluster not found.")
        return found

    def definition(self, name: str) -> TaskDefinition:
        """By ARN, ``family`` (its latest active revision) or ``family:revision``."""
        short = name.rsplit("/", 1)[-1]
        family, _, number = short.partition(":")
        known = self.definitions.get(family, [])
        if number:
            found = [d for d in known if str(d.revision) == number]
        else:
            found = [d for d in known if d.status == "ACTIVE"][-1:]
        if not found:
            raise client_error("Unable to describe task definition.")
        return found[0]

    def service(self, cluster: Cluster, name: str) -> Service | None:
        return self.services.get((cluster.name, name.rsplit("/", 1)[-1]))

    def task(self, cluster: Cluster, name: str) -> Task | None:
        found = self.tasks.get(name.rsplit("/", 1)[-1])
        return found if found is not None and found.cluster == cluster.name else None

    def instance(self, cluster: Cluster, name: str) -> Instance | None:
        found = self.instances.get(name.rsplit("/", 1)[-1])
        return found if found is not None and found.cluster == cluster.name else None

    def service_tasks(self, service: Service) -> list[Task]:
        return [
            t
            for t in self.tasks.values()
            if t.service == service.name and t.cluster == service.cluster
        ]

    def provider_of(self, instance: Instance) -> str | None:
        """The capacity provider of its cluster that its Auto Scaling group belongs to."""
        attached = self.clusters[instance.cluster].capacity_providers
        return next(
            (
                p.name
                for p in self.providers.values()
                if p.scaling_group is not None
                and p.scaling_group == instance.scaling_group
                and p.name in attached
            ),
            None,
        )

    def tasks_on_instance(self, instance: Instance) -> list[Task]:
        """Tasks that hold resources of ``instance``."""
        return [t for t in self.tasks.values() if t.instance is instance and t.holds_resources]

    def forget_old(self) -> None:
        """Drop stopped tasks, deleted services and revisions that ECS would show no more."""
        oldest = self.now() - KEPT_SECONDS
        self.tasks = {
            k: t for k, t in self.tasks.items() if t.stopped_at is None or t.stopped_at > oldest
        }
        self.services = {
            k: s for k, s in self.services.items() if s.deleted_at is None or s.deleted_at > oldest
        }
        # A revision is deleted when the last that refers to it is gone.
        used = {t.definition.arn for t in self.tasks.values() if t.holds_resources}
        used |= {
            d.definition.arn
            for s in self.services.values()
            if s.status != "INACTIVE"
            for d in s.deployments
        }
        for known in self.definitions.values():
            known[:] = [d for d in known if d.status != "DELETE_IN_PROGRESS" or d.arn in used]


def tags_of(request: dict[str, Any]) -> list[Json]:
    """The tags of a request, checked as ECS checks them."""
    tags: list[Json] = list(request.get("tags", ()))
    if len({t.get("key") for t in tags}) != len(tags):
        raise EcsError("InvalidParameterException", "Duplicate tag keys found.")
    if len(tags) > 50:
        raise EcsError("InvalidParameterException", "Tags can not have more than 50 elements.")
    return tags
