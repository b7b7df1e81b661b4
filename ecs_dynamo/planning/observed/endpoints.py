"""The endpoints of etcd and NATS: private addresses of infrastructure replicas that answered.

A RUNNING task is not an endpoint yet: etcd may still be electing a leader, and NATS may still be
loading its store. An endpoint is therefore taken only from a replica whose health check answered,
so that no dependant starts with an address that does not work; this costs one probe per replica and
pass. Where a service name is declared, dependants get the name instead of the address, from the
same moment on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from ecs_dynamo.model.dynamo.containers import dynamo_containers
from ecs_dynamo.model.dynamo.variables import (
    ETCD_VARIABLE,
    NATS_VARIABLE,
)
from ecs_dynamo.model.ecs.task_definition import environment_value
from ecs_dynamo.model.graph import (
    ETCD_CLIENT_PORT,
    NATS_CLIENT_PORT,
    Component,
    Graph,
    NetworkMode,
    Role,
)
from ecs_dynamo.model.plan import Endpoints
from ecs_dynamo.model.snapshot import Revision, Snapshot, Task
from ecs_dynamo.planning.observed.etcd_membership import (
    Membership,
    find_membership,
    member_urls,
)
from ecs_dynamo.planning.observed.lookup import (
    in_force,
    known_service,
    known_tasks,
)


def address_of(component: Component, task: Task, container_port: int) -> tuple[str, int] | None:
    """Return the IP and port at which ``container_port`` of ``task`` is reached; None if unknown.

    In awsvpc and host mode this is the port itself, in bridge mode the host port that ECS mapped.
    """
    if task.private_ip is None:
        return None
    if component.network_mode is not NetworkMode.BRIDGE:
        return task.private_ip, container_port
    for container in task.containers:
        for binding in container.bindings:
            if binding.container_port == container_port:
                return task.private_ip, binding.host_port
    return None


def _port_and_scheme(graph: Graph, role: Role) -> tuple[int, str]:
    return {
        Role.ETCD: (ETCD_CLIENT_PORT, "https" if graph.security.etcd.tls else "http"),
        Role.NATS: (NATS_CLIENT_PORT, "tls" if graph.security.nats.tls else "nats"),
        Role.FRONTEND: (graph.runtime.frontend_port, "http"),
    }[role]


def _url(graph: Graph, component: Component, task: Task, role: Role) -> str | None:
    port, scheme = _port_and_scheme(graph, role)
    address = address_of(component, task, port)
    return f"{scheme}://{address[0]}:{address[1]}" if address else None


PROBED_ROLES = (Role.ETCD, Role.NATS, Role.FRONTEND)
"""Workers are not probed: they are ready when they are registered in Dynamo's discovery."""


def probe_targets(
    graph: Graph, component: Component, tasks: Iterable[Task]
) -> dict[tuple[str, Role], str]:
    """Return the health-check URL of each running task, by task ARN and role."""
    targets: dict[tuple[str, Role], str] = {}
    for task in tasks:
        if not task.is_running:
            continue
        for role in PROBED_ROLES:
            url = _url(graph, component, task, role) if role in component.roles else None
            if url is not None:
                targets[task.arn, role] = url
    return targets


def endpoints_in(component: Component, revision: Revision) -> Endpoints:
    """Return the endpoints in the environment of a revision's Dynamo containers."""
    names = dynamo_containers(component).names
    return Endpoints(
        etcd=environment_value(revision.content, ETCD_VARIABLE, names),
        nats=environment_value(revision.content, NATS_VARIABLE, names),
    )


def endpoint_hosts(endpoints: Endpoints) -> frozenset[str | None]:
    """Return the hosts in the URLs of ``endpoints``."""
    urls = [url for text in (endpoints.etcd, endpoints.nats) if text for url in text.split(",")]
    return frozenset(urlsplit(url).hostname for url in urls)


