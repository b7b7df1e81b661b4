"""`doctor`: everything that commonly stands in the way, looked at in one go.

Each look is bounded in time and fails on its own: what it could not see is `Unknown`. What is made
of it is decided in `planning.doctor`.
"""

from __future__ import annotations

import asyncio
import textwrap
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeVar

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.inspect.network import (
    describe_hosts,
    describe_route_tables,
    describe_security_groups,
    describe_subnets,
    describe_vpc_endpoints,
    fetch_image_names,
)
from ecs_dynamo.aws.inspect.references import (
    fetch_cloud_map_service,
    fetch_identity,
    fetch_quotas,
    fetch_recommended_images,
    fetch_trusted_services,
    find_parameter_problems,
    find_secret_problem,
    image_exists,
    log_group_exists,
    namespace_exists,
    simulate_rights,
)
from ecs_dynamo.aws.observe.ecs import observe_ecs
from ecs_dynamo.aws.observe.graph_cache import GraphCache
from ecs_dynamo.doctor.checks.base import (
    on_instances,
    worst_first,
)
from ecs_dynamo.doctor.checks.capacity import check_capacity
from ecs_dynamo.doctor.checks.compute import (
    check_clusters,
    check_gpus,
    check_instances,
    check_sizes,
)
from ecs_dynamo.doctor.checks.identity import (
    check_identity,
    check_rights,
    principal_of,
    simulations,
)
from ecs_dynamo.doctor.checks.names import check_names
from ecs_dynamo.doctor.checks.network import (
    check_routes,
    check_subnets,
    own_interfaces,
)
from ecs_dynamo.doctor.checks.quotas import SERVICES as QUOTA_SERVICES
from ecs_dynamo.doctor.checks.quotas import (
    check_quotas,
    quota_names,
)
from ecs_dynamo.doctor.checks.references import (
    check_definitions,
    check_images,
    check_log_groups,
    check_roles,
    check_secrets,
    secret_references,
)
from ecs_dynamo.doctor.checks.security_groups import (
    check_security_groups,
    groups_needed,
)
from ecs_dynamo.iam.daemon import daemon_policy
from ecs_dynamo.model.doctor import Finding, Host, Identity, Simulated
from ecs_dynamo.model.ecs.task_definition import (
    ecr_image,
    gpus_of,
    graph_roles,
    images_of,
    log_groups_of,
)
from ecs_dynamo.model.errors import AwsError, Problem
from ecs_dynamo.model.graph import (
    Graph,
    namespaces_of,
    registries_of,
)
from ecs_dynamo.model.snapshot import Observed, Snapshot, Unknown

SERVICES = (
    *("ecs", "ec2", "sts", "iam", "secretsmanager", "ssm", "autoscaling"),
    *("ecr", "logs", "service-quotas", "servicediscovery"),
)
CHECK_SECONDS = 30.0
"""For one look; the looks run side by side, in at most three steps."""
REASON_LENGTH = 300
"""Of what stands between, a proxy may answer with a whole page."""

T = TypeVar("T")


