"""The daemon's own credentials for etcd and NATS, read from the secrets that the graph refers to.

They are read at their first use, again when a server rejects them (the secret was rotated), and at
intervals. The values are held in the memory of this module only.
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
from ecs_dynamo.aws.resources.secrets import read_references
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
"""Interval between two reads of secrets that no server has rejected."""
RETRY_SECONDS = 5.0
"""Minimum pause before secrets are read again after a rejection or a failed read."""
READ_SECONDS = 10.0


class CredentialReader:
    """Reads and caches the credentials of one graph. ``clock`` returns monotonic seconds."""

    def __init__(self, aws: Aws, clock: Callable[[], float] = time.monotonic) -> None:
        self._aws = aws
        self._clock = clock
        self._lock = asyncio.Lock()
        self._security = SecuritySpec()
        self._server_names: Mapping[Role, str] = {}
        self._read_at = float("-inf")
        self._doubted = False
        self.current: Credentials = NO_CREDENTIALS
        """The credentials of the last read."""

    def reject(self) -> None:
        """Note that a server rejected the current credentials: they may have been rotated."""
        self._doubted = True

    async def read(
        self, security: SecuritySpec, server_names: Mapping[Role, str] = MappingProxyType({})
    ) -> Credentials:
        """Return the credentials, from memory unless they are old or were rejected. Never raises.

        ``server_names`` are the names in the servers' certificates, as they are reached at their
        addresses.
        """
        async with self._lock:
            if not security.references():
                self.current = resolve_credentials(security, server_names, {})
                self._security, self._server_names = security, server_names
                return self.current
            max_age = RETRY_SECONDS if self._doubted else FRESH_SECONDS
            unchanged = security == self._security and server_names == self._server_names
            if unchanged and self._clock() - self._read_at < max_age:
                return self.current
            before = self.current if unchanged else NO_CREDENTIALS
            try:
                async with asyncio.timeout(READ_SECONDS):
                    values = await read_references(self._aws, security.references())
                self.current = resolve_credentials(security, server_names, values)
                self._doubted = False
            except (AwsError, LookupError, TimeoutError) as error:
                reason = str(error) or f"no answer within {READ_SECONDS:.0f} s"
                _log.warning("failed to read secrets", error=reason)
                self._doubted = True
                # The previous credentials are probably still valid.
                keep = unchanged and before.problem is None
                self.current = (
                    before if keep else Credentials(problem=f"secrets not read: {reason}")
                )
            self._security, self._server_names = security, server_names
            self._read_at = self._clock()
            return self.current

    @asynccontextmanager
    async def open_etcd(
        self, security: SecuritySpec, url: str, timeout: float
    ) -> AsyncIterator[Any]:
        """Open an etcd client with the current credentials. Raises ConnectionError."""
        credentials = await self.read(security, self._server_names)
        if credentials.problem is not None:
            raise AuthenticationError(credentials.problem)
        try:
            async with open_etcd(url, timeout, credentials.etcd) as client:
                yield client
        except AuthenticationError:
            self.reject()
            raise


def resolve_credentials(
    security: SecuritySpec, server_names: Mapping[Role, str], values: Mapping[str, str]
) -> Credentials:
    """Return the declared credentials with every reference replaced by its value."""

    def value(reference: str | None) -> str | None:
        return None if reference is None else values[reference]

    def tls(role: Role, declared: EtcdTls | NatsTls | None) -> Tls:
        if declared is None:
            return Tls()
        ca, cert, key = map(value, (declared.ca, declared.client_cert, declared.client_key))
        return Tls(ca, cert, key, server_names.get(role))

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
