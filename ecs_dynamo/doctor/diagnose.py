"""The observations of `ecs-dynamo doctor`, and the checks on them.

Each observation has a time limit and fails independently: its value is then `Unknown`. The checks
in `doctor.checks` turn values into findings.
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
from ecs_dynamo.aws.observe.guard import guard
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
from ecs_dynamo.model.ecs.gpus import gpus_of
from ecs_dynamo.model.ecs.task_definition import ecr_image, graph_roles, images_of, log_groups_of
from ecs_dynamo.model.errors import Problem
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
"""Time limit of one observation. They run concurrently, in at most three steps."""
REASON_LENGTH = 300
"""Maximum length of an error, in characters: a proxy may answer with a whole page."""

T = TypeVar("T")


async def _try(name: str, work: Awaitable[T]) -> Observed[T]:
    """Return the result of ``work``, or `Unknown` if AWS refuses or does not answer in time."""
    try:
        result = await guard("the call", work, CHECK_SECONDS)
    except (KeyError, TypeError, ValueError) as error:
        return Unknown(f"{name}: malformed answer ({type(error).__name__}: {error})")
    if isinstance(result, Unknown):
        reason = f"{name}: {result.reason}"
        return Unknown(textwrap.shorten(reason, REASON_LENGTH, placeholder="..."))
    return result


async def _try_each(
    names: Iterable[str], fetch: Callable[[str], Awaitable[T]]
) -> dict[str, Observed[T]]:
    """Return the result of ``fetch`` for each name."""
    keys = list(names)
    values = await asyncio.gather(*(_try(key, fetch(key)) for key in keys))
    return dict(zip(keys, values, strict=True))


async def diagnose(
    aws: Aws, graph: Graph, warnings: Iterable[Problem] = (), role: str | None = None
) -> list[Finding]:
    """Return all findings, worst first. It only reads, and never raises for a failed observation.

    ``warnings`` are those of the graph file; ``role`` is the ARN of the daemon's own role.
    """
    parts = await asyncio.gather(
        _identity(aws, graph, role),
        _ecs_and_network(aws, graph),
        _references(aws, graph),
        _names(aws, graph),
    )
    definitions = check_definitions(graph, [(_located(w), w.remedy or "") for w in warnings])
    return worst_first([*parts[0], *parts[1], *definitions, *parts[2], *parts[3]])


def _located(warning: Problem) -> str:
    """Return the warning with its location, without its remedy."""
    return str(Problem(warning.message, warning.file, warning.field, warning.line))


async def _identity(aws: Aws, graph: Graph, role: str | None) -> list[Finding]:
    identity = await _try("GetCallerIdentity", fetch_identity(aws))
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
    return await _try(
        "simulation of permissions", simulate_rights(aws, principal, simulations(policy))
    )


async def _ecs_and_network(aws: Aws, graph: Graph) -> list[Finding]:
    subnet_ids = {s for c in graph.components for s in c.network.subnets}
    gpus = any(gpus_of(c) for c in graph.components)
    snapshot, subnets, recommended, quotas = await asyncio.gather(
        observe_ecs(aws, graph, time.time(), CHECK_SECONDS / 2, GraphCache()),
        _try("subnets", describe_subnets(aws, subnet_ids)),
        _try("recommended AMIs", fetch_recommended_images(aws) if gpus else _nothing()),
        _try("quotas", fetch_quotas(aws, QUOTA_SERVICES, quota_names())),
    )
    hosts = await _hosts(aws, graph, snapshot)
    known_hosts = [h for group in hosts.values() if not isinstance(group, Unknown) for h in group]
    known = {} if isinstance(subnets, Unknown) else dict(subnets)
    vpcs = {s.vpc for s in known.values()} | {h.vpc for h in known_hosts}
    groups, tables, endpoints, host_subnets, images = await asyncio.gather(
        _try("security groups", describe_security_groups(aws, groups_needed(graph, known_hosts))),
        _try("route tables", describe_route_tables(aws, vpcs)),
        _try("VPC endpoints", describe_vpc_endpoints(aws, vpcs)),
        _try("subnets", describe_subnets(aws, {h.subnet for h in known_hosts} - known.keys())),
        _try("AMIs", fetch_image_names(aws, {h.image for h in known_hosts})),
    )
    all_subnets = subnets
    if not isinstance(subnets, Unknown) and not isinstance(host_subnets, Unknown):
        all_subnets = {**subnets, **host_subnets}
    elif isinstance(host_subnets, Unknown):
        all_subnets = host_subnets
    return [
        *check_clusters(graph, snapshot),
        *check_gpus(graph, snapshot),
        *check_sizes(graph, snapshot),
        *check_instances(graph, snapshot, hosts, images, recommended),
        *check_capacity(graph, snapshot),
        *check_quotas(graph, snapshot, quotas),
        *(check_subnets(graph, subnets) if own_interfaces(graph) else ()),
        *check_routes(graph, all_subnets, tables, endpoints, hosts),
        *check_security_groups(graph, groups, all_subnets, hosts),
    ]


async def _nothing() -> tuple[()]:
    return ()


async def _hosts(
    aws: Aws, graph: Graph, snapshot: Snapshot
) -> Mapping[str, Observed[tuple[Host, ...]]]:
    """Return the EC2 instances of each cluster in which tasks run on instances."""
    by_cluster: dict[str, Observed[tuple[Host, ...]]] = {}
    for cluster in graph.clusters:
        if not on_instances(graph, cluster):
            continue
        instances = snapshot.container_instances.get(
            cluster, Unknown(f"{cluster}: instances not observed")
        )
        if isinstance(instances, Unknown):
            by_cluster[cluster] = instances
            continue
        ids = {i.ec2_instance_id for i in instances if i.ec2_instance_id}
        hosts = await _try("EC2 instances", describe_hosts(aws, ids))
        by_cluster[cluster] = hosts if isinstance(hosts, Unknown) else tuple(hosts.values())
    return by_cluster


async def _references(aws: Aws, graph: Graph) -> list[Finding]:
    secrets, parameters = secret_references(graph)
    images = {i: e for i in images_of(graph) if (e := ecr_image(i)) is not None}
    checkable = {n: e for n, e in images.items() if e.region == graph.region}
    groups = [g.name for g in log_groups_of(graph.components) if g.region in (None, graph.region)]
    roles, secret_problems, parameter_problems, images_exist, groups_exist = await asyncio.gather(
        _try_each(graph_roles(graph), lambda arn: fetch_trusted_services(aws, arn)),
        _try_each(secrets, lambda name: find_secret_problem(aws, name)),
        _try("parameters", find_parameter_problems(aws, parameters)),
        _try_each(checkable, lambda name: image_exists(aws, checkable[name])),
        _try_each(groups, lambda name: log_group_exists(aws, name)),
    )
    elsewhere = {
        n: Unknown(f"not checked: it is in the Region {e.region}")
        for n, e in images.items()
        if n not in checkable
    }
    problems: dict[str, Observed[str | None]] = dict(secret_problems)
    if isinstance(parameter_problems, Unknown):
        problems |= dict.fromkeys(parameters, parameter_problems)
    else:
        problems |= parameter_problems
    return [
        *check_images(graph, {**elsewhere, **images_exist}),
        *check_secrets(problems),
        *check_log_groups(graph, groups_exist),
        *check_roles(graph, roles),
    ]


async def _names(aws: Aws, graph: Graph) -> list[Finding]:
    services, namespaces = await asyncio.gather(
        _try_each(registries_of(graph), lambda arn: fetch_cloud_map_service(aws, arn)),
        _try_each(namespaces_of(graph), lambda name: namespace_exists(aws, name)),
    )
    return list(check_names(graph, services, namespaces))
