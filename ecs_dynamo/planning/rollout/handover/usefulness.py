"""How useful each old task is, where not all of them can be kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from ecs_dynamo.model.snapshot import Task
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.context import PlanContext
from ecs_dynamo.planning.observed.endpoints import endpoint_hosts, endpoints_in
from ecs_dynamo.planning.rollout.handover.lost_etcd import without_etcd


def in_use(context: PlanContext, state: ComponentState, tasks: Sequence[Task]) -> frozenset[str]:
    """Return the ARNs of tasks in use: those that may serve, or are at an injected endpoint."""
    if not state.component.is_infrastructure:
        may_serve = state.observed.readiness.may_serve
        return frozenset(t.arn for t in tasks if t.arn in may_serve)
    injected = context.observed.injected.values()
    hosts = frozenset[str | None]().union(*map(endpoint_hosts, injected))
    return frozenset(t.arn for t in tasks if t.private_ip in hosts)


def _users(context: PlanContext, tasks: Sequence[Task]) -> dict[str, tuple[int, bool]]:
    """Return who uses each infrastructure task, by ARN.

    The pair holds the number of components with replicas that serve and were started with it, and
    whether frontends are among them. The revisions that services are set to now do not show this:
    they may name a newer task, with which no replica serves yet, or only workers do.
    """
    users: dict[str | None, set[str]] = defaultdict(set)
    for state in context.dependants:
        known_to_serve = state.observed.readiness.known_to_serve
        for task in state.observed.running:
            revision = state.observed.snapshot.revisions.get(task.task_definition_arn)
            if task.arn in known_to_serve and revision is not None:
                for host in endpoint_hosts(endpoints_in(state.component, revision)):
                    users[host].add(state.name)
    frontends = {s.name for s in context.dependants if s.component.is_frontend}
    return {
        t.arn: (len(users[t.private_ip]), not users[t.private_ip].isdisjoint(frontends))
        for t in tasks
        if t.private_ip is not None
    }


def most_useful_first(
    context: PlanContext, state: ComponentState, tasks: Sequence[Task]
) -> list[Task]:
    """Return ``tasks``, the most useful first; the package's docstring has the order as a table.

    A task whose etcd is gone comes last, because it exits soon. Tasks that are known to serve come
    before others that are in use: after two moves in a row, a task that is registered with the
    previous etcd still serves, while one of unknown readiness may never have answered.
    """
    lost, now = without_etcd(context, state, tasks), context.now.wall
    used = in_use(context, state, tasks)
    if state.component.is_infrastructure:
        users = _users(context, tasks)
    else:
        users = dict.fromkeys(state.observed.readiness.known_to_serve, (1, False))

    def rank(task: Task) -> tuple[bool, int, bool, bool, float, str]:
        arn = task.arn
        count, has_frontends = users.get(arn, (0, False))
        started = task.started_at or now
        return (arn in lost, -count, not has_frontends, arn not in used, started, arn)

    return sorted(tasks, key=rank)
