"""Whether the daemon can reach the tasks at all.

Endpoints are injected only after they answered, so a daemon outside the VPC, or behind a security
group that blocks it, would wait indefinitely while ECS reports every task as healthy. A single
replica that does not answer is at fault itself. If no replica that has run for a while accepts or
even refuses a connection, the network is at fault.
"""

from __future__ import annotations

from collections.abc import Iterator

from ecs_dynamo.model.graph import INFRASTRUCTURE_ROLES
from ecs_dynamo.model.snapshot import Probe, Snapshot
from ecs_dynamo.planning.observed.lookup import known_tasks

STARTED_SECONDS = 30.0
"""A missing answer of a task counts only after it has run for this time."""
SHOWN_URLS = 3


def _probes(snapshot: Snapshot) -> Iterator[Probe]:
    """Yield the probes of tasks that have run for a while."""
    for observed in snapshot.components.values():
        started = {
            t.arn
            for t in known_tasks(observed)
            if t.is_running
            and t.started_at is not None
            and snapshot.observed_at - t.started_at >= STARTED_SECONDS
        }
        yield from (probe for (arn, _), probe in observed.probes.items() if arn in started)


def unreachable(snapshot: Snapshot) -> str | None:
    """Return a message if no probed task can be reached; None if one can, or none was probed."""
    probes = list(_probes(snapshot))
    if not probes or not all(p.unreachable for p in probes):
        return None
    urls = sorted({p.url for p in probes})
    more = ", ..." if len(urls) > SHOWN_URLS else ""
    return (
        f"no connection to any task from here ({', '.join(urls[:SHOWN_URLS])}{more}), although ECS "
        "reports them running: run ecs-dynamo inside the VPC (for example as an ECS service), and "
        "let its security group reach the tasks' private IPs at ports 2379, 4222 and 8000"
    )


def infrastructure_probes(snapshot: Snapshot) -> Iterator[Probe]:
    """Yield the answers of every etcd and NATS server that was probed."""
    yield from snapshot.external.values()
    for observed in snapshot.components.values():
        for (_, role), probe in observed.probes.items():
            if role in INFRASTRUCTURE_ROLES:
                yield probe
