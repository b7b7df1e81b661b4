"""What makes etcd and NATS last: the parts of the graph file beside their task definitions."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from ecs_dynamo.model.spec.base import SpecModel


class VolumeSpec(SpecModel):
    """An EFS file system for the data of etcd or NATS, so that a replaced task finds it again.

    ``path`` is where it is mounted in the container; by default where the command has its data.
    ``iam``: the task role is what EFS grants access to (ECS: ``authorizationConfig.iam``).
    """

    file_system_id: Annotated[str, Field(pattern=r"^fs-[0-9a-f]{8,40}$")]
    access_point_id: Annotated[str, Field(pattern=r"^fsap-[0-9a-f]{8,40}$")] | None = None
    root_directory: Annotated[str, Field(pattern=r"^/")] | None = None
    transit_encryption: bool = True
    iam: bool = False
    path: Annotated[str, Field(pattern=r"^/[^/\s]")] | None = None

    @model_validator(mode="after")
    def _as_ecs_takes_it(self) -> Self:
        """ECS API reference, EFSVolumeConfiguration."""
        if self.access_point_id is not None and self.root_directory not in (None, "/"):
            raise ValueError(
                "an access point has a root directory of its own; leave out rootDirectory"
            )
        if not self.transit_encryption and (self.access_point_id is not None or self.iam):
            raise ValueError(
                "an access point or iam needs transitEncryption; leave it out, or set it to true"
            )
        return self


DnsName = Annotated[str, Field(pattern=r"^[a-z0-9_][a-z0-9_-]*(\.[a-z0-9_-]+)*$", max_length=127)]
"""As Service Connect takes it (ECS API reference, ServiceConnectClientAlias)."""

RegistryArn = Annotated[
    str,
    Field(pattern=r"^arn:[a-z-]+:servicediscovery:[a-z0-9-]+:\d{12}:service/srv-[a-z0-9]+$"),
]


class CloudMapSpec(SpecModel):
    """A Cloud Map service with A records, and the name that these have in the VPC's DNS."""

    registry_arn: RegistryArn
    dns_name: DnsName


class CloudMapNamesSpec(SpecModel):
    """The Cloud Map services that ECS registers the tasks of etcd and NATS in."""

    etcd: CloudMapSpec | None = None
    nats: CloudMapSpec | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.etcd is None and self.nats is None:
            raise ValueError("give etcd, nats or both")
        return self


class ServiceConnectSpec(SpecModel):
    """A Service Connect namespace (its name or ARN) and the names that it has for etcd and NATS."""

    namespace: Annotated[str, Field(pattern=r"^[^\s]{1,1024}$")]
    etcd: DnsName = "etcd"
    nats: DnsName = "nats"

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.etcd == self.nats:
            raise ValueError(f"etcd and nats have one name, {self.etcd}; give them two")
        return self


class NamesSpec(SpecModel):
    """Names for etcd and NATS instead of private IPs: of Cloud Map's DNS, or Service Connect's."""

    cloud_map: CloudMapNamesSpec | None = None
    service_connect: ServiceConnectSpec | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.cloud_map is None) == (self.service_connect is None):
            raise ValueError("give exactly one of cloudMap and serviceConnect")
        return self
