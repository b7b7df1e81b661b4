"""Declared names of etcd and NATS, and settings that exclude them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ecs_dynamo.model.errors import InputError
from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.service_settings import PublishedPort, ServiceConnect, ServiceSettings
from tests.helpers.graph_files import ENVIRON, TLS, Edit, load, warnings

NAMES = ("service_registry", "service_connect")
ARN = "arn:aws:servicediscovery:us-east-1:123456789012:service/srv-"
ETCD = {"registryArn": f"{ARN}1", "dnsName": "infra.dynamo.local"}
NATS = {"registryArn": f"{ARN}2", "dnsName": "nats.dynamo.local"}
CONNECT = {"serviceConnect": {"namespace": "dynamo"}}


def names(**kinds: Any) -> Edit:
    return lambda d: d["infrastructure"].update(serviceDiscovery=kinds)


def infrastructure(**parts: Any) -> Edit:
    return lambda d: d.update(infrastructure=parts)


def change(folder: Path, name: str, **changes: Any) -> None:
    """Change fields of a task definition file; None takes one out."""
    path = folder / "taskdefs" / f"{name}.json"
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))


def in_vpc(folder: Path) -> None:
    for name in ("frontend", "decode", "prefill"):
        change(folder, name, networkMode="awsvpc")


def refused(folder: Path, edit: Edit) -> str:
    with pytest.raises(InputError) as caught:
        load(folder, edit, ENVIRON)
    return str(caught.value)


def test_cloud_map_is_for_etcd_and_nats_alone(folder: Path) -> None:
    graph = load(folder, names(cloudMap={"etcd": ETCD, "nats": ETCD}), ENVIRON)
    name = "infra.dynamo.local"
    assert graph.names == {Role.ETCD: name, Role.NATS: name}
    assert graph.component("etcd-nats").settings.only(NAMES) == ServiceSettings(
        service_registry=f"{ARN}1"
    )
    assert graph.component("decode").settings.only(NAMES) == ServiceSettings()


def test_service_connect_names_ports_and_makes_all_others_clients(folder: Path) -> None:
    in_vpc(folder)
    graph = load(folder, names(**CONNECT), ENVIRON)
    assert graph.names == {Role.ETCD: "etcd", Role.NATS: "nats"}
    servers = graph.component("etcd-nats")
    assert servers.settings.service_connect == ServiceConnect(
        "dynamo",
        (
            PublishedPort("etcd", "local-etcd", "etcd", 2379),
            PublishedPort("nats", "local-nats", "nats", 4222),
        ),
    )
    etcd, nats = servers.template["containerDefinitions"]
    assert [m.get("name") for m in (*etcd["portMappings"], *nats["portMappings"])] == [
        "etcd",
        "nats",
        None,
    ]
    assert graph.component("decode").settings.service_connect == ServiceConnect("dynamo")


def test_a_port_that_has_a_name_keeps_it(folder: Path) -> None:
    in_vpc(folder)
    path = folder / "taskdefs" / "etcd-nats.json"
    content = json.loads(path.read_text())
    mapping = content["containerDefinitions"][0]["portMappings"][0]
    mapping["name"] = "client"
    path.write_text(json.dumps(content))
    connect = (
        load(folder, names(**CONNECT), ENVIRON).component("etcd-nats").settings.service_connect
    )
    assert connect is not None
    assert connect.publishes[0].port_name == "client"
    mapping["appProtocol"] = "grpc"
    path.write_text(json.dumps(content))
    assert "remove appProtocol" in refused(folder, names(**CONNECT))


@pytest.mark.parametrize(
    ("edit", "reported"),
    [
        (names(), "exactly one of cloudMap and serviceConnect"),
        (names(cloudMap={"etcd": ETCD}, **CONNECT), "exactly one of cloudMap and serviceConnect"),
        (names(cloudMap={}), "give etcd, nats or both"),
        (names(cloudMap={"etcd": {**ETCD, "registryArn": "srv-1"}}), "registryArn"),
        (names(cloudMap={"etcd": {**ETCD, "dnsName": "http://etcd"}}), "dnsName"),
        (names(serviceConnect={"namespace": "d", "etcd": "a", "nats": "a"}), "give them two"),
        (names(cloudMap={"etcd": ETCD, "nats": NATS}), "an ECS service has one registry"),
        (names(cloudMap={"etcd": ETCD, "nats": {**ETCD, "dnsName": "n"}}), "has one registry"),
        (
            infrastructure(
                etcd={"taskDefinition": "taskdefs/etcd-nats.json"},
                nats={"taskDefinition": "taskdefs/etcd-nats.json"},
                serviceDiscovery={"cloudMap": {"etcd": ETCD, "nats": ETCD}},
            ),
            "etcd and NATS are two services",
        ),
        (
            infrastructure(
                etcd={"taskDefinition": "taskdefs/etcd-nats.json", "replicas": 3},
                serviceDiscovery={"cloudMap": {"etcd": ETCD}},
            ),
            "etcd is a cluster",
        ),
        (names(**CONNECT), "decode is in host mode"),
        (
            infrastructure(
                etcd={"endpoints": ["http://e:2379"]},
                nats={"taskDefinition": "taskdefs/etcd-nats.json"},
                serviceDiscovery={"cloudMap": {"etcd": ETCD}},
            ),
            "etcd has endpoints of its own",
        ),
        (
            infrastructure(
                etcd={"taskDefinition": "taskdefs/etcd-nats.json"},
                serviceDiscovery={"cloudMap": {"nats": NATS}},
            ),
            "the graph has no nats",
        ),
        (
            infrastructure(etcd={"endpoints": ["http://e:2379"]}, serviceDiscovery=CONNECT),
            "there is nothing to name",
        ),
    ],
)
def test_what_cannot_be_is_an_error(folder: Path, edit: Edit, reported: str) -> None:
    assert reported in refused(folder, edit)


def test_servers_and_clients_that_names_cannot_serve(folder: Path) -> None:
    in_vpc(folder)
    change(folder, "decode", memory=None)
    assert "decode has no memory limit of the whole task" in refused(folder, names(**CONNECT))
    change(folder, "etcd-nats", networkMode="host", requiresCompatibilities=["EC2"])

    for kind, reported in (
        ({"cloudMap": {"etcd": ETCD, "nats": ETCD}}, "would not resolve to an address"),
        (CONNECT, "and not the daemon"),
    ):
        more = {"launchType": "EC2", "serviceDiscovery": kind}
        assert reported in refused(folder, lambda d, m=more: d["infrastructure"].update(m))  # type: ignore[misc]


def test_an_etcd_that_keeps_nothing_is_reported(folder: Path) -> None:
    reported = "none of the data"
    assert reported in warnings(folder, names(cloudMap={"etcd": ETCD}))
    assert reported not in warnings(folder, names(cloudMap={"nats": NATS}))


def test_certificates_may_name_the_name(folder: Path) -> None:
    def both(document: Any) -> None:
        document["infrastructure"]["security"] = {"etcd": {"tls": TLS}}
        document["infrastructure"]["serviceDiscovery"] = {"cloudMap": {"etcd": ETCD}}

    assert "must name the address" not in warnings(folder, both)
