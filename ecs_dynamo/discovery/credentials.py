"""Credentials for etcd and NATS. No representation of them shows their values."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field


class AuthenticationError(ConnectionError):
    """The server rejected the credentials, or its certificate is not trusted."""


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS settings as PEM texts. Without ``ca`` the system's certificate authorities are trusted.

    ``server_name`` is the name that the server's certificate must contain, if not its address.
    """

    ca: str | None = field(default=None, repr=False)
    cert: str | None = field(default=None, repr=False)
    key: str | None = field(default=None, repr=False)
    server_name: str | None = None

    def context(self) -> ssl.SSLContext:
        """Return a context of the standard library's `ssl` module.

        Raises AuthenticationError for an invalid certificate or key.
        """
        try:
            context = ssl.create_default_context(cadata=self.ca)
            if self.cert is not None and self.key is not None:
                # `load_cert_chain` reads files only; this file exists in memory only.
                with os.fdopen(os.memfd_create("certificate"), "w") as file:
                    file.write(f"{self.cert.rstrip()}\n{self.key}")
                    file.flush()
                    context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
        except (ssl.SSLError, ValueError) as error:
            raise AuthenticationError(
                f"the declared certificates cannot be read: {error}"
            ) from None
        return context


@dataclass(frozen=True, slots=True)
class EtcdCredentials:
    """A user name with a password, or a client certificate in ``tls``."""

    tls: Tls = field(default_factory=Tls)
    username: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class NatsCredentials:
    """One of the ways to log in to NATS. ``credentials`` is the content of a ``.creds`` file."""

    tls: Tls = field(default_factory=Tls)
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    nkey: str | None = field(default=None, repr=False)
    credentials: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Credentials:
    """The daemon's credentials for both servers.

    ``problem`` explains why the secrets could not be read; None if they were read.
    """

    etcd: EtcdCredentials = field(default_factory=EtcdCredentials)
    nats: NatsCredentials = field(default_factory=NatsCredentials)
    problem: str | None = None


NO_CREDENTIALS = Credentials()
"""For servers without authentication."""
