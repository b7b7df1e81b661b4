"""etcd and NATS in the graph file: task definitions or endpoints, and volumes for their data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ecs_dynamo.model.spec.base import SpecModel
from ecs_dynamo.model.spec.security import SecuritySpec
from ecs_dynamo.model.spec.service import LaunchType, ServiceSpec
from ecs_dynamo.model.spec.service_discovery import ServiceDiscoverySpec


class VolumeSpec(SpecModel):
    """An EFS file system that keeps the data of etcd or NATS when a task is replaced."""

    file_system_id: str = Field(
        pattern=r"^fs-[0-9a-f]{8,40}$",
        description="Id of the EFS file system, such as fs-0123456789abcdef0.",
    )
    access_point_id: Annotated[str, Field(pattern=r"^fsap-[0-9a-f]{8,40}$")] | None = Field(
        default=None, description="Id of an EFS access point, such as fsap-0123456789abcdef0."
    )
    root_directory: Annotated[str, Field(pattern=r"^/")] | None = Field(
        default=None,
        description="Directory of the file system that is mounted. Default: its root. An access "
        "point has a root directory of its own.",
    )
    transit_encryption: bool = Field(
        default=True,
        description="Whether the connection to EFS is encrypted. Access points and iam need it.",
    )
    iam: bool = Field(
        default=False,
        description="Whether EFS grants access to the task role (authorizationConfig.iam of ECS).",
    )
    path: Annotated[str, Field(pattern=r"^/[^/\s]")] | None = Field(
        default=None,
        description="Path at which the volume is mounted in the container. Default: the data "
        "directory in its command (--data-dir of etcd, -sd or --store_dir of NATS).",
    )

    @model_validator(mode="after")
    def _ecs_accepts_it(self) -> Self:
        """Apply the rules of the ECS API reference, EFSVolumeConfiguration."""
        if self.access_point_id is not None and self.root_directory not in (None, "/"):
            raise ValueError(
                "an access point has a root directory of its own; leave out rootDirectory"
            )
        if not self.transit_encryption and (self.access_point_id is not None or self.iam):
            raise ValueError(
                "an access point or iam needs transitEncryption; leave it out, or set it to true"
            )
        return self


class InfraServiceSpec(SpecModel):
    """etcd or NATS: a task definition that the graph runs, or endpoints that exist already."""

    task_definition: str | None = Field(
        default=None,
        description="Path of the task definition file, relative to the graph file. Give either "
        "this or endpoints.",
    )
    endpoints: tuple[str, ...] = Field(
        default=(),
        description="URLs of servers that exist already: http://host:2379 or https:// for etcd, "
        "nats://host:4222 or tls:// for NATS.",
    )
    replicas: Literal[1, 3] = Field(
        default=1,
        description="Number of servers. 3, for etcd only, is a cluster that survives the loss of "
        "one member.",
    )
    volume: VolumeSpec | None = Field(
        default=None,
        description="EFS volume that keeps the server's data when its task is replaced. Default: "
        "the data is lost with the task.",
    )

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if (self.task_definition is None) == (not self.endpoints):
            raise ValueError("give exactly one of taskDefinition and endpoints")
        if self.endpoints and self.volume is not None:
            raise ValueError("volume is for a taskDefinition; leave it out beside endpoints")
        if self.endpoints and self.replicas != 1:
            raise ValueError("replicas is for a taskDefinition; leave it out beside endpoints")
        if self.replicas != 1 and self.volume is not None:
            raise ValueError(
                "the members of a cluster hold its data together; leave out volume, or set "
                "replicas to 1"
            )
        return self


class InfrastructureSpec(ServiceSpec):
    """etcd and NATS: together in one task (taskDefinition), or each on its own."""

    deprecated_keys: ClassVar[Mapping[str, str]] = {"names": "serviceDiscovery"}

    task_definition: str | None = Field(
        default=None,
        description="Path of the task definition file that runs etcd and NATS in one task, "
        "relative to the graph file.",
    )
    etcd: InfraServiceSpec | None = Field(
        default=None, description="etcd on its own. Required without taskDefinition."
    )
    nats: InfraServiceSpec | None = Field(
        default=None,
        description="NATS on its own. Default: none, which is possible with requestPlane tcp and "
        "eventPlane zmq.",
    )
    launch_type: LaunchType = Field(
        default=LaunchType.FARGATE, description="ECS launch type of etcd and NATS."
    )
    security: SecuritySpec = Field(
        default=SecuritySpec(),
        description="TLS and credentials of etcd and NATS, as references to secrets. Default: no "
        "TLS and no login.",
    )
    service_discovery: ServiceDiscoverySpec | None = Field(
        default=None,
        description="Stable DNS names for etcd and NATS. A replaced server keeps its name, so no "
        "dependant needs a new revision. Default: dependants get private IPs.",
    )

    @property
    def has_nats(self) -> bool:
        """Whether the graph runs NATS or uses one that exists."""
        return self.task_definition is not None or self.nats is not None

    @model_validator(mode="after")
    def _is_together_or_apart(self) -> Self:
        if self.task_definition is not None and (self.etcd or self.nats):
            raise ValueError("taskDefinition runs etcd and NATS together; leave out etcd and nats")
        if self.task_definition is None and self.etcd is None:
            raise ValueError("give taskDefinition (etcd and NATS together) or etcd")
        if self.nats is not None and self.nats.replicas != 1:
            raise ValueError("nats.replicas must be 1; clusters are for etcd")
        if self.rollout.canary is not None:
            raise ValueError("rollout.canary is for workers; leave it out here")
        return self
