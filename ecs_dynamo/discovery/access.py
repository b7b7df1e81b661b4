"""What it takes to be let in by etcd and NATS; values are never shown."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field


class AccessRefusedError(ConnectionError):
    """The server does not let in who has these credentials, or is not who its certificate says."""


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM texts. Without ``ca`` the system's certificate authorities are trusted.

    ``server_name`` is whom the server's certificate must name, where that is not its address.
    """

    ca: str | None = field(default=None, repr=False)
    cert: str | None = field(default=None, repr=False)
    key: str | None = field(default=None, repr=False)
    server_name: str | None = None

    def context(self) -> ssl.SSLContext:
        """For the standard library's TLS. AccessRefusedError for what is no certificate or key."""
        try:
            context = ssl.create_default_context(cadata=self.ca)
            if self.cert is not None and self.key is not None:
                # It loads from files alone; this one is never on a disk.
                with os.fdopen(os.memfd_create("certificate"), "w") as file:
                    file.write(f"{self.cert.rstrip()}\n{self.key}")
                    file.flush()
                    context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
        except (ssl.SSLError, ValueError) as error:
            raise AccessRefusedError(
                f"the declared certificates can not be read: {error}"
            ) from None
        return context


@dataclass(frozen=True, slots=True)
class EtcdAccess:
    tls: Tls = field(default_factory=Tls)
    username: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class NatsAccess:
    tls: Tls = field(default_factory=Tls)
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    nkey: str | None = field(default=None, repr=False)
    credentials: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Access:
    """Both. ``problem`` tells why the secrets could not be read, where they could not."""

    etcd: EtcdAccess = field(default_factory=EtcdAccess)
    nats: NatsAccess = field(default_factory=NatsAccess)
    problem: str | None = None


OPEN = Access()
"""Of servers that let anyone in."""
