"""The description of a case: hosts, replicas, what is declared or goes wrong, and when."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from benchmarks.rollouts.graph import LEASE_SECONDS, Revision


class Moment(StrEnum):
    """When a step happens."""

    START = "at the start"
    HALFWAY = "once half of the new workers are registered"


@dataclass(frozen=True, slots=True)
class Declare:
    """The graph file declares ``revision``."""

    revision: Revision


@dataclass(frozen=True, slots=True)
class MoveEtcd:
    """The task with etcd and NATS is stopped; ECS starts another one at another address."""


@dataclass(frozen=True, slots=True)
class LoseHost:
    """EC2 terminates the host of an old worker; another host joins the cluster."""


@dataclass(frozen=True, slots=True)
class KillDaemon:
    """SIGKILL to the daemon; a new one starts 3 s later."""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """The daemon of an older version is stopped, and one of this version starts.

    It must not write anything while the graph is as declared.
    """


Step = Declare | MoveEtcd | LoseHost | KillDaemon | Upgrade


@dataclass(frozen=True, slots=True)
class Case:
    """One rollout under load.

    ``hosts``: the number of GPUs of each host. ``replicas``: of prefill and of decode. ``first`` is
    the revision that runs before the load begins, ``last`` the one that must run at the end. A case
    with ``reports_waits`` has no room for additional workers, so the page states its unavoidable
    waits. ``reason`` explains why requests fail in spite of everything; it is empty if Dynamo can
    survive the case. ``deadline``: seconds from the first step until the end. ``lease_seconds`` is
    the discovery lease, ``progress_seconds`` the declared progress deadline of the workers.
    """

    name: str
    description: str
    steps: tuple[tuple[Moment, Step], ...]
    last: Revision
    hosts: tuple[int, ...] = (1,) * 6
    replicas: int = 2
    first: Revision = field(default_factory=Revision)
    reports_waits: bool = False
    reason: str = ""
    deadline: float = 150.0
    lease_seconds: int = LEASE_SECONDS
    progress_seconds: int | None = None

    @property
    def revisions(self) -> tuple[Revision, ...]:
        """Return all revisions in the order of their first declaration."""
        return tuple(dict.fromkeys((self.first, *self.declared)))

    @property
    def declared(self) -> tuple[Revision, ...]:
        """Return the revisions that the steps declare, in order."""
        return tuple(step.revision for _, step in self.steps if isinstance(step, Declare))

    @property
    def begins_with_older_version(self) -> bool:
        """Return whether a daemon of an older version sets up the graph."""
        return any(isinstance(step, Upgrade) for _, step in self.steps)
