"""Addresses on the loopback network, and forwarders for bridge mode's mapped ports.

127.1.0.0/16 holds EC2 instances, 127.64.0.0/16 the network interfaces of awsvpc tasks, and
127.192.0.0/16 what stands for names. Each instance has a network of its own for the containers of
bridge tasks, 24 bits of 127.128.0.0/10, and tasks elsewhere are refused there (`runtime.fence`).
Every address is local without any set-up on Linux.
Addresses are given out in turn, so that a replacement never has the address of what it replaces.
Each local ECS has a block of its own of each network, so that several can run at once.
"""

from __future__ import annotations

import errno
import itertools
import socket
from collections.abc import Iterator

from ecs_dynamo.local.runtime.fence import BRIDGES

FIRST_DYNAMIC_PORT = 32768
"""Where Docker's dynamic host ports begin (ECS developer guide, bridge mode)."""
LAST_DYNAMIC_PORT = 60998


BLOCKS = 16
BLOCK_SIZE = 256 // BLOCKS
"""Of the third byte of an address."""
CLAIM_PORT = 51678
"""Held open at a block's first address for as long as the block is in use."""


def _claim() -> tuple[int, socket.socket]:
    """A block that no other local ECS of this machine has, and what holds it.

    OSError where all are taken.
    """
    for block in range(BLOCKS):
        held = socket.socket()
        try:
            held.bind((f"127.1.{block * BLOCK_SIZE}.1", CLAIM_PORT))
        except OSError as error:
            held.close()
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return block, held
    raise OSError(f"{BLOCKS} local ECS run on this machine already: stop one of them")


class Addresses:
    """Gives out addresses and dynamic ports, between `open` and `close`."""

    def open(self) -> None:
        """Take a block. OSError where none is free."""
        self._block, self._held = _claim()
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
        first, (head, seconds) = self._block * BLOCK_SIZE, BRIDGES
        thirds = range(first, first + BLOCK_SIZE)
        pairs = itertools.product(seconds, thirds)
        return itertools.cycle(f"{head}.{second}.{third}" for second, third in pairs)

    def _bridge(self, instance: str) -> tuple[str, Iterator[str]]:
        if instance not in self._bridges:
            network = next(self._networks)
            hosts = itertools.cycle(f"{network}.{low}" for low in range(10, 250))
            self._bridges[instance] = network, hosts
        return self._bridges[instance]

    def close(self) -> None:
        """Let the block go."""
        self._held.close()

    def instance(self) -> str:
        return next(self._instances)

    def interface(self) -> str:
        return next(self._interfaces)

    def network(self, instance: str) -> str:
        """The first three bytes of the addresses of bridge containers on that instance."""
        return self._bridge(instance)[0]

    def container(self, instance: str) -> str:
        return next(self._bridge(instance)[1])

    def name(self) -> str:
        return next(self._names)

    def port(self) -> int:
        return next(self._ports)

    def ports(self, count: int) -> range:
        """``count`` dynamic ports in a row. OSError where there are not so many."""
        if count > LAST_DYNAMIC_PORT - FIRST_DYNAMIC_PORT:
            raise OSError(f"there are no {count} dynamic ports in a row")
        first = self.port()
        if first + count - 1 > LAST_DYNAMIC_PORT:
            while first != FIRST_DYNAMIC_PORT:
                first = self.port()
        for _ in range(count - 1):
            self.port()
        return range(first, first + count)
