"""Addresses on the loopback network.

EC2 instances have addresses in 127.1.0.0/16, network interfaces of awsvpc tasks in 127.64.0.0/16,
and names of services in 127.192.0.0/16. Each instance has its own /24 network in 127.128.0.0/10 for
the containers of bridge tasks; connections from other instances to it are refused
(`runtime.fence`). On Linux, all of these addresses are local without any set-up.

Addresses are assigned in turn, so that a replacement does not get the address of what it replaces.
Each local ECS has its own block of each network, so that several can run on one machine.
"""

from __future__ import annotations

import errno
import itertools
import socket
from collections.abc import Iterator

from ecs_dynamo.local.runtime.fence import BRIDGES

FIRST_DYNAMIC_PORT = 32768
"""The first of Docker's dynamic host ports (ECS developer guide, bridge mode)."""
LAST_DYNAMIC_PORT = 60998


BLOCKS = 16
BLOCK_SIZE = 256 // BLOCKS
"""How many values of an address's third byte belong to one block."""
CLAIM_PORT = 51678
"""A socket is bound to this port at a block's first address as long as the block is in use."""


def _claim_block() -> tuple[int, socket.socket]:
    """Return the number of an unused block, and the socket that reserves it.

    Raises OSError if all blocks are in use.
    """
    for block in range(BLOCKS):
        claim = socket.socket()
        try:
            claim.bind((f"127.1.{block * BLOCK_SIZE}.1", CLAIM_PORT))
        except OSError as error:
            claim.close()
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return block, claim
    raise OSError(
        f"{BLOCKS} instances of the local ECS are running on this machine: stop one of them"
    )


class Addresses:
    """Assigns addresses and dynamic ports, between `open` and `close`."""

    def open(self) -> None:
        """Reserve a block. Raises OSError if all blocks are in use."""
        self._block, self._claim = _claim_block()
        self._instances = self._hosts("127.1")
        self._interfaces = self._hosts("127.64")
        self._networks = self._bridge_networks()
        self._bridges: dict[str, tuple[str, Iterator[str]]] = {}
        self._names = self._hosts("127.192")
        self._ports = itertools.cycle(range(FIRST_DYNAMIC_PORT, LAST_DYNAMIC_PORT + 1))

    def _hosts(self, prefix: str) -> Iterator[str]:
        first = self._block * BLOCK_SIZE
        numbers = itertools.product(range(first, first + BLOCK_SIZE), range(10, 250))
        return itertools.cycle(f"{prefix}.{high}.{low}" for high, low in numbers)

    def _bridge_networks(self) -> Iterator[str]:
        first_byte, second_bytes = BRIDGES
        start = self._block * BLOCK_SIZE
        pairs = itertools.product(second_bytes, range(start, start + BLOCK_SIZE))
        return itertools.cycle(f"{first_byte}.{second}.{third}" for second, third in pairs)

    def _bridge(self, instance: str) -> tuple[str, Iterator[str]]:
        if instance not in self._bridges:
            network = next(self._networks)
            hosts = itertools.cycle(f"{network}.{low}" for low in range(10, 250))
            self._bridges[instance] = network, hosts
        return self._bridges[instance]

    def close(self) -> None:
        """Release the block."""
        self._claim.close()

    def instance(self) -> str:
        """Return an address for an EC2 instance."""
        return next(self._instances)

    def interface(self) -> str:
        """Return an address for the network interface of an awsvpc task."""
        return next(self._interfaces)

    def network(self, instance: str) -> str:
        """Return the first three bytes of the addresses of bridge containers on ``instance``."""
        return self._bridge(instance)[0]

    def container(self, instance: str) -> str:
        """Return an address for a bridge container on ``instance``."""
        return next(self._bridge(instance)[1])

    def name(self) -> str:
        """Return an address for a name of a service."""
        return next(self._names)

    def port(self) -> int:
        """Return a dynamic port."""
        return next(self._ports)

    def ports(self, count: int) -> range:
        """Return ``count`` consecutive dynamic ports. Raises OSError if there are not that many."""
        if count > LAST_DYNAMIC_PORT - FIRST_DYNAMIC_PORT:
            raise OSError(f"there are no {count} consecutive dynamic ports")
        first = self.port()
        if first + count - 1 > LAST_DYNAMIC_PORT:
            while first != FIRST_DYNAMIC_PORT:
                first = self.port()
        for _ in range(count - 1):
            self.port()
        return range(first, first + count)
