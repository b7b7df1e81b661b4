"""Checks of port mappings, and of the restrictions of network modes."""

from __future__ import annotations

from ecs_dynamo.local.wire.protocol import Json, client_error

_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")
_AWSVPC_MESSAGES = {
    "links": "Links are not supported when networkMode=awsvpc.",
    "hostname": "hostname is not supported on container when networkMode=awsvpc.",
    "extraHosts": "Extra hosts are not supported on container when networkMode=awsvpc.",
    "dnsServers": "DNS servers are not supported on container when networkMode=awsvpc.",
    "dnsSearchDomains": "DNS search domains are not supported on container when "
    "networkMode=awsvpc.",
    "disableNetworking": "Disable Networking is not supported on container when "
    "networkMode=awsvpc.",
}


def parse_port_range(text: str) -> tuple[int, int]:
    """Return the first and last port of a range. Raises EcsError if it is invalid."""
    first, dash, last = text.partition("-")
    if dash and first.isdecimal() and last.isdecimal() and 1 <= int(first) < int(last) <= 65_535:
        return int(first), int(last)
    raise client_error("Invalid 'containerPortRange' setting.")


def check(request: Json) -> None:
    """Check ports and options of the network mode. Raises EcsError for the first violation."""
    mode = request.get("networkMode", "bridge")
    _check_proxy(request, mode)
    names: set[str] = set()
    task_ports: set[tuple[str, int]] = set()
    host_ports: set[tuple[str, int]] = set()
    for container in request["containerDefinitions"]:
        _check_options(container, mode)
        mappings = container.get("portMappings", ())
        if mappings and mode == "none":
            raise client_error("Port mappings are not supported when networkMode=none.")
        if sum("containerPortRange" in m for m in mappings) > 100:
            raise client_error("A container can have at most 100 port ranges.")
        container_ports: set[tuple[str, int]] = set()
        for mapping in mappings:
            _check_port_name(mapping, names)
            ports = _check_ports(mapping, mode)
            protocol = mapping.get("protocol", "tcp")
            used = task_ports if mode in ("host", "awsvpc") else container_ports
            requested = {(protocol, port) for port in ports}
            # Docker can map a port of a container to several ports of the host.
            repeatable = mode == "bridge" and "containerPort" in mapping
            if requested & used and not (
                repeatable and requested <= used and _is_outside_ranges(mapping, mappings)
            ):
                raise client_error("container port is used multiple times in task.")
            used |= requested
            host = mapping.get("hostPort", 0)
            if mode == "bridge" and host:
                if (protocol, host) in host_ports:
                    raise client_error("host port is used multiple times in task.")
                host_ports.add((protocol, host))


def _check_proxy(request: Json, mode: str) -> None:
    proxy = request.get("proxyConfiguration")
    if proxy is None:
        return
    if mode != "awsvpc":
        raise client_error("APPMESH proxy configuration is only supported in networkMode=awsvpc")
    if proxy["containerName"] not in [c["name"] for c in request["containerDefinitions"]]:
        raise client_error(f"Proxy container [{proxy['containerName']}] does not exist")
    properties = {p["name"]: p.get("value") for p in proxy.get("properties", ()) if "name" in p}
    for key, label in (
        ("ProxyIngressPort", "Ingress port"),
        ("ProxyEgressPort", "Egress port"),
        ("AppPorts", "App ports"),
    ):
        if not properties.get(key):
            raise client_error(f"{label} not found")
    if not (properties.get("IgnoredUID") or properties.get("IgnoredGID")):
        raise client_error("Ignored UID or ignored GID not found")


def _is_outside_ranges(mapping: Json, mappings: list[Json]) -> bool:
    """Whether the port of ``mapping`` is in none of the container's port ranges."""
    port = mapping["containerPort"]
    ranges = [
        parse_port_range(m["containerPortRange"]) for m in mappings if "containerPortRange" in m
    ]
    return not any(first <= port <= last for first, last in ranges)


def _check_options(container: Json, mode: str) -> None:
    if mode == "awsvpc":
        for key, message in _AWSVPC_MESSAGES.items():
            if container.get(key):
                raise client_error(message)
    elif mode != "bridge" and container.get("links"):
        raise client_error(f"Links are not supported when networkMode={mode}.")


def _check_port_name(mapping: Json, names: set[str]) -> None:
    name = mapping.get("name")
    if name is None:
        return
    if not 1 <= len(name) <= 64 or not set(name) <= _NAME or name.startswith("-"):
        raise client_error("Invalid port mapping name.")
    if name in names:
        raise client_error("port mapping name is already used.")
    names.add(name)


def _check_ports(mapping: Json, mode: str) -> range:
    port, host = mapping.get("containerPort"), mapping.get("hostPort")
    if "containerPortRange" in mapping:
        if mode not in ("bridge", "awsvpc"):
            raise client_error(
                "'containerPortRange' is only supported when networkMode is awsvpc or bridge."
            )
        if port is not None or host is not None:
            raise client_error("cannot specify both single port and port range.")
        first, last = parse_port_range(mapping["containerPortRange"])
        return range(first, last + 1)
    if port is None or not 1 <= port <= 65_535:
        raise client_error(f"Invalid 'containerPort' setting: {port}")
    if not 0 <= (host or 0) <= 65_535:
        raise client_error(f"Invalid 'hostPort' setting: {host}")
    if mode in ("host", "awsvpc") and host not in (None, 0, port):
        raise client_error(
            f"When networkMode={mode}, the host ports and container ports in port mappings must "
            "match."
        )
    return range(port, port + 1)
