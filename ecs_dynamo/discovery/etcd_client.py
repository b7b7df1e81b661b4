"""A client of etcd, with the TLS support that aetcd lacks."""

from __future__ import annotations

import os
from typing import Any

import aetcd
import grpc
from aetcd import rpc, watcher

from ecs_dynamo.discovery.credentials import EtcdCredentials, Tls

os.environ.setdefault("GRPC_VERBOSITY", "NONE")
"""Keep gRPC from writing to standard error: it reports every error as an exception too."""
OPTIONS = {"grpc.enable_http_proxy": 0}
"""Endpoints are private addresses, which a proxy from the environment cannot reach."""


class _TlsClient(aetcd.Client):  # type: ignore[misc]  # aetcd has no types
    """A client like that of aetcd 1.0.0, but with a TLS channel. The certificate is the user."""

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
    """Return a client of one server that is not connected yet. ``seconds`` limits each call.

    Raises AuthenticationError if the certificates cannot be read.
    """
    common = {
        "host": host,
        "port": port,
        "timeout": seconds,
        "connect_wait_timeout": seconds,
        "options": OPTIONS,
    }
    if secure:
        credentials.tls.context()  # Unlike gRPC, it explains what is wrong with a certificate.
        name = credentials.tls.server_name
        named = {"grpc.ssl_target_name_override": name} if name else {}
        return _TlsClient(credentials.tls, **{**common, "options": {**OPTIONS, **named}})
    return aetcd.Client(username=credentials.username, password=credentials.password, **common)
