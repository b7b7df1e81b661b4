"""What it takes to be let in by etcd and NATS; values are never shown."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field


class AuthenticationError(ConnectionError):
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
        """For the standard library's TLS. AuthenticationError for what is no certificate or key."""
        try:
            context = ssl.create_default_context(cadata=self.ca)
            if self.cert is not None and self.key is not None:
                # It loads from files alone; this one is never on a disk.
                with os.fdopen(os.memfd_create("certificate"), "w") as file:
                    file.write(f"{self.cert.rstrip()}\n{self.key}")
                    file.flush()
                    context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
        except (ssl.SSLError, ValueError) as error:
            raise AuthenticationError(
                f"the declared certificates can not be read: {error}"
            ) from None
        return context


@dataclass(frozen=True, slots=True)
class EtcdCredentials:
    tls: Tls = field(default_factory=Tls)
    username: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class NatsCredentials:
    tls: Tls = field(default_factory=Tls)
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    nkey: str | None = field(default=None, repr=False)
    credentials: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Both. ``problem`` tells why the secrets could not be read, where they could not."""

    etcd: EtcdCredentials = field(default_factory=EtcdCredentials)
    nats: NatsCredentials = field(default_factory=NatsCredentials)
    problem: str | None = None


NO_CREDENTIALS = Credentials()
"""Of servers that let anyone in."""
