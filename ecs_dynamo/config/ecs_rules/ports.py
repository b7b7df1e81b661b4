"""Rules of port mappings and of what a network mode allows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from ecs_dynamo.config.ecs_rules.base import ANSWER, API, Breach, Breaches, Content, Rule, shown
from ecs_dynamo.config.reading.document import FieldPath

MOST_PORT: Final = 65_535
MOST_RANGES: Final = 100
_RANGE: Final = re.compile(r"([0-9]{1,5})-([0-9]{1,5})")
_PORT_NAME: Final = re.compile(r"[a-z0-9_][a-z0-9_-]{0,63}")
_KEY: Final = "portMappings"
_SHARED_NETWORK: Final = ("host", "awsvpc")
"""Network modes in which the containers of a task share their ports."""


def port_range(text: object) -> tuple[int, int] | None:
    """Return first and last port of a ``containerPortRange``; None if it is invalid."""
    match = _RANGE.fullmatch(str(text))
    if match is None:
        return None
    first, last = int(match[1]), int(match[2])
    return (first, last) if 1 <= first < last <= MOST_PORT else None


def _ports(key: str, least: int) -> Any:
    def check(content: Content) -> Breaches:
        for path, mapping, _ in content.entries(_KEY):
            port = mapping.get(key)
            if port is not None and not least <= port <= MOST_PORT:
                yield Breach((*path, key), {"found": shown(port)})

    return check


def _no_port(content: Content) -> Breaches:
    for path, mapping, _ in content.entries(_KEY):
        if mapping.get("containerPort") is None and mapping.get("containerPortRange") is None:
            yield Breach(path)


def _host_differs(content: Content) -> Breaches:
    if content.mode not in _SHARED_NETWORK:
        return
    for path, mapping, _ in content.entries(_KEY):
        host, inner = mapping.get("hostPort"), mapping.get("containerPort")
        if host not in (None, 0, inner) and inner is not None:
            yield Breach((*path, "hostPort"), {"found": host, "inner": inner})


def _range_form(content: Content) -> Breaches:
    for path, mapping, _ in content.entries(_KEY):
        text = mapping.get("containerPortRange")
        if text is not None and port_range(text) is None:
            yield Breach((*path, "containerPortRange"), {"found": shown(text)})


def _range_mode(content: Content) -> Breaches:
    if content.mode in ("bridge", "awsvpc"):
        return
    for path, mapping, _ in content.entries(_KEY):
        if mapping.get("containerPortRange") is not None:
            yield Breach((*path, "containerPortRange"), {"mode": content.mode})


def _range_alone(content: Content) -> Breaches:
    for path, mapping, _ in content.entries(_KEY):
        for key in ("containerPort", "hostPort"):
            if mapping.get("containerPortRange") is not None and mapping.get(key) is not None:
                yield Breach((*path, key), {"key": key})


def _many_ranges(content: Content) -> Breaches:
    for path, container in content.containers():
        ranges = [m for m in container.get(_KEY, ()) if m.get("containerPortRange") is not None]
        if len(ranges) > MOST_RANGES:
            yield Breach((*path, _KEY), {"found": len(ranges)})


def _spans(content: Content) -> Iterator[tuple[FieldPath, object, tuple[int, int]]]:
    """Yield path, owner of the ports, and first and last port of each mapping.

    In bridge mode each container has ports of its own.
    """
    shared = content.mode in _SHARED_NETWORK
    for path, mapping, container in content.entries(_KEY):
        protocol = mapping.get("protocol", "tcp")
        owner = (protocol, None if shared else container["name"])
        span = port_range(mapping.get("containerPortRange"))
        if span is not None:
            yield path, owner, span
        elif mapping.get("containerPort") is not None:
            port = mapping["containerPort"]
            yield path, owner, (port, port)


def _port_twice(content: Content) -> Breaches:
    mapped: list[tuple[object, tuple[int, int]]] = []
    for path, owner, (first, last) in _spans(content):
        # In bridge mode one port of a container can be mapped to several of the host.
        single = content.mode == "bridge" and first == last
        for other, (start, end) in mapped:
            if owner == other and first <= end and start <= last:
                if single and start == end:
                    continue
                common = max(first, start)
                yield Breach(path, {"found": common})
                break
        mapped.append((owner, (first, last)))


def _host_twice(content: Content) -> Breaches:
    if content.mode != "bridge":
        return
    host_ports: set[tuple[object, object]] = set()
    for path, mapping, _ in content.entries(_KEY):
        host = mapping.get("hostPort")
        if not host:
            continue
        key = (mapping.get("protocol", "tcp"), host)
        if key in host_ports:
            yield Breach((*path, "hostPort"), {"found": host})
        host_ports.add(key)


def _port_name(content: Content) -> Breaches:
    for path, mapping, _ in content.entries(_KEY):
        name = mapping.get("name")
        if name is not None and not _PORT_NAME.fullmatch(name):
            yield Breach((*path, "name"), {"found": shown(name)})


def _port_name_twice(content: Content) -> Breaches:
    names: set[str] = set()
    for path, mapping, _ in content.entries(_KEY):
        name = mapping.get("name")
        if name is not None and name in names:
            yield Breach((*path, "name"), {"found": shown(name)})
        names.add(name or "")


def _no_network(content: Content) -> Breaches:
    for path, container in content.containers() if content.mode == "none" else ():
        if container.get(_KEY):
            yield Breach((*path, _KEY))


_NOT_IN_AWSVPC: Final = (
    ("links", "Links are not supported when networkMode=awsvpc"),
    ("hostname", "hostname is not supported on container when networkMode=awsvpc"),
    ("extraHosts", "Extra hosts are not supported on container when networkMode=awsvpc"),
    ("dnsServers", "DNS servers are not supported on container when networkMode=awsvpc"),
    (
        "dnsSearchDomains",
        "DNS search domains are not supported on container when networkMode=awsvpc",
    ),
    (
        "disableNetworking",
        "Disable Networking is not supported on container when networkMode=awsvpc",
    ),
)


def _not_in_awsvpc(key: str, words: str) -> Rule:
    def check(content: Content) -> Breaches:
        for path, container in content.containers() if content.mode == "awsvpc" else ():
            if container.get(key):
                yield Breach((*path, key))

    return Rule(
        f"awsvpc-{key}",
        ANSWER + words,
        f"{key} cannot be used with networkMode awsvpc",
        f"remove {key}, or change networkMode",
        check,
    )


def _links_in_bridge(content: Content) -> Breaches:
    for path, container in content.containers() if content.mode in ("host", "none") else ():
        if container.get("links"):
            yield Breach((*path, "links"), {"mode": content.mode})


_PROXY_PROPERTIES: Final = ("AppPorts", "ProxyIngressPort", "ProxyEgressPort")


def _proxy_mode(content: Content) -> Breaches:
    if content.template.get("proxyConfiguration") and content.mode != "awsvpc":
        yield Breach(("proxyConfiguration",), {"mode": content.mode})


def _proxy_container(content: Content) -> Breaches:
    name = (content.template.get("proxyConfiguration") or {}).get("containerName")
    if name is not None and name not in content.names():
        yield Breach(("proxyConfiguration", "containerName"), {"found": shown(name)})


def _proxy_properties(content: Content) -> Breaches:
    proxy = content.template.get("proxyConfiguration")
    if not proxy:
        return
    declared = {entry.get("name") for entry in proxy.get("properties", ()) if entry.get("value")}
    missing = [key for key in _PROXY_PROPERTIES if key not in declared]
    if not declared & {"IgnoredUID", "IgnoredGID"}:
        missing.append("IgnoredUID or IgnoredGID")
    if missing:
        yield Breach(("proxyConfiguration",), {"missing": ", ".join(missing)})


RULES: Final = (
    Rule(
        "container-port",
        API + "PortMapping.containerPort",
        "a port is 1 to 65535, found {found}",
        "write the port that the container listens on",
        _ports("containerPort", 1),
    ),
    Rule(
        "host-port",
        API + "PortMapping.hostPort",
        "a host port is 1 to 65535, or 0 for one that ECS chooses; found {found}",
        "correct it, or remove hostPort",
        _ports("hostPort", 0),
    ),
    Rule(
        "port-required",
        API + "PortMapping",
        "a port mapping needs containerPort or containerPortRange",
        "add containerPort, or remove the entry",
        _no_port,
    ),
    Rule(
        "host-port-differs",
        ANSWER + "When networkMode=awsvpc, the host ports and container ports in port mappings "
        "must match.",
        "hostPort {found} differs from containerPort {inner}, which only bridge allows",
        "remove hostPort",
        _host_differs,
    ),
    Rule(
        "port-range",
        API + "PortMapping.containerPortRange; Invalid 'containerPortRange' setting",
        "this is not a range of ports: {found}",
        "write <first>-<last> from 1 to 65535, the first below the last",
        _range_form,
    ),
    Rule(
        "port-range-mode",
        API + "PortMapping.containerPortRange: the bridge or the awsvpc network mode",
        "ECS accepts containerPortRange in bridge and awsvpc mode only, found networkMode {mode}",
        "list the ports one by one as containerPort",
        _range_mode,
    ),
    Rule(
        "port-range-alone",
        ANSWER + "cannot specify both single port and port range",
        "{key} cannot be used beside containerPortRange",
        "remove {key}, or give it a mapping of its own",
        _range_alone,
    ),
    Rule(
        "port-ranges-most",
        API + "PortMapping.containerPortRange: a maximum of 100 port ranges per container",
        "{found} port ranges are more than the 100 that ECS accepts in a container",
        "merge some of them",
        _many_ranges,
    ),
    Rule(
        "port-twice",
        ANSWER + "container port is used multiple times in task",
        "port {found} is mapped twice",
        "remove one of the mappings",
        _port_twice,
    ),
    Rule(
        "host-port-twice",
        API + "PortMapping.hostPort: a port that is in use is reserved",
        "host port {found} is mapped twice: no instance could ever place the task",
        "change one of them, or write 0",
        _host_twice,
    ),
    Rule(
        "port-name",
        API + "PortMapping.name",
        "the name of a port mapping takes up to 64 lower-case letters, digits, hyphens and "
        "underscores, and does not start with a hyphen; found {found}",
        "rename it",
        _port_name,
    ),
    Rule(
        "port-name-twice",
        ANSWER + "port mapping name is already used",
        "two port mappings are called {found}",
        "rename one of them",
        _port_name_twice,
    ),
    Rule(
        "no-network-ports",
        API + "RegisterTaskDefinition.networkMode: with none, no port mappings",
        "networkMode none allows no port mappings",
        "remove portMappings, or change networkMode",
        _no_network,
    ),
    Rule(
        "links-mode",
        API + "ContainerDefinition.links: only if the network mode is bridge",
        "links work in bridge mode only, found networkMode {mode}",
        "remove links",
        _links_in_bridge,
    ),
    Rule(
        "proxy-mode",
        ANSWER + "APPMESH proxy configuration is only supported in networkMode=awsvpc",
        "proxyConfiguration needs networkMode awsvpc, found {mode}",
        "set networkMode to awsvpc, or remove proxyConfiguration",
        _proxy_mode,
    ),
    Rule(
        "proxy-container",
        ANSWER + "Proxy container [...] does not exist",
        "there is no container {found} to be the proxy",
        "write the name of a container",
        _proxy_container,
    ),
    Rule(
        "proxy-properties",
        API + "ProxyConfiguration.properties; Ingress port not found",
        "proxyConfiguration has no {missing}",
        "add them to its properties",
        _proxy_properties,
    ),
    *(_not_in_awsvpc(key, words) for key, words in _NOT_IN_AWSVPC),
)
