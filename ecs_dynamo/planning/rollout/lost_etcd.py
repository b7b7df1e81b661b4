"""Replicas whose etcd is gone: they serve on for about 27 s (Dynamo 1.6.1) and then exit."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from ecs_dynamo.model.dynamo import ETCD_VARIABLE
from ecs_dynamo.model.snapshot import Task, Unknown
from ecs_dynamo.model.task_definition import environment_value
from ecs_dynamo.planning.desired.component import Wanted
from ecs_dynamo.planning.desired.context import Scene


def _infrastructure_hosts(scene: Scene) -> frozenset[str] | None:
    """Addresses of etcd's and NATS's tasks that run; None where not all of them are known."""
    if len(scene.infrastructure) < sum(c.is_infrastructure for c in scene.graph.components):
        return None
    hosts = set()
    for one in scene.infrastructure:
        if isinstance(one.seen.tasks, Unknown):
            return None
        for task in one.seen.tasks:
            if task.last_status == "RUNNING":
                if task.private_ip is None:
                    return None
                hosts.add(task.private_ip)
    return frozenset(hosts)


def without_etcd(scene: Scene, wanted: Wanted, tasks: Iterable[Task]) -> frozenset[str]:
    """ARNs of those of ``tasks`` whose etcd runs no more; none where that is not known.

    With an etcd that the user runs, or one that is reached by a name, the address tells nothing.
    """
    if scene.graph.external_etcd or scene.graph.names:
        return frozenset()
    hosts = _infrastructure_hosts(scene)
    if hosts is None:
        return frozenset()
    found = set()
    for task in tasks:
        revision = wanted.seen.revisions.get(task.task_definition_arn)
        urls = environment_value(revision.content, ETCD_VARIABLE) if revision else None
        if urls is not None and all(urlsplit(u).hostname not in hosts for u in urls.split(",")):
            found.add(task.arn)
    return frozenset(found)