def injected_endpoints(graph: Graph, snapshot: Snapshot) -> Mapping[str, Endpoints]:
    """Return the endpoints in the current revision of each dependant's service, by component."""
    injected: dict[str, Endpoints] = {}
    for component in graph.components:
        observed = snapshot.components.get(component.name)
        service = known_service(observed) if observed else None
        if component.is_infrastructure or observed is None or service is None:
            continue
        revision = observed.revisions.get(service.task_definition_arn)
        if revision is not None:
            injected[component.name] = endpoints_in(component, revision)
    return injected


def ready_urls(
    graph: Graph, snapshot: Snapshot, role: Role, injected: Mapping[str, Endpoints] | None = None
) -> tuple[str, ...]:
    """Return the URLs of the replicas with ``role`` that answered, the preferred one first.

    A replica of the deployment in force is preferred, then a URL that dependants already have (so
    that no rollout is needed), then the longest running replica. ``injected`` are the endpoints of
    `injected_endpoints`, where the caller has them already.
    """
    component = graph.with_role(role)
    observed = snapshot.components.get(component.name) if component else None
    if component is None or observed is None:
        return ()
    service = known_service(observed)
    injected = injected_endpoints(graph, snapshot) if injected is None else injected
    used = {getattr(endpoints, role.value, None) for endpoints in injected.values()}
    ranked = []
    for task in known_tasks(observed):
        probe = observed.probes.get((task.arn, role))
        url = _url(graph, component, task, role)
        if url is None or not task.is_running or probe is None or not probe.healthy:
            continue
        started = task.started_at if task.started_at is not None else float("inf")
        old = service is None or not in_force(service, task)
        ranked.append(((old, url not in used, started, task.arn), url))
    return tuple(url for _, url in sorted(ranked))


def reachable_endpoints(
    graph: Graph,
    snapshot: Snapshot,
    injected: Mapping[str, Endpoints] | None = None,
    membership: Membership | None = None,
) -> Endpoints:
    """Return where the daemon itself reaches etcd and NATS; None for what no ready replica serves.

    These are always addresses: names of Service Connect resolve inside client tasks only.
    ``injected`` and ``membership`` are passed where the caller has them already.
    """
    injected = injected_endpoints(graph, snapshot) if injected is None else injected

    def resolve(role: Role, external: tuple[str, ...]) -> str | None:
        if external:
            answers = (snapshot.external.get(url) for url in external)
            return ",".join(external) if any(a is not None and a.healthy for a in answers) else None
        urls = ready_urls(graph, snapshot, role, injected)
        return urls[0] if urls else None

    if graph.etcd_members:
        membership = find_membership(graph, snapshot) if membership is None else membership
        etcd = member_urls(membership, {name: e.etcd for name, e in injected.items()})
    else:
        etcd = resolve(Role.ETCD, graph.external_etcd)
    return Endpoints(etcd=etcd, nats=resolve(Role.NATS, graph.external_nats))


def with_service_names(graph: Graph, reachable: Endpoints) -> Endpoints:
    """Return the endpoints for dependants: ``reachable`` with declared names for the addresses.

    A name is the same for every replica, so that replacing one makes no dependant stale.
    """

    def named(role: Role, url: str | None) -> str | None:
        if url is None or role not in graph.names:
            return url
        port, scheme = _port_and_scheme(graph, role)
        return f"{scheme}://{graph.names[role]}:{port}"

    return Endpoints(named(Role.ETCD, reachable.etcd), named(Role.NATS, reachable.nats))


def resolve_endpoints(graph: Graph, snapshot: Snapshot) -> Endpoints:
    """Return the endpoints that dependants should have; None for what no ready replica serves."""
    return with_service_names(graph, reachable_endpoints(graph, snapshot))


def share_endpoints(current: str | None, new: str | None) -> bool:
    """Return whether a process with the URLs ``current`` is served by the URLs ``new``, too.

    It is if two servers are in both lists, or its only server is.
    """
    if current is None or new is None:
        return current == new
    servers, new_servers = {*current.split(",")}, {*new.split(",")}
    return len(servers & new_servers) >= min(2, len(servers))


def endpoints_complete(graph: Graph, endpoints: Endpoints) -> bool:
    """Return whether dependants may start: they need etcd, and NATS where the graph has one."""
    return endpoints.etcd is not None and (endpoints.nats is not None or not graph.has_nats)
