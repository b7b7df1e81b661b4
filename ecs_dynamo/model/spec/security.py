"""TLS and credentials of etcd and NATS in the graph file, as references to secrets.

The file never contains a secret value. The validators allow what Dynamo 1.6.1 supports, as measured
with real servers: its etcd client takes either a password, without TLS, or a client certificate
with its CA, as PEM texts; its NATS client takes the CA and the certificate as paths of files, and
one kind of credentials beside them.

The key is called ``security`` and not ``credentials``: it also decides whether connections are
encrypted and which CA is trusted, and NATS has a kind of credentials that is called ``credentials``
itself.
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
"""A `valueFrom` of ECS: a secret's ARN (with JSON key, stage and version), or a parameter."""


def _is_reference(text: str) -> str:
    if not REFERENCE.fullmatch(text):
        raise ValueError(
            "this is not a reference to a secret; write ${secret:name}, ${ssm:/path} or an ARN"
        )
    return text


Reference = Annotated[str, AfterValidator(_is_reference)]
ContainerPath = Annotated[str, Field(pattern=r"^/\S+$")]


class EtcdTls(SpecModel):
    """TLS to etcd: the CA of its certificate, and the client certificate that Dynamo requires."""

    ca: Reference = Field(
        description="Reference to the certificate (PEM) of the CA that signed etcd's certificate."
    )
    client_cert: Reference = Field(description="Reference to the client certificate (PEM).")
    client_key: Reference = Field(
        description="Reference to the private key (PEM) of the client certificate."
    )


class EtcdSecurity(SpecModel):
    """How Dynamo and the daemon connect to etcd: TLS with a client certificate, or a password."""

    tls: EtcdTls | None = Field(
        default=None,
        description="TLS with a client certificate. Cannot be combined with username and "
        "password: Dynamo 1.6.1 uses a password only without TLS. Default: no TLS.",
    )
    username: Reference | None = Field(
        default=None, description="Reference to the name of an etcd user."
    )
    password: Reference | None = Field(
        default=None, description="Reference to the password of the etcd user."
    )

    @model_validator(mode="after")
    def _dynamo_supports_it(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("give username and password together")
        if self.tls is not None and self.username is not None:
            raise ValueError(
                "Dynamo uses a password for etcd without TLS only (1.6.1): keep tls, and name the "
                "user as the client certificate's common name; or keep username and password"
            )
        return self


class NatsTls(SpecModel):
    """TLS to NATS: references for the daemon, and paths of the same files in the containers."""

    ca: Reference | None = Field(
        default=None,
        description="Reference to the certificate (PEM) of the CA that signed NATS's certificate, "
        "for the daemon. Default: the system's certificate authorities.",
    )
    ca_path: ContainerPath | None = Field(
        default=None, description="Path of the CA's certificate in Dynamo's containers."
    )
    client_cert: Reference | None = Field(
        default=None, description="Reference to the client certificate (PEM), for the daemon."
    )
    client_cert_path: ContainerPath | None = Field(
        default=None, description="Path of the client certificate in Dynamo's containers."
    )
    client_key: Reference | None = Field(
        default=None,
        description="Reference to the private key (PEM) of the client certificate, for the daemon.",
    )
    client_key_path: ContainerPath | None = Field(
        default=None, description="Path of the private key in Dynamo's containers."
    )

    @model_validator(mode="after")
    def _has_both_forms_of_each(self) -> Self:
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
    """How Dynamo and the daemon connect to NATS: TLS, and one kind of credentials."""

    tls: NatsTls | None = Field(default=None, description="TLS. Default: no TLS.")
    username: Reference | None = Field(
        default=None, description="Reference to the name of a NATS user."
    )
    password: Reference | None = Field(
        default=None, description="Reference to the password of the NATS user."
    )
    token: Reference | None = Field(default=None, description="Reference to a token.")
    nkey: Reference | None = Field(
        default=None, description="Reference to the seed of a user's NKey."
    )
    credentials: Reference | None = Field(
        default=None,
        description="Reference to the text of a .creds file, for the daemon.",
    )
    credentials_path: ContainerPath | None = Field(
        default=None, description="Path of the .creds file in Dynamo's containers."
    )

    @model_validator(mode="after")
    def _has_one_kind_of_credentials(self) -> Self:
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
    """TLS and credentials of etcd and NATS."""

    etcd: EtcdSecurity = Field(default=EtcdSecurity(), description="TLS and credentials of etcd.")
    nats: NatsSecurity = Field(default=NatsSecurity(), description="TLS and credentials of NATS.")

    def references(self) -> tuple[str, ...]:
        """Return every reference to a secret, each once, sorted."""
        return tuple(sorted(set(_references(self))))


def _references(spec: SpecModel) -> Iterator[str]:
    for name in type(spec).model_fields:
        value = getattr(spec, name)
        if isinstance(value, SpecModel):
            yield from _references(value)
        elif isinstance(value, str) and not name.endswith("_path"):
            yield value
