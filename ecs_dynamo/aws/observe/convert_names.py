"""Cloud Map and Service Connect in requests and answers of ECS.

A service's registries stand on the service, its Service Connect configuration on each deployment
(ECS API reference, Service and Deployment).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecs_dynamo.model.service_names import (
    Published,
    ServiceConnect,
    ServiceNames,
)

Json = Mapping[str, Any]


def to_names(raw: Json) -> ServiceNames:
    """The names of a DescribeServices entry."""
    registries = [r.get("registryArn") for r in raw.get("serviceRegistries") or ()]
    primary = [d for d in raw.get("deployments", ()) if d.get("status") == "PRIMARY"]
    return ServiceNames(
        registry=registries[0] if registries else None,
        connect=_connect(primary[0].get("serviceConnectConfiguration") or {}) if primary else None,
    )


def _connect(raw: Json) -> ServiceConnect | None:
    if not raw.get("enabled"):
        return None
    published = [
        Published(
            one.get("portName", ""),
            one.get("discoveryName") or one.get("portName", ""),
            alias.get("dnsName", ""),
            alias.get("port", 0),
        )
        for one in raw.get("services") or ()
        for alias in one.get("clientAliases") or ()
    ]
    return ServiceConnect(raw.get("namespace", ""), tuple(published))
