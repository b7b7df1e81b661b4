"""Cloud Map, as moto implements it: ECS registers tasks in it and looks up namespaces."""

from __future__ import annotations

from typing import Any

from moto.servicediscovery.models import servicediscovery_backends

from ecs_dynamo.local.wire.protocol import ACCOUNT


class CloudMap:
    """Cloud Map of one Region."""

    def __init__(self, region: str) -> None:
        self._region = region

    @property
    def _backend(self) -> Any:
        return servicediscovery_backends[ACCOUNT][self._region]

    def record_types(self, arn: str) -> frozenset[str] | None:
        """Return the types of a service's DNS records, or None if the service does not exist."""
        service = self._service(arn)
        if service is None:
            return None
        records = (service.dns_config or {}).get("DnsRecords", ())
        return frozenset(str(record["Type"]) for record in records)

    def namespace(self, text: str) -> str | None:
        """Return the name of the namespace with the name or ARN ``text``, or None."""
        for namespace in list(self._backend.namespaces.values()):
            if text in (namespace.name, namespace.arn):
                return str(namespace.name)
        return None

    def register(self, arn: str, instance: str, attributes: dict[str, str]) -> None:
        """Register an instance. Does nothing if the service does not exist."""
        service = self._service(arn)
        if service is not None:
            self._backend.register_instance(service.id, instance, instance, attributes)

    def deregister(self, arn: str, instance: str) -> None:
        """Deregister an instance. Does nothing if it is not registered."""
        service = self._service(arn)
        if service is not None:
            service.instances[:] = [i for i in service.instances if i.instance_id != instance]

    def addresses(self) -> dict[str, list[str]]:
        """Return the names that DNS resolves, with their IPv4 addresses."""
        backend = self._backend
        addresses: dict[str, list[str]] = {}
        for service in list(backend.services.values()):
            namespace = backend.namespaces.get(service.namespace_id)
            if namespace is None or "A" not in (self.record_types(service.arn) or ()):
                continue
            addresses[f"{service.name}.{namespace.name}"] = [
                str(instance.attributes["AWS_INSTANCE_IPV4"])
                for instance in list(service.instances)
                if "AWS_INSTANCE_IPV4" in instance.attributes
            ]
        return addresses

    def _service(self, arn: str) -> Any:
        services = list(self._backend.services.values())
        return next((service for service in services if service.arn == arn), None)
