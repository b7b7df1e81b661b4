"""aetcd's client, over TLS too, which it does not know of itself."""

from __future__ import annotations

import os
from typing import Any

import aetcd
import grpc
from aetcd import rpc, watcher

from ecs_dynamo.discovery.credentials import EtcdCredentials, Tls

os.environ.setdefault("GRPC_VERBOSITY", "NONE")
"""gRPC writes its own lines on standard error; what it reports comes as exceptions anyway."""
OPTIONS = {"grpc.enable_http_proxy": 0}
"""Endpoints are private addresses: a proxy from the environment can not reach them."""


class _TlsClient(aetcd.Client):  # type: ignore[misc]  # aetcd has no types
    """`connect` as in aetcd 1.0.0, but for the channel. A user is told by the certificate."""

    def __init__(self, tls: Tls, **options: Any) -> None:
        super().__init__(**options)
        self._tls = tls

    async def connect(self) -> None:
        if self._connected.is_set():
            return

        def pem(text: str | None) -> bytes | None:
            return None if text is None else text.encode()

        self.channel = rpc.secure_channel(
            f"{self._host}:{self._port}",
            grpc.ssl_channel_credentials(
                pem(self._tls.ca),
                private_key=pem(self._tls.key),
                certificate_chain=pem(self._tls.cert),
            ),
            options=self._options.items(),
        )
        self.kvstub = rpc.KVStub(self.channel)
        self.clusterstub = rpc.ClusterStub(self.channel)
        self.leasestub = rpc.LeaseStub(self.channel)
        self.maintenancestub = rpc.MaintenanceStub(self.channel)
        self._watcher = watcher.Watcher(rpc.WatchStub(self.channel), timeout=self._timeout)
        self._connected.set()


def make_client(
    host: str, port: int, seconds: int, credentials: EtcdCredentials, *, secure: bool
) -> Any:
    """A client of one server, not connected yet.

    AuthenticationError for certificates that can not be read.
    """
    common = {
        "host": host,
        "port": port,
        "timeout": seconds,
        "connect_wait_timeout": seconds,
        "options": OPTIONS,
    }
    if secure:
        credentials.tls.context()  # gRPC does not say what is wrong with a certificate.
        name = credentials.tls.server_name
        named = {"grpc.ssl_target_name_override": name} if name else {}
        return _TlsClient(credentials.tls, **{**common, "options": {**OPTIONS, **named}})
    return aetcd.Client(username=credentials.username, password=credentials.password, **common)
