"""Names of etcd and NATS: what a service must have, beside what it has."""

from __future__ import annotations

from ecs_dynamo.common.arns import is_arn
from ecs_dynamo.model.graph import Component
from ecs_dynamo.model.service import Service
from ecs_dynamo.model.service_names import (
    ServiceConnect,
    ServiceNames,
)


def _same_namespace(one: str, other: str) -> bool:
    """An ARN does not tell a name: they may mean the same, and are not told apart."""
    return one == other or is_arn(one) != is_arn(other)


def _same_connect(wanted: ServiceConnect, have: ServiceConnect | None) -> bool:
    return (
        have is not None
        and _same_namespace(wanted.namespace, have.namespace)
        and set(wanted.publishes) == set(have.publishes)
    )


def names_missing(component: Component, service: Service) -> ServiceNames:
    """Just what is declared and the service has otherwise.

    What is not declared is left alone: someone may have put it there.
    """
    wanted, have = component.names, service.names
    connect = wanted.connect
    return ServiceNames(
        registry=wanted.registry if wanted.registry != have.registry else None,
        connect=connect if connect and not _same_connect(connect, have.connect) else None,
    )


def names_differ(component: Component, service: Service) -> bool:
    """Whether the service lacks some of its declared names; ECS gives them by a new deployment."""
    return names_missing(component, service) != ServiceNames()
