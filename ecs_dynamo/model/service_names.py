"""Names for etcd and NATS that outlive their tasks: what an ECS service has for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Published:
    """A Service Connect endpoint: the task definition's port ``port_name``, which client tasks
    reach at ``dns_name:port``. ``discovery_name`` is that of its Cloud Map service."""

    port_name: str
    discovery_name: str
    dns_name: str
    port: int


@dataclass(frozen=True, slots=True)
class ServiceConnect:
    """Membership in a Service Connect namespace (its name or ARN); a client publishes nothing."""

    namespace: str
    publishes: tuple[Published, ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceNames:
    """How a service's tasks are found, or find others. None: not declared, and left as it is.

    ``registry`` is the ARN of the Cloud Map service that its tasks are registered in.
    """

    registry: str | None = None
    connect: ServiceConnect | None = None
