"""Names of tasks: registered with Cloud Map, and resolved for the processes of other tasks.

A process of this machine can be given no resolver of its own without rights. So ``name:port`` in
its environment and command is rewritten when it starts: to a loopback address that the name keeps,
from which TCP is carried to a task that has the name when a connection is made. That is what
Service Connect's proxy does on AWS. Cloud Map's names are DNS there, which answers as late as the
records' TTL, and the client connects by itself; here a name changes at once.
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
Targets = Callable[[int], list[Target]]
"""Port that was asked for -> where a connection to it may go now."""


def mapping_named(containers: list[Json], name: str) -> Json | None:
    """The port mapping called ``name`` of a task definition's containers."""
    mappings = (m for c in containers for m in c.get("portMappings", ()))
    return next((m for m in mappings if m.get("name") == name), None)


class Names:
    """Registers tasks, and resolves names for those that start."""

    def __init__(self, state: State, cloud_map: CloudMap) -> None:
        self._state = state
        self._cloud_map = cloud_map
        self._addresses: dict[tuple[str, str], str] = {}
        self._forwarders: dict[tuple[str, int], Forwarder] = {}
        self._targets: dict[tuple[str, int], Targets] = {}
        self._turns = itertools.count()

    def register(self, task: Task) -> None:
        """``task`` runs: it is found from now on."""
        for registry in task.registries:
            attributes = {"AWS_INSTANCE_IPV4": task.address, "ECS_CLUSTER_NAME": task.cluster}
            attributes |= {"ECS_SERVICE_NAME": task.service or "", "REGION": self._state.region}
            port = registry.get("containerPort") or registry.get("port")
            if port is not None:
                attributes["AWS_INSTANCE_PORT"] = str(port)
            self._cloud_map.register(registry["registryArn"], task.id, attributes)

    def deregister(self, task: Task) -> None:
        """``task`` stops; harmless twice."""
        for registry in task.registries:
            self._cloud_map.deregister(registry["registryArn"], task.id)

    def known_to(self, task: Task) -> Mapping[str, tuple[str, Targets]]:
        """What the task can resolve: name -> (whose name it is, where it leads)."""
        found: dict[str, tuple[str, Targets]] = {
            name: ("dns", partial(self._in_dns, name)) for name in self._cloud_map.addresses()
        }
        if task.connect is not None and task.connect.get("enabled"):
            namespace = self._cloud_map.namespace(task.connect.get("namespace", "")) or ""
            for name, service, port_name, alias in self._published(namespace):
                found[name] = (namespace, partial(self._connected, service, port_name, alias))
        return found

    async def rewrite(self, text: str, known: Mapping[str, tuple[str, Targets]]) -> str:
        """``text`` with the address that stands for each ``name:port`` in it. OSError."""
        if not known:
            return text
        either = "|".join(re.escape(name) for name in sorted(known, key=len, reverse=True))
        pattern = re.compile(rf"(?<![\w.-])({either}):(\d+)\b")
        for name, port in set(pattern.findall(text)):
            owner, targets = known[name]
            await self._listen(self._address(owner, name), int(port), targets)
        return pattern.sub(lambda m: f"{self._address(known[m[1]][0], m[1])}:{m[2]}", text)

    async def close(self) -> None:
        """Close every proxy."""
        for forwarder in self._forwarders.values():
            await forwarder.stop()
        self._forwarders.clear()

    def _address(self, owner: str, name: str) -> str:
        if (owner, name) not in self._addresses:
            self._addresses[owner, name] = self._state.addresses.name()
        return self._addresses[owner, name]

    async def _listen(self, address: str, port: int, targets: Targets) -> None:
        here = (address, port)
        self._targets[here] = targets
        if here in self._forwarders:
            return

        def choose() -> Target | None:
            found = self._targets[here](port)
            return found[next(self._turns) % len(found)] if found else None

        # Kept before it listens: another task that starts must not listen there as well.
        forwarder = self._forwarders[here] = Forwarder(address, port, choose)
        try:
            await forwarder.start()
        except OSError:
            del self._forwarders[here]
            raise

    def _in_dns(self, name: str, port: int) -> list[Target]:
        return [(address, port) for address in self._cloud_map.addresses().get(name, ())]

    def _published(self, namespace: str) -> Iterator[tuple[str, tuple[str, str], str, int]]:
        """(name, service, port name, port) of every endpoint in ``namespace``."""
        for key, service in self._state.services.items():
            connect = service.primary.connect if service.status == "ACTIVE" else None
            if not connect or self._cloud_map.namespace(connect.get("namespace", "")) != namespace:
                continue
            for one in connect.get("services") or ():
                mapped = mapping_named(service.primary.definition.containers, one["portName"])
                discovery = one.get("discoveryName") or one["portName"]
                aliases: list[Json] = one.get("clientAliases") or [{}]
                for alias in aliases:
                    port = alias.get("port") or (mapped or {}).get("containerPort", 0)
                    name = alias.get("dnsName") or f"{discovery}.{namespace}"
                    yield name, key, one["portName"], int(port)

    def _connected(
        self, key: tuple[str, str], port_name: str, alias: int, port: int
    ) -> list[Target]:
        """Tasks of the service that run; of the deployment in force where there are such."""
        service = self._state.services.get(key)
        if service is None or service.status != "ACTIVE" or port != alias:
            return []
        running = [
            t
            for t in self._state.service_tasks(service)
            if t.alive and t.last_status == "RUNNING" and t.connect is not None
        ]
        newest = [t for t in running if t.deployment == service.primary.id]
        return [
            (task.address, int(mapping["containerPort"]))
            for task in newest or running
            if (mapping := mapping_named(task.definition.containers, port_name)) is not None
            and "containerPort" in mapping
        ]
