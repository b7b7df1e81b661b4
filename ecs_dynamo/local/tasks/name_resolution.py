"""Names of services: registration in Cloud Map, and resolution for the processes of tasks.

Without privileges a process cannot get its own DNS resolver. So when a container starts, each
``name:port`` in its environment and command is rewritten to a loopback address that belongs to the
name. A connection to that address is forwarded to a task that has the name at that time. Service
Connect's proxy on AWS works in the same way. Names of Cloud Map differ: on AWS they are resolved by
DNS, so a client sees a change only when the record's TTL has expired; here it takes effect at once.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from ecs_dynamo.local.moto.cloud_map import CloudMap
from ecs_dynamo.local.network.forwarder import Forwarder
from ecs_dynamo.local.state.entities import Task
from ecs_dynamo.local.state.store import State
from ecs_dynamo.local.wire.protocol import Json

Target = tuple[str, int]
TargetLookup = Callable[[int], list[Target]]
"""Returns the current targets of connections to a port."""
Resolvable = Mapping[str, tuple[str, TargetLookup]]
"""The names that a task can resolve, with their scope (``dns`` or a namespace) and targets."""


def port_mapping(containers: list[Json], name: str) -> Json | None:
    """Return the port mapping with the name ``name`` in a task definition's containers."""
    mappings = (m for c in containers for m in c.get("portMappings", ()))
    return next((m for m in mappings if m.get("name") == name), None)


class NameResolver:
    """Registers running tasks in Cloud Map, and resolves names for tasks that start."""

    def __init__(self, state: State, cloud_map: CloudMap) -> None:
        self._state = state
        self._cloud_map = cloud_map
        self._addresses: dict[tuple[str, str], str] = {}
        self._forwarders: dict[tuple[str, int], Forwarder] = {}
        self._targets: dict[tuple[str, int], TargetLookup] = {}
        self._round_robin = itertools.count()

    def register(self, task: Task) -> None:
        """Register a running task."""
        for registry in task.registries:
            attributes = {"AWS_INSTANCE_IPV4": task.address, "ECS_CLUSTER_NAME": task.cluster}
            attributes |= {"ECS_SERVICE_NAME": task.service or "", "REGION": self._state.region}
            port = registry.get("containerPort") or registry.get("port")
            if port is not None:
                attributes["AWS_INSTANCE_PORT"] = str(port)
            self._cloud_map.register(registry["registryArn"], task.id, attributes)

    def deregister(self, task: Task) -> None:
        """Deregister a task that stops. Does nothing if it is not registered."""
        for registry in task.registries:
            self._cloud_map.deregister(registry["registryArn"], task.id)

    def resolvable_by(self, task: Task) -> Resolvable:
        """Return the names that a task can resolve."""
        resolvable: dict[str, tuple[str, TargetLookup]] = {
            name: ("dns", partial(self._dns_targets, name)) for name in self._cloud_map.addresses()
        }
        if task.service_connect is not None and task.service_connect.get("enabled"):
            namespace = self._cloud_map.namespace(task.service_connect.get("namespace", "")) or ""
            for name, service, port_name, alias_port in self._endpoints(namespace):
                lookup = partial(self._connect_targets, service, port_name, alias_port)
                resolvable[name] = (namespace, lookup)
        return resolvable

    async def rewrite(self, text: str, resolvable: Resolvable) -> str:
        """Return ``text`` with the loopback address of each ``name:port`` in it.

        Raises OSError if the address cannot be listened on.
        """
        if not resolvable:
            return text
        names = "|".join(re.escape(name) for name in sorted(resolvable, key=len, reverse=True))
        pattern = re.compile(rf"(?<![\w.-])({names}):(\d+)\b")
        for name, port in set(pattern.findall(text)):
            scope, targets = resolvable[name]
            await self._listen(self._address(scope, name), int(port), targets)
        return pattern.sub(lambda m: f"{self._address(resolvable[m[1]][0], m[1])}:{m[2]}", text)

    async def close(self) -> None:
        """Stop all forwarders."""
        for forwarder in self._forwarders.values():
            await forwarder.stop()
        self._forwarders.clear()

    def _address(self, scope: str, name: str) -> str:
        if (scope, name) not in self._addresses:
            self._addresses[scope, name] = self._state.addresses.name()
        return self._addresses[scope, name]

    async def _listen(self, address: str, port: int, targets: TargetLookup) -> None:
        endpoint = (address, port)
        self._targets[endpoint] = targets
        if endpoint in self._forwarders:
            return

        def choose() -> Target | None:
            current = self._targets[endpoint](port)
            return current[next(self._round_robin) % len(current)] if current else None

        # Stored before it listens, so that another task which starts does not listen as well.
        forwarder = self._forwarders[endpoint] = Forwarder(address, port, choose)
        try:
            await forwarder.start()
        except OSError:
            del self._forwarders[endpoint]
            raise

    def _dns_targets(self, name: str, port: int) -> list[Target]:
        return [(address, port) for address in self._cloud_map.addresses().get(name, ())]

    def _endpoints(self, namespace: str) -> Iterator[tuple[str, tuple[str, str], str, int]]:
        """Yield (name, service, port name, port) of each endpoint in a namespace."""
        for key, service in self._state.services.items():
            connect = service.primary.service_connect if service.status == "ACTIVE" else None
            if not connect or self._cloud_map.namespace(connect.get("namespace", "")) != namespace:
                continue
            for published in connect.get("services") or ():
                port_name = published["portName"]
                mapping = port_mapping(service.primary.definition.containers, port_name)
                discovery = published.get("discoveryName") or port_name
                aliases: list[Json] = published.get("clientAliases") or [{}]
                for alias in aliases:
                    port = alias.get("port") or (mapping or {}).get("containerPort", 0)
                    name = alias.get("dnsName") or f"{discovery}.{namespace}"
                    yield name, key, port_name, int(port)

    def _connect_targets(
        self, key: tuple[str, str], port_name: str, alias_port: int, port: int
    ) -> list[Target]:
        """Return running tasks of a service, those of its primary deployment if there are any."""
        service = self._state.services.get(key)
        if service is None or service.status != "ACTIVE" or port != alias_port:
            return []
        running = [
            t
            for t in self._state.service_tasks(service)
            if t.alive and t.last_status == "RUNNING" and t.service_connect is not None
        ]
        newest = [t for t in running if t.deployment == service.primary.id]
        return [
            (task.address, int(mapping["containerPort"]))
            for task in newest or running
            if (mapping := port_mapping(task.definition.containers, port_name)) is not None
            and "containerPort" in mapping
        ]