async def _look(name: str, work: Awaitable[T]) -> Observed[T]:
    """What ``work`` gives, within its time; `Unknown` where AWS refuses or does not answer."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await work
    except AwsError as error:
        return Unknown(textwrap.shorten(f"{name}: {error}", REASON_LENGTH, placeholder="..."))
    except TimeoutError:
        return Unknown(f"{name}: no answer within {CHECK_SECONDS:.0f} s")
    except (KeyError, TypeError, ValueError) as error:
        return Unknown(f"{name}: the answer is not understood ({type(error).__name__}: {error})")


async def _each(
    names: Iterable[str], look: Callable[[str], Awaitable[T]]
) -> dict[str, Observed[T]]:
    wanted = list(names)
    seen = await asyncio.gather(*(_look(name, look(name)) for name in wanted))
    return dict(zip(wanted, seen, strict=True))


async def diagnose(
    aws: Aws, graph: Graph, warnings: Iterable[Problem] = (), role: str | None = None
) -> list[Finding]:
    """Every finding, worst first. Reads only; never raises for what it can not see.

    ``warnings`` are those of the graph file, ``role`` is the ARN of the daemon's own role.
    """
    parts = await asyncio.gather(
        _identity(aws, graph, role),
        _ecs_and_network(aws, graph),
        _references(aws, graph),
        _names(aws, graph),
    )
    told = [(_place(w), w.remedy or "") for w in warnings]
    return worst_first(
        [*parts[0], *parts[1], *check_definitions(graph, told), *parts[2], *parts[3]],
    )


def _place(warning: Problem) -> str:
    return str(Problem(warning.message, warning.file, warning.field, warning.line))


async def _identity(aws: Aws, graph: Graph, role: str | None) -> list[Finding]:
    identity = await _look("GetCallerIdentity", fetch_identity(aws))
    rights = await _rights(aws, graph, identity, role)
    return [*check_identity(graph, identity), *check_rights(rights, named=role is not None)]


async def _rights(
    aws: Aws, graph: Graph, identity: Observed[Identity], role: str | None
) -> Observed[Simulated]:
    if isinstance(identity, Unknown):
        return identity
    principal = role or principal_of(identity.arn)
    if principal is None:
        return Unknown(f"{identity.arn} has no policies that could be simulated")
    policy = daemon_policy(graph, graph.region or "us-east-1", identity.account)
    asked = simulate_rights(aws, principal, simulations(policy))
    return await _look("could not be simulated", asked)


async def _ecs_and_network(aws: Aws, graph: Graph) -> list[Finding]:
    subnet_ids = {s for c in graph.components for s in c.network.subnets}
    gpus = any(gpus_of(c) for c in graph.components)
    snapshot, subnets, recommended, quotas = await asyncio.gather(
        observe_ecs(aws, graph, time.time(), CHECK_SECONDS / 2, GraphCache()),
        _look("subnets", describe_subnets(aws, subnet_ids)),
        _look("recommended AMIs", fetch_recommended_images(aws) if gpus else _nothing()),
        _look("quotas", fetch_quotas(aws, QUOTA_SERVICES, quota_names())),
    )
    hosts = await _hosts(aws, graph, snapshot)
    seen = [h for found in hosts.values() if not isinstance(found, Unknown) for h in found]
    known = {} if isinstance(subnets, Unknown) else dict(subnets)
    vpcs = {s.vpc for s in known.values()} | {h.vpc for h in seen}
    groups, tables, endpoints, theirs, images = await asyncio.gather(
        _look("security groups", describe_security_groups(aws, groups_needed(graph, seen))),
        _look("route tables", describe_route_tables(aws, vpcs)),
        _look("VPC endpoints", describe_vpc_endpoints(aws, vpcs)),
        _look("subnets", describe_subnets(aws, {h.subnet for h in seen} - known.keys())),
        _look("AMIs", fetch_image_names(aws, {h.image for h in seen})),
    )
    both = subnets
    if not isinstance(subnets, Unknown) and not isinstance(theirs, Unknown):
        both = {**subnets, **theirs}
    elif isinstance(theirs, Unknown):
        both = theirs
    return [
        *check_clusters(graph, snapshot),
        *check_gpus(graph, snapshot),
        *check_sizes(graph, snapshot),
        *check_instances(graph, snapshot, hosts, images, recommended),
        *check_capacity(graph, snapshot),
        *check_quotas(graph, snapshot, quotas),
        *(check_subnets(graph, subnets) if own_interfaces(graph) else ()),
        *check_routes(graph, both, tables, endpoints, hosts),
        *check_security_groups(graph, groups, both, hosts),
    ]


async def _nothing() -> tuple[()]:
    return ()


async def _hosts(
    aws: Aws, graph: Graph, snapshot: Snapshot
) -> Mapping[str, Observed[tuple[Host, ...]]]:
    """The EC2 instances behind each cluster's container instances, where tasks run on such."""
    found: dict[str, Observed[tuple[Host, ...]]] = {}
    for cluster in graph.clusters:
        if not on_instances(graph, cluster):
            continue
        seen = snapshot.container_instances.get(cluster, Unknown(f"{cluster}: instances not seen"))
        if isinstance(seen, Unknown):
            found[cluster] = seen
            continue
        ids = {i.ec2_instance_id for i in seen if i.ec2_instance_id}
        hosts = await _look("EC2 instances", describe_hosts(aws, ids))
        found[cluster] = hosts if isinstance(hosts, Unknown) else tuple(hosts.values())
    return found


async def _references(aws: Aws, graph: Graph) -> list[Finding]:
    secrets, parameters = secret_references(graph)
    images = {i: e for i in images_of(graph) if (e := ecr_image(i)) is not None}
    here = {n: e for n, e in images.items() if e.region == graph.region}
    groups = [g.name for g in log_groups_of(graph) if g.region in (None, graph.region)]
    roles, seen_secrets, seen_parameters, seen_images, seen_groups = await asyncio.gather(
        _each(graph_roles(graph), lambda arn: fetch_trusted_services(aws, arn)),
        _each(secrets, lambda name: find_secret_problem(aws, name)),
        _look("parameters", find_parameter_problems(aws, parameters)),
        _each(here, lambda name: image_exists(aws, here[name])),
        _each(groups, lambda name: log_group_exists(aws, name)),
    )
    elsewhere = {
        n: Unknown(f"not checked, in the Region {e.region}")
        for n, e in images.items()
        if n not in here
    }
    all_secrets: dict[str, Observed[str | None]] = dict(seen_secrets)
    if isinstance(seen_parameters, Unknown):
        all_secrets |= dict.fromkeys(parameters, seen_parameters)
    else:
        all_secrets |= seen_parameters
    return [
        *check_images(graph, {**elsewhere, **seen_images}),
        *check_secrets(all_secrets),
        *check_log_groups(graph, seen_groups),
        *check_roles(graph, roles),
    ]


async def _names(aws: Aws, graph: Graph) -> list[Finding]:
    services, namespaces = await asyncio.gather(
        _each(registries_of(graph), lambda arn: fetch_cloud_map_service(aws, arn)),
        _each(namespaces_of(graph), lambda name: namespace_exists(aws, name)),
    )
    return list(check_names(graph, services, namespaces))
