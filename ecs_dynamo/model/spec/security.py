"""TLS and credentials of etcd and NATS, as references to secrets: no value is ever in the file.

What fits together is what Dynamo 1.6.1 does with it, as measured with real servers: its etcd client
takes either a password, without TLS, or a client certificate with its CA, as PEM texts; its NATS
client takes the CA and certificate as paths of files, and any one kind of credentials beside them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, model_validator

from ecs_dynamo.model.spec.base import SpecModel

REFERENCE: Final = re.compile(
    r"arn:[a-z-]+:secretsmanager:[a-z0-9-]+:\d{12}:secret:[^\s:]+(:[^\s:]*){0,3}"
    r"|arn:[a-z-]+:ssm:[a-z0-9-]+:\d{12}:parameter/\S+|/[A-Za-z0-9_./-]+"
)
"""What ECS takes as `valueFrom`: a secret's ARN (with JSON key, stage, version), or a parameter."""


def _no_value(text: str) -> str:
    if not REFERENCE.fullmatch(text):
        raise ValueError(
            "this is no reference to a secret; write ${secret:name}, ${ssm:/path} or an ARN"
        )
    return text


Reference = Annotated[str, AfterValidator(_no_value)]
ContainerPath = Annotated[str, Field(pattern=r"^/\S+$")]


class EtcdTls(SpecModel):
    """The CA of etcd's certificate, and the client certificate that Dynamo needs with it."""

    ca: Reference
    client_cert: Reference
    client_key: Reference


class EtcdSecurity(SpecModel):
    """How etcd is reached: over TLS with a client certificate, or with a password."""

    tls: EtcdTls | None = None
    username: Reference | None = None
    password: Reference | None = None

    @model_validator(mode="after")
    def _as_dynamo_can(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("give username and password together")
        if self.tls is not None and self.username is not None:
            raise ValueError(
                "Dynamo uses a password for etcd without TLS only (1.6.1): keep tls, and name the "
                "user as the client certificate's common name; or keep username and password"
            )
        return self


class NatsTls(SpecModel):
    """The CA and client certificate, for the daemon; and where their files are in the containers.

    Without ``ca`` the system's own certificate authorities are trusted.
    """

    ca: Reference | None = None
    ca_path: ContainerPath | None = None
    client_cert: Reference | None = None
    client_cert_path: ContainerPath | None = None
    client_key: Reference | None = None
    client_key_path: ContainerPath | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.ca is None) != (self.ca_path is None):
            raise ValueError(
                "give ca (a reference, for the daemon) and caPath (the same file in the containers)"
            )
        client = (
            self.client_cert,
            self.client_cert_path,
            self.client_key,
            self.client_key_path,
        )
        if any(client) and not all(client):
            raise ValueError(
                "give clientCert and clientKey (references, for the daemon) with clientCertPath "
                "and clientKeyPath (the same files in the containers)"
            )
        return self


class NatsSecurity(SpecModel):
    """How NATS is reached: ``tls``, and one kind of credentials.

    ``nkey`` is a user's seed. ``credentials`` is the text of a ``.creds`` file, whose place in the
    containers is ``credentials_path``.
    """

    tls: NatsTls | None = None
    username: Reference | None = None
    password: Reference | None = None
    token: Reference | None = None
    nkey: Reference | None = None
    credentials: Reference | None = None
    credentials_path: ContainerPath | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("give username and password together")
        if (self.credentials is None) != (self.credentials_path is None):
            raise ValueError(
                "give credentials (a reference, for the daemon) and credentialsPath (the same file "
                "in the containers)"
            )
        kinds = (self.username, self.token, self.nkey, self.credentials)
        if sum(kind is not None for kind in kinds) > 1:
            raise ValueError("give one of username and password, token, nkey, credentials")
        return self


class SecuritySpec(SpecModel):
    """TLS and credentials of both."""

    etcd: EtcdSecurity = EtcdSecurity()
    nats: NatsSecurity = NatsSecurity()

    def references(self) -> tuple[str, ...]:
        """Every secret referred to, each once, sorted."""
        return tuple(sorted(set(_references(self))))


def _references(spec: SpecModel) -> Iterator[str]:
    for name in type(spec).model_fields:
        value = getattr(spec, name)
        if isinstance(value, SpecModel):
            yield from _references(value)
        elif isinstance(value, str) and not name.endswith("_path"):
            yield value
