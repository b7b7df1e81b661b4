"""Environment variables that carry the credentials of etcd and NATS to Dynamo's containers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ecs_dynamo.model.ecs.secrets import secret_values
from ecs_dynamo.model.graph import Component
from ecs_dynamo.model.spec.security import SecuritySpec


def task_references(components: Iterable[Component], security: SecuritySpec) -> set[str]:
    """The references that ECS resolves for the components' tasks, injected ones included."""
    components = list(components)
    found = {r for c in components for r in secret_values(c)}
    if any(not c.is_infrastructure for c in components):
        found |= set(secret_variables(security).values())
    return found


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
