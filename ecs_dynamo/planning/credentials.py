"""What the graph's containers are told of TLS and credentials, under the names that Dynamo reads.

Secrets travel as ECS `secrets` references, and files by their paths (names: Dynamo 1.6.1, each
measured). What the user's own task definition says under a name stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecs_dynamo.model.security_spec import SecuritySpec


def secret_variables(security: SecuritySpec) -> Mapping[str, str]:
    """Variable -> `valueFrom`. etcd's certificates are texts to Dynamo, not paths."""
    etcd, nats = security.etcd, security.nats
    found = {
        "ETCD_AUTH_CA": etcd.tls.ca if etcd.tls else None,
        "ETCD_AUTH_CLIENT_CERT": etcd.tls.client_cert if etcd.tls else None,
        "ETCD_AUTH_CLIENT_KEY": etcd.tls.client_key if etcd.tls else None,
        "ETCD_AUTH_USERNAME": etcd.username,
        "ETCD_AUTH_PASSWORD": etcd.password,
        "NATS_AUTH_USERNAME": nats.username,
        "NATS_AUTH_PASSWORD": nats.password,
        "NATS_AUTH_TOKEN": nats.token,
        "NATS_AUTH_NKEY": nats.nkey,
    }
    return {name: value for name, value in found.items() if value is not None}


def path_variables(security: SecuritySpec) -> Mapping[str, str]:
    """Variable -> path of a file that the image or a volume has."""
    tls = security.nats.tls
    found = {
        "NATS_TLS_CA_CERT_PATH": tls.ca_path if tls else None,
        "NATS_TLS_CLIENT_CERT_PATH": tls.client_cert_path if tls else None,
        "NATS_TLS_CLIENT_KEY_PATH": tls.client_key_path if tls else None,
        "NATS_AUTH_CREDENTIALS_FILE": security.nats.credentials_path,
    }
    return {name: value for name, value in found.items() if value is not None}


def add_secrets(container: dict[str, Any], security: SecuritySpec) -> None:
    """Add the references to ``container``, but for names that it has already."""
    taken = {e["name"] for key in ("environment", "secrets") for e in container.get(key, ())}
    added = [
        {"name": name, "valueFrom": reference}
        for name, reference in sorted(secret_variables(security).items())
        if name not in taken
    ]
    if added:
        container["secrets"] = [*container.get("secrets", ()), *added]


def secret_id(reference: str) -> str:
    """The id of a Secrets Manager secret without JSON key, stage and version."""
    return ":".join(reference.split(":")[:7])


def parameter_names(reference: str) -> tuple[str, ...]:
    """The names that the SSM parameter behind ``reference``, a name or an ARN, may have.

    The ARN ``parameter/app/key`` belongs to ``/app/key``. At the top level the ARN drops the
    slash of a hierarchy: ``parameter/key`` belongs to ``key`` or to ``/key``, and only the
    store knows which (SSM user guide, "Understanding requirements and constraints for parameter
    names").
    """
    if not reference.startswith("arn:"):
        return (reference,)
    name = reference.split(":parameter/", 1)[-1]
    return (f"/{name}",) if "/" in name else (name, f"/{name}")


def is_secret(reference: str) -> bool:
    """Whether Secrets Manager has it; else it is a parameter of SSM's."""
    return ":secretsmanager:" in reference
