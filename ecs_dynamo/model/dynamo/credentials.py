"""Environment variables that carry the credentials of etcd and NATS to Dynamo's containers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ecs_dynamo.model.ecs.secrets import secret_values
from ecs_dynamo.model.graph import Component
from ecs_dynamo.model.spec.security import SecuritySpec


def task_references(components: Iterable[Component], security: SecuritySpec) -> set[str]:
    """Return the references that ECS resolves for the components' tasks, with injected ones."""
    components = list(components)
    references = {r for c in components for r in secret_values(c)}
    if any(not c.is_infrastructure for c in components):
        references |= set(secret_variables(security).values())
    return references


def secret_variables(security: SecuritySpec) -> Mapping[str, str]:
    """Return the `valueFrom` of each variable that carries a secret to Dynamo's containers.

    Dynamo takes etcd's certificates as texts, and those of NATS as paths (`path_variables`).
    """
    etcd, nats = security.etcd, security.nats
    variables = {
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
    return {name: value for name, value in variables.items() if value is not None}


def path_variables(security: SecuritySpec) -> Mapping[str, str]:
    """Return the path of each variable that names a file in the image or on a volume."""
    tls = security.nats.tls
    variables = {
        "NATS_TLS_CA_CERT_PATH": tls.ca_path if tls else None,
        "NATS_TLS_CLIENT_CERT_PATH": tls.client_cert_path if tls else None,
        "NATS_TLS_CLIENT_KEY_PATH": tls.client_key_path if tls else None,
        "NATS_AUTH_CREDENTIALS_FILE": security.nats.credentials_path,
    }
    return {name: value for name, value in variables.items() if value is not None}
