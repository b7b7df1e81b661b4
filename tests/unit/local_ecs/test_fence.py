"""Connections that the fence refuses, and the addresses of bridge containers."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest

from ecs_dynamo.local.network.addresses import Addresses
from ecs_dynamo.local.placement.expressions import EC2_INSTANCE_ID, matches
from ecs_dynamo.local.runtime.fence import NOWHERE, is_refused


def v4(address: str) -> bytes:
    """Return a ``struct sockaddr_in``."""
    return struct.pack("=H", socket.AF_INET) + b"\x1f\x90" + socket.inet_aton(address) + bytes(8)


def v6(address: str) -> bytes:
    """Return a ``struct sockaddr_in6``."""
    return (
        struct.pack("=H", socket.AF_INET6)
        + b"\x1f\x90"
        + bytes(4)
        + socket.inet_pton(socket.AF_INET6, address)
        + bytes(4)
    )


@pytest.mark.parametrize(
    ("address", "network", "refused"),
    [
        (v4("127.128.3.10"), "127.128.3", False),
        (v4("127.128.4.10"), "127.128.3", True),
        (v4("127.128.34.10"), "127.128.3", True),
        (v4("127.191.255.1"), "127.128.3", True),
        (v4("127.128.3.10"), NOWHERE, True),
        (v4("127.1.0.10"), NOWHERE, False),
        (v4("127.127.3.10"), NOWHERE, False),
        (v4("127.192.0.10"), NOWHERE, False),
        (v4("10.128.3.10"), NOWHERE, False),
        (v6("::ffff:127.128.4.10"), "127.128.3", True),
        (v6("::ffff:127.128.3.10"), "127.128.3", False),
        (v6("::1"), NOWHERE, False),
        (struct.pack("=H", socket.AF_UNIX) + b"/run/socket", NOWHERE, False),
        (b"", NOWHERE, False),
    ],
)
def test_connections_to_other_bridge_networks_are_refused(
    address: bytes, network: str, refused: bool
) -> None:
    assert is_refused(address, network) == refused


@pytest.fixture
def addresses() -> Iterator[Addresses]:
    result = Addresses()
    result.open()
    yield result
    result.close()


def test_each_instance_has_a_bridge_network_of_its_own(addresses: Addresses) -> None:
    instances = [addresses.instance() for _ in range(40)]
    networks = {i: addresses.network(i) for i in instances}
    assert len(set(networks.values())) == len(instances)
    for instance, network in networks.items():
        first, second = addresses.container(instance), addresses.container(instance)
        assert first != second
        for address in (first, second):
            assert address.startswith(f"{network}.")
            assert not is_refused(v4(address), network)
            assert is_refused(v4(address), NOWHERE)
    for address in (addresses.instance(), addresses.interface(), addresses.name()):
        assert not is_refused(v4(address), NOWHERE)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("ec2InstanceId == i-1", True),
        ("ec2InstanceId == i-2", False),
        ("ec2InstanceId in ['i-1', 'i-2']", True),
        ("ec2InstanceId not_in [i-1]", False),
        ("ec2InstanceId =~ i-.* and attribute:x == a", True),
        ("attribute:ec2InstanceId == i-1", False),
    ],
)
def test_constraints_on_the_instance(expression: str, expected: bool) -> None:
    assert matches(expression, {"x": "a", EC2_INSTANCE_ID: "i-1"}) is expected
