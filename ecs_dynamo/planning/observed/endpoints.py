"""Where the endpoints come from: the private IP of an infrastructure replica that answered.

A RUNNING task is not yet an endpoint: etcd may still elect and NATS may still load its store, so
an endpoint is only taken from a replica whose health check answered. The price is one probe a
pass; the gain is that no dependant ever starts against an address that was not there. A declared
name stands for the address in what dependants get, from the same moment on.
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
    member_urls,
    membership,
)
from ecs_dynamo.planning.observed.lookup import (
    in_force,
    known_service,
    known_tasks,
)


def address_of(component: Component, task: Task, container_port: int) -> tuple[str, int] | None:
    """IP and port at which ``container_port`` of ``task`` is reached; None while not known.

    awsvpc and host: the port itself. bridge: the host port that ECS mapped it to.
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


def probe_targets(
    graph: Graph, component: Component, tasks: Iterable[Task]
) -> dict[tuple[str, Role], str]:
    """The health-check URL of each running task, by task ARN and role.

    Workers have none: they are ready when they are registered in Dynamo's discovery.
    """
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
    """The endpoints in the environment of a revision's Dynamo containers."""
    names = dynamo_containers(component).names
    return Endpoints(
        etcd=environment_value(revision.content, ETCD_VARIABLE, names),
        nats=environment_value(revision.content, NATS_VARIABLE, names),
    )


def endpoint_hosts(endpoints: Endpoints) -> frozenset[str | None]:
    """The hosts in the URLs of ``endpoints``."""
    urls = [url for text in (endpoints.etcd, endpoints.nats) if text for url in text.split(",")]
    return frozenset(urlsplit(url).hostname for url in urls)


def injected_endpoints(graph: Graph, snapshot: Snapshot) -> Mapping[str, Endpoints]:
    """The endpoints that each dependant's service has in its revision now, by component."""
    found: dict[str, Endpoints] = {}
    for component in graph.components:
        seen = snapshot.components.get(component.name)
        service = known_service(seen) if seen else None
        if component.is_infrastructure or seen is None or service is None:
            continue
        revision = seen.revisions.get(service.task_definition_arn)
        if revision is not None:
            found[component.name] = endpoints_in(component, revision)
    return found


def ready_urls(graph: Graph, snapshot: Snapshot, role: Role) -> tuple[str, ...]:
    """URLs of the replicas with ``role`` that answered, the one to prefer first.

    Preferred: a replica of the service's deployment in force, then the URL that dependants already
    have (so that nothing rolls without need), then the longest running.
    """
    component = graph.with_role(role)
    seen = snapshot.components.get(component.name) if component else None
    if component is None or seen is None:
        return ()
    service = known_service(seen)
    injected = {
        getattr(endpoints, role.value, None)
        for endpoints in injected_endpoints(graph, snapshot).values()
    }
    ranked = []
    for task in known_tasks(seen):
        probe = seen.probes.get((task.arn, role))
        url = _url(graph, component, task, role)
        if url is None or not task.is_running or probe is None or not probe.healthy:
            continue
        started = task.started_at if task.started_at is not None else float("inf")
        former = service is None or not in_force(service, task)
        ranked.append(((former, url not in injected, started, task.arn), url))
    return tuple(url for _, url in sorted(ranked))


def reachable_endpoints(graph: Graph, snapshot: Snapshot) -> Endpoints:
    """Where the daemon itself reaches etcd and NATS now; None for what nothing ready serves.

    Always addresses: Service Connect's names are known inside of client tasks alone.
    """

    def resolve(role: Role, external: tuple[str, ...]) -> str | None:
        if external:
            answered = [u for u in external if u in snapshot.external]
            if any(snapshot.external[u].healthy for u in answered):
                return ",".join(external)
            return None
        urls = ready_urls(graph, snapshot, role)
        return urls[0] if urls else None

    if graph.etcd_members:
        injected = injected_endpoints(graph, snapshot)
        etcd = member_urls(
            membership(graph, snapshot), {name: ends.etcd for name, ends in injected.items()}
        )
    else:
        etcd = resolve(Role.ETCD, graph.external_etcd)
    return Endpoints(etcd=etcd, nats=resolve(Role.NATS, graph.external_nats))


def share_endpoints(one: str | None, other: str | None) -> bool:
    """Whether who has ``one`` is served at ``other`` too: by two servers, or by its only one."""
    if one is None or other is None:
        return one == other
    mine, theirs = {*one.split(",")}, {*other.split(",")}
    return len(mine & theirs) >= min(2, len(mine))


def resolve_endpoints(graph: Graph, snapshot: Snapshot) -> Endpoints:
    """The endpoints that dependants should have now; None for what nothing ready serves.

    Where there is a name it is the same for every replica, so that a replaced one moves nothing.
    """
    reachable = reachable_endpoints(graph, snapshot)

    def named(role: Role, url: str | None) -> str | None:
        if url is None or role not in graph.names:
            return url
        port, scheme = _port_and_scheme(graph, role)
        return f"{scheme}://{graph.names[role]}:{port}"

    return Endpoints(named(Role.ETCD, reachable.etcd), named(Role.NATS, reachable.nats))


def endpoints_complete(graph: Graph, endpoints: Endpoints) -> bool:
    """Whether dependants may start: etcd always; NATS where the graph has one."""
    return endpoints.etcd is not None and (endpoints.nats is not None or not graph.has_nats)
