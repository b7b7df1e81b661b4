"""Checks of the Cloud Map services and namespaces that the graph refers to. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ecs_dynamo.model.doctor import CloudMapService, Finding, Severity
from ecs_dynamo.model.graph import Graph, namespaces_of, registries_of
from ecs_dynamo.model.snapshot import Observed, Unknown

MAX_TTL = 15
"""Maximum TTL in seconds: Dynamo's processes exit after 27 s without etcd."""


def check_names(
    graph: Graph,
    services: Mapping[str, Observed[CloudMapService | None]],
    namespaces: Mapping[str, Observed[bool]],
) -> Iterator[Finding]:
    """Check that each exists, and that each service has the declared name.

    ``services`` has None for a missing one.
    """
    for arn, names in registries_of(graph).items():
        for name in sorted(names):
            yield _service(arn, name, services.get(arn, Unknown("not checked")))
    for namespace in sorted(namespaces_of(graph)):
        exists = namespaces.get(namespace, Unknown("not checked"))
        text = f"namespace {namespace}"
        if isinstance(exists, Unknown):
            yield Finding(
                "names", Severity.UNKNOWN, f"{text}: {exists.reason}", "grant the permission"
            )
        elif exists:
            yield Finding("names", Severity.OK, text)
        else:
            remedy = "aws servicediscovery create-http-namespace, in the graph's Region"
            yield Finding("names", Severity.ERROR, f"{text} does not exist here", remedy)


def _service(arn: str, name: str, service: Observed[CloudMapService | None]) -> Finding:
    if isinstance(service, Unknown):
        return Finding(
            "names", Severity.UNKNOWN, f"{arn}: {service.reason}", "grant the permission"
        )
    if service is None:
        remedy = "create it in Cloud Map, with A records, or correct registryArn"
        return Finding("names", Severity.ERROR, f"{arn} does not exist", remedy)
    if service.a_record_ttl is None:
        remedy = (
            "create one with A records in a private DNS namespace: Dynamo uses no other records"
        )
        return Finding("names", Severity.ERROR, f"{service.dns_name} has no A records", remedy)
    if service.dns_name != name:
        remedy = f"set dnsName to {service.dns_name}, or correct registryArn"
        return Finding("names", Severity.ERROR, f"{arn} is {service.dns_name}, not {name}", remedy)
    if service.a_record_ttl > MAX_TTL:
        ttl = service.a_record_ttl
        text = f"{name} has a TTL of {ttl} s, for which a previous address stays in use"
        return Finding("names", Severity.WARNING, text, f"set it to {MAX_TTL} or less")
    return Finding("names", Severity.OK, f"{name} (A records, TTL {service.a_record_ttl} s)")
