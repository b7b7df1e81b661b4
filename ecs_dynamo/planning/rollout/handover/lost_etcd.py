"""Replicas whose etcd is gone: they serve for about 27 s more (Dynamo 1.6.1) and then exit."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from ecs_dynamo.model.dynamo.variables import ETCD_VARIABLE
from ecs_dynamo.model.ecs.task_definition import environment_value
from ecs_dynamo.model.snapshot import Task, Unknown
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.context import PlanContext


def _infrastructure_hosts(context: PlanContext) -> frozenset[str] | None:
    """Return the addresses of running infrastructure tasks; None if not all of them are known."""
    if len(context.infrastructure) < sum(c.is_infrastructure for c in context.graph.components):
        return None
    hosts = set()
    for state in context.infrastructure:
        tasks = state.observed.snapshot.tasks
        if isinstance(tasks, Unknown):
            return None
        for task in tasks:
            if task.last_status == "RUNNING":
                if task.private_ip is None:
                    return None
                hosts.add(task.private_ip)
    return frozenset(hosts)


def without_etcd(
    context: PlanContext, state: ComponentState, tasks: Iterable[Task]
) -> frozenset[str]:
    """Return the ARNs of those of ``tasks`` whose etcd no longer runs; none if this is unknown.

    The address does not show it for an external etcd, or one that is reached by a service name.
    """
    if context.graph.external_etcd or context.graph.names:
        return frozenset()
    hosts = _infrastructure_hosts(context)
    if hosts is None:
        return frozenset()
    revisions = state.observed.snapshot.revisions
    arns = set()
    for task in tasks:
        revision = revisions.get(task.task_definition_arn)
        urls = environment_value(revision.content, ETCD_VARIABLE) if revision else None
        if urls is not None and all(urlsplit(u).hostname not in hosts for u in urls.split(",")):
            arns.add(task.arn)
    return frozenset(arns)
