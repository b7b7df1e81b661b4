"""Whether the daemon can reach the tasks at all.

Endpoints are injected only after they answered, so a daemon outside the VPC, or one that a security
group keeps out, would wait indefinitely while ECS reports every task as healthy. One replica that
does not answer is that replica's fault; when none of those that have run for a while accepts or
even refuses a connection, the network between is.
"""

from __future__ import annotations

from collections.abc import Iterator

from ecs_dynamo.model.graph import INFRASTRUCTURE_ROLES
from ecs_dynamo.model.snapshot import Probe, Snapshot
from ecs_dynamo.planning.observed.lookup import known_tasks

STARTED_SECONDS = 30.0
"""How long a task has to run before a missing answer says something about the network."""
LISTED = 3


def _probes(snapshot: Snapshot) -> Iterator[Probe]:
    """The probes of tasks that have run for a while."""
    for seen in snapshot.components.values():
        started = {
            t.arn
            for t in known_tasks(seen)
            if t.is_running
            and t.started_at is not None
            and snapshot.observed_at - t.started_at >= STARTED_SECONDS
        }
        yield from (probe for (arn, _), probe in seen.probes.items() if arn in started)


def unreachable(snapshot: Snapshot) -> str | None:
    """A sentence that says that no task can be reached; None where one can, or none is asked."""
    probes = list(_probes(snapshot))
    if not probes or not all(p.unreachable for p in probes):
        return None
    urls = sorted({p.url for p in probes})
    more = ", ..." if len(urls) > LISTED else ""
    return (
        f"no connection to any task from here ({', '.join(urls[:LISTED])}{more}), although ECS "
        "reports them running: run ecs-dynamo inside the VPC (for example as an ECS service), and "
        "let its security group reach the tasks' private IPs at ports 2379, 4222 and 8000"
    )


def infrastructure_probes(snapshot: Snapshot) -> Iterator[Probe]:
    """The answers of every etcd and NATS that was asked."""
    yield from snapshot.external.values()
    for seen in snapshot.components.values():
        for (_, role), probe in seen.probes.items():
            if role in INFRASTRUCTURE_ROLES:
                yield probe
