"""The daemon's own keys to etcd and NATS: read from where the graph refers to, when it runs.

Read at the first use, again when a server refused what was read (it was rotated), and now and then.
Nothing but this module's memory ever holds a value.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any

import structlog

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.secrets import read_references
from ecs_dynamo.discovery.credentials import (
    NO_CREDENTIALS,
    AuthenticationError,
    Credentials,
    EtcdCredentials,
    NatsCredentials,
    Tls,
)
from ecs_dynamo.discovery.etcd import open_etcd
from ecs_dynamo.model.errors import AwsError
from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.spec.security import (
    EtcdTls,
    NatsTls,
    SecuritySpec,
)

_log = structlog.get_logger(__name__)

FRESH_SECONDS = 300.0
AGAIN_SECONDS = 5.0
"""How soon secrets are read again after a refusal; also after they could not be read."""
READ_SECONDS = 10.0


class Keys:
    """The keys of one graph. ``clock`` gives monotonic seconds."""

    def __init__(self, aws: Aws, clock: Callable[[], float] = time.monotonic) -> None:
        self._aws = aws
        self._clock = clock
        self._lock = asyncio.Lock()
        self._security = SecuritySpec()
        self._names: Mapping[Role, str] = {}
        self._at = float("-inf")
        self._doubted = False
        self.current: Credentials = NO_CREDENTIALS
        """What was read last."""

    def refused(self) -> None:
        """A server did not let us in: what was read may have been rotated."""
        self._doubted = True

    async def read(
        self, security: SecuritySpec, names: Mapping[Role, str] = MappingProxyType({})
    ) -> Credentials:
        """The keys; from memory while nothing speaks against them. Never raises.

        ``names`` are those of the servers, which are reached at their addresses.
        """
        async with self._lock:
            if not security.references():
                self.current = credentials_of(security, names, {})
                self._security, self._names = security, names
                return self.current
            limit = AGAIN_SECONDS if self._doubted else FRESH_SECONDS
            same = security == self._security and names == self._names
            if same and self._clock() - self._at < limit:
                return self.current
            before = self.current if same else NO_CREDENTIALS
            try:
                async with asyncio.timeout(READ_SECONDS):
                    values = await read_references(self._aws, security.references())
                self.current, self._doubted = credentials_of(security, names, values), False
            except (AwsError, LookupError, TimeoutError) as error:
                told = str(error) or f"no answer within {READ_SECONDS:.0f} s"
                _log.warning("secrets not read", error=told)
                self._doubted = True
                # Those of before may well be good still.
                known = same and before.problem is None
                self.current = before if known else Credentials(problem=f"secrets not read: {told}")
            self._security, self._names, self._at = security, names, self._clock()
            return self.current

    @asynccontextmanager
    async def open_etcd(
        self, security: SecuritySpec, url: str, timeout: float
    ) -> AsyncIterator[Any]:
        """A client of etcd's with the keys of now. ConnectionError."""
        credentials = await self.read(security, self._names)
        if credentials.problem is not None:
            raise AuthenticationError(credentials.problem)
        try:
            async with open_etcd(url, timeout, credentials.etcd) as client:
                yield client
        except AuthenticationError:
            self.refused()
            raise


def credentials_of(
    security: SecuritySpec, names: Mapping[Role, str], values: Mapping[str, str]
) -> Credentials:
    """The keys from what the references stand for."""

    def value(reference: str | None) -> str | None:
        return None if reference is None else values[reference]

    def tls(role: Role, declared: EtcdTls | NatsTls | None) -> Tls:
        if declared is None:
            return Tls()
        ca, cert, key = map(value, (declared.ca, declared.client_cert, declared.client_key))
        return Tls(ca, cert, key, names.get(role))

    etcd, nats = security.etcd, security.nats
    return Credentials(
        etcd=EtcdCredentials(
            tls=tls(Role.ETCD, etcd.tls),
            username=value(etcd.username),
            password=value(etcd.password),
        ),
        nats=NatsCredentials(
            tls=tls(Role.NATS, nats.tls),
            username=value(nats.username),
            password=value(nats.password),
            token=value(nats.token),
            nkey=value(nats.nkey),
            credentials=value(nats.credentials),
        ),
    )
