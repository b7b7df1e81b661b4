"""Stable DNS names of etcd and NATS in the graph file: Cloud Map or Service Connect."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from ecs_dynamo.model.spec.base import SpecModel

DnsName = Annotated[str, Field(pattern=r"^[a-z0-9_][a-z0-9_-]*(\.[a-z0-9_-]+)*$", max_length=127)]
"""A name in the form of Service Connect (ECS API reference, ServiceConnectClientAlias)."""


RegistryArn = Annotated[
    str,
    Field(pattern=r"^arn:[a-z-]+:servicediscovery:[a-z0-9-]+:\d{12}:service/srv-[a-z0-9]+$"),
]


class CloudMapServiceSpec(SpecModel):
    """A Cloud Map service with A records, in which ECS registers the tasks of one server."""

    registry_arn: RegistryArn = Field(description="ARN of the Cloud Map service.")
    dns_name: DnsName = Field(
        description="Name of the service in the VPC's DNS: the name of the Cloud Map service and "
        "that of its namespace, such as etcd.dynamo.local."
    )


class CloudMapSpec(SpecModel):
    """Service discovery by DNS, with Cloud Map services that exist already."""

    etcd: CloudMapServiceSpec | None = Field(
        default=None, description="Cloud Map service of etcd. Default: dependants use a private IP."
    )
    nats: CloudMapServiceSpec | None = Field(
        default=None, description="Cloud Map service of NATS. Default: dependants use a private IP."
    )

    @model_validator(mode="after")
    def _names_a_server(self) -> Self:
        if self.etcd is None and self.nats is None:
            raise ValueError("give etcd, nats or both")
        return self


class ServiceConnectSpec(SpecModel):
    """Service discovery by ECS Service Connect, in a namespace that exists already."""

    namespace: str = Field(
        pattern=r"^[^\s]{1,1024}$", description="Name or ARN of a Cloud Map namespace."
    )
    etcd: DnsName = Field(
        default="etcd", description="Name of etcd in the namespace, without a port."
    )
    nats: DnsName = Field(
        default="nats", description="Name of NATS in the namespace, without a port."
    )

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if self.etcd == self.nats:
            raise ValueError(f"etcd and nats have one name, {self.etcd}; give them two")
        return self


class ServiceDiscoverySpec(SpecModel):
    """Stable DNS names for etcd and NATS instead of private IPs: Cloud Map or Service Connect."""

    cloud_map: CloudMapSpec | None = Field(
        default=None, description="DNS names of Cloud Map services. The servers run in awsvpc mode."
    )
    service_connect: ServiceConnectSpec | None = Field(
        default=None,
        description="Names of ECS Service Connect. The servers run in awsvpc mode, all other "
        "components in awsvpc or bridge mode.",
    )

    @model_validator(mode="after")
    def _has_one_kind(self) -> Self:
        if (self.cloud_map is None) == (self.service_connect is None):
            raise ValueError("give exactly one of cloudMap and serviceConnect")
        return self
