"""Task definitions that violate rules of ports, network modes, and proxies."""

from __future__ import annotations

from tests.unit.definitions.builders import Json, container, ec2
from tests.unit.definitions.invalid.base import (
    FIRST,
    SECOND,
    InvalidDefinition,
    awsvpc,
    bridge,
    changed,
    with_container,
)


def _ports(*mappings: Json) -> Json:
    return {"portMappings": list(mappings)}


def _proxy(container_name: str = "app", without: str = "") -> Json:
    properties = {"AppPorts": "80", "ProxyIngressPort": "15000", "ProxyEgressPort": "15001"}
    properties |= {"IgnoredUID": "1337", "EgressIgnoredIPs": "169.254.170.2"}
    return {
        "type": "APPMESH",
        "containerName": container_name,
        "properties": [{"name": k, "value": v} for k, v in properties.items() if k != without],
    }


NETWORK: list[InvalidDefinition] = [
    *(
        with_container(
            ec2,
            "portMappings[0].containerPort",
            "container-port",
            **_ports({"containerPort": port}),
        )
        for port in (0, -1, 65_536, 99_999)
    ),
    with_container(
        bridge,
        "portMappings[0].hostPort",
        "host-port",
        **_ports({"containerPort": 80, "hostPort": 65_536}),
    ),
    with_container(ec2, "portMappings[0]", "port-required", **_ports({"protocol": "tcp"})),
    with_container(
        ec2,
        "portMappings[0].hostPort",
        "host-port-differs",
        **_ports({"containerPort": 80, "hostPort": 81}),
    ),
    *(
        with_container(
            awsvpc,
            "portMappings[0].containerPortRange",
            "port-range",
            **_ports({"containerPortRange": text}),
        )
        for text in ("10010-10000", "80-80", "0-10", "1-65536", "a-b", "80")
    ),
    with_container(
        ec2,
        "portMappings[1].containerPortRange",
        "port-range-mode",
        **_ports({"containerPort": 8000}, {"containerPortRange": "10000-10010", "protocol": "udp"}),
    ),
    with_container(
        awsvpc,
        "portMappings[0].containerPort",
        "port-range-alone",
        **_ports({"containerPort": 8000, "containerPortRange": "10000-10010"}),
    ),
    with_container(
        awsvpc,
        "portMappings",
        "port-ranges-most",
        **_ports(*({"containerPortRange": f"{n}0-{n}1"} for n in range(100, 201))),
    ),
    with_container(
        bridge,
        "portMappings[1]",
        "port-twice",
        **_ports({"containerPortRange": "100-110"}, {"containerPortRange": "110-120"}),
    ),
    InvalidDefinition(
        "port-twice",
        awsvpc(
            container(**_ports({"containerPort": 80})),
            container("b", **_ports({"containerPort": 80})),
        ),
        f"{SECOND}.portMappings[0]",
    ),
    InvalidDefinition(
        "host-port-twice",
        bridge(
            container(**_ports({"containerPort": 80, "hostPort": 80})),
            container("b", **_ports({"containerPort": 81, "hostPort": 80})),
        ),
        f"{SECOND}.portMappings[0].hostPort",
    ),
    with_container(
        ec2,
        "portMappings[0].name",
        "port-name",
        **_ports({"containerPort": 80, "name": "HTTP"}),
    ),
    with_container(
        ec2,
        "portMappings[1].name",
        "port-name-twice",
        **_ports({"containerPort": 80, "name": "a"}, {"containerPort": 81, "name": "a"}),
    ),
    InvalidDefinition(
        "no-network-ports",
        ec2(container(**_ports({"containerPort": 80})), mode="none"),
        f"{FIRST}.portMappings",
    ),
    InvalidDefinition(
        "links-mode",
        ec2(container(links=["b"]), container("b")),
        f"{FIRST}.links",
    ),
    InvalidDefinition(
        "awsvpc-links",
        awsvpc(container(links=["b"]), container("b")),
        f"{FIRST}.links",
    ),
    *(
        with_container(awsvpc, key, f"awsvpc-{key}", **{key: value})
        for key, value in (
            ("hostname", "h"),
            ("extraHosts", [{"hostname": "h", "ipAddress": "10.0.0.1"}]),
            ("dnsServers", ["10.0.0.2"]),
            ("dnsSearchDomains", ["example.com"]),
            ("disableNetworking", True),
        )
    ),
    InvalidDefinition(
        "proxy-mode", changed(ec2(), proxyConfiguration=_proxy()), "proxyConfiguration"
    ),
    InvalidDefinition(
        "proxy-container",
        changed(awsvpc(), proxyConfiguration=_proxy(container_name="envoy")),
        "proxyConfiguration.containerName",
    ),
    *(
        InvalidDefinition(
            "proxy-properties",
            changed(awsvpc(), proxyConfiguration=_proxy(without=key)),
            "proxyConfiguration",
        )
        for key in ("AppPorts", "ProxyIngressPort", "ProxyEgressPort", "IgnoredUID")
    ),
]
