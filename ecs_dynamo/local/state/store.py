"""The state of ECS in one Region, in memory."""

from __future__ import annotations

import itertools
import time
import uuid

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

RETENTION_SECONDS = 3600.0
"""ECS returns stopped tasks for at least an hour."""


class State:
    """The entities of one Region, with look-ups by name or ARN."""

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
        self.metadata_url = ""
        """Base URL of the task metadata endpoint; the id of a container follows it."""
        self._numbers = itertools.count(1)

    @staticmethod
    def now() -> float:
        """Return the time in seconds since the epoch."""
        return time.time()

    def arn(self, resource: str) -> str:
        """Return the ARN of an ECS resource."""
        return f"arn:aws:ecs:{self.region}:{ACCOUNT}:{resource}"

    def new_id(self) -> str:
        """Return a new random id, in hexadecimal."""
        return uuid.uuid4().hex

    def cluster(self, name: str | None) -> Cluster:
        """Return a cluster by name or ARN, by default the cluster ``default``. Raises EcsError."""
        cluster = self.clusters.get((name or "default").rsplit("/", 1)[-1])
        if cluster is None or cluster.status == "INACTIVE":
            raise EcsError("ClusterNotFoundException", "Cluster not found.")
        return cluster

    def definition(self, name: str) -> TaskDefinition:
        """Return a revision by ARN, ``family:revision``, or ``family`` (its latest active one).

        Raises EcsError if it does not exist.
        """
        family, _, number = name.rsplit("/", 1)[-1].partition(":")
        revisions = self.definitions.get(family, [])
        if number:
            matching = [d for d in revisions if str(d.revision) == number]
        else:
            matching = [d for d in revisions if d.status == "ACTIVE"][-1:]
        if not matching:
            raise client_error("Unable to describe task definition.")
        return matching[0]

    def service(self, cluster: Cluster, name: str) -> Service | None:
        """Return a service by name or ARN."""
        return self.services.get((cluster.name, name.rsplit("/", 1)[-1]))

    def task(self, cluster: Cluster, name: str) -> Task | None:
        """Return a task by id or ARN."""
        task = self.tasks.get(name.rsplit("/", 1)[-1])
        return task if task is not None and task.cluster == cluster.name else None

    def instance(self, cluster: Cluster, name: str) -> Instance | None:
        """Return a container instance by id or ARN."""
        instance = self.instances.get(name.rsplit("/", 1)[-1])
        return instance if instance is not None and instance.cluster == cluster.name else None

    def register_instance(
        self,
        cluster: str,
        *,
        ec2_id: str,
        address: str,
        instance_type: str,
        zone: str,
        cpu: int,
        memory: int,
        gpus: int,
        attributes: dict[str, str] | None = None,
        scaling_group: str | None = None,
    ) -> Instance:
        """Add a container instance to a cluster, and return it."""
        instance_id = self.new_id()
        instance = Instance(
            arn=self.arn(f"container-instance/{cluster}/{instance_id}"),
            cluster=cluster,
            ec2_id=ec2_id,
            address=address,
            instance_type=instance_type,
            zone=zone,
            cpu=cpu,
            memory=memory,
            gpus=gpus,
            registered_at=self.now(),
            attributes=attributes or {},
            scaling_group=scaling_group,
        )
        self.instances[instance_id] = instance
        return instance

    def service_tasks(self, service: Service) -> list[Task]:
        """Return all tasks of a service, including stopped ones."""
        return [
            t
            for t in self.tasks.values()
            if t.service == service.name and t.cluster == service.cluster
        ]

    def provider_of(self, instance: Instance) -> str | None:
        """Return the name of the capacity provider, attached to its cluster, that it belongs to."""
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
        """Return the tasks that use resources of ``instance``."""
        return [t for t in self.tasks.values() if t.instance is instance and t.holds_resources]

    def remove_expired(self) -> None:
        """Remove stopped tasks and deleted services and revisions that ECS no longer returns."""
        oldest = self.now() - RETENTION_SECONDS
        self.tasks = {
            k: t for k, t in self.tasks.items() if t.stopped_at is None or t.stopped_at > oldest
        }
        self.services = {
            k: s for k, s in self.services.items() if s.deleted_at is None or s.deleted_at > oldest
        }
        # A revision is deleted when no service and no task refers to it any longer.
        used = {t.definition.arn for t in self.tasks.values() if t.holds_resources}
        used |= {
            d.definition.arn
            for s in self.services.values()
            if s.status != "INACTIVE"
            for d in s.deployments
        }
        for revisions in self.definitions.values():
            revisions[:] = [
                d for d in revisions if d.status != "DELETE_IN_PROGRESS" or d.arn in used
            ]


def tags_of(request: Json) -> list[Json]:
    """Return the tags of a request. Raises EcsError if they are invalid."""
    tags: list[Json] = list(request.get("tags", ()))
    if len({t.get("key") for t in tags}) != len(tags):
        raise EcsError("InvalidParameterException", "Duplicate tag keys found.")
    if len(tags) > 50:
        raise EcsError("InvalidParameterException", "Tags cannot have more than 50 elements.")
    return tags
