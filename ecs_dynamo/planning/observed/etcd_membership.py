"""Which task of an etcd cluster is which member, derived from the reports of its servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from ecs_dynamo.model.dynamo.discovery import (
    EtcdMember,
    EtcdView,
)
from ecs_dynamo.model.dynamo.etcd_cluster import LISTEN
from ecs_dynamo.model.ecs.task_definition import environment_value
from ecs_dynamo.model.graph import ETCD_PEER_PORT, Component, Graph, Role
from ecs_dynamo.model.snapshot import (
    ComponentSnapshot,
    Revision,
    Snapshot,
    Task,
    Unknown,
)
from ecs_dynamo.planning.observed.lookup import known_service, known_tasks


@dataclass(frozen=True, slots=True)
class MemberSlot:
    """A component that runs one member: its task, and the member that this task is.

    ``awaited`` is a member that was added for the slot and has not started yet.
    """

    component: Component
    observed: ComponentSnapshot
    task: Task | None = None
    view: EtcdView | None = None
    member: EtcdMember | None = None
    awaited: EtcdMember | None = None

    @property
    def revision(self) -> Revision | None:
        """The revision that its service is set to."""
        service = known_service(self.observed)
        return self.observed.revisions.get(service.task_definition_arn) if service else None

    @property
    def is_current(self) -> bool:
        """Whether its task has the revision that the service is set to."""
        return (
            self.task is not None
            and self.revision is not None
            and self.task.task_definition_arn == self.revision.arn
        )

    @property
    def scheme(self) -> str:
        listen = environment_value(self.component.template, LISTEN)
        return urlsplit(listen or "").scheme or "http"

    @property
    def placeholder(self) -> str:
        """The peer URL of a member that has no address yet."""
        return f"{self.scheme}://127.0.2.{(self.component.member or 0) + 1}:1"

    @property
    def peer_url(self) -> str | None:
        if self.task is None or self.task.private_ip is None:
            return None
        return f"{self.scheme}://{self.task.private_ip}:{ETCD_PEER_PORT}"


@dataclass(frozen=True, slots=True)
class Membership:
    """The cluster as a server with a quorum reports it; ``members`` is empty without a quorum.

    ``gone`` are members whose task has ended. ``servers`` are client URLs of answering members.
    """

    slots: tuple[MemberSlot, ...]
    members: tuple[EtcdMember, ...] = ()
    gone: tuple[EtcdMember, ...] = ()
    servers: tuple[str, ...] = ()
    lost: bool = False
    """A quorum is impossible: the data was lost with the tasks of too many voters."""

    def slot(self, name: str) -> MemberSlot:
        """Return the slot of the component called ``name``."""
        return next(s for s in self.slots if s.component.name == name)

    @property
    def quorum(self) -> int:
        return len(self.slots) // 2 + 1

    @property
    def is_complete(self) -> bool:
        """Whether every slot has its member, and none is being added or removed."""
        return len(self.servers) == len(self.slots) == len(self.members) and not self.gone


def _slot(snapshot: Snapshot, component: Component) -> MemberSlot:
    observed = snapshot.components[component.name]
    running = [
        t
        for t in known_tasks(observed)
        if t.last_status == "RUNNING" and t.desired_status == "RUNNING"
    ]
    task = max(running, key=lambda t: (t.started_at or 0.0, t.arn), default=None)
    view = snapshot.etcd_views.get(task.arn) if task is not None else None
    return MemberSlot(component, observed, task, view)


def _is_healthy(slot: MemberSlot) -> bool:
    probe = slot.observed.probes.get((slot.task.arn, Role.ETCD)) if slot.task else None
    return probe is not None and probe.healthy


def find_membership(graph: Graph, snapshot: Snapshot) -> Membership:
    """Return which task is which member, from the reports of the servers."""
    slots = [_slot(snapshot, c) for c in graph.etcd_members if c.name in snapshot.components]
    parts = [part for s in slots for part in (s.observed.service, s.observed.tasks)]
    if len(slots) < len(graph.etcd_members) or any(isinstance(p, Unknown) for p in parts):
        return Membership(tuple(slots))
    views = [s.view for s in slots if s.view is not None and s.view.members and _is_healthy(s)]
    known = max(views, key=lambda v: (len(v.members), v.member), default=None)
    if known is None:
        return Membership(tuple(slots), lost=_is_lost(slots))
    if len(known.members) == 1 and _others_may_be_cluster(slots, known):
        return Membership(tuple(slots))
    slots = [_with_member(s, known) for s in slots]
    kept = {m.id for s in slots for m in (s.member, s.awaited) if m is not None}
    servers = (
        s.observed.probes[s.task.arn, Role.ETCD].url
        for s in slots
        if s.task is not None and s.member is not None and _is_healthy(s)
    )
    return Membership(
        slots=tuple(slots),
        members=known.members,
        gone=tuple(m for m in known.members if m.id not in kept),
        servers=tuple(servers),
    )


def _running(slots: Sequence[MemberSlot]) -> list[MemberSlot]:
    return [s for s in slots if s.task is not None and s.task.is_running]


def _is_lost(slots: Sequence[MemberSlot]) -> bool:
    """Return whether too few voters still have a task; one that does not answer counts as there."""
    running = _running(slots)
    views = [s.view for s in running if s.view is not None and s.view.members]
    if not views:
        return len(running) <= len(slots) // 2
    view = max(views, key=lambda v: (len(v.members), v.member))
    voters = [m for m in view.members if not m.learner]

    def has_task(voter: EtcdMember) -> bool:
        return any(
            s.view.member == voter.id
            if s.view is not None
            else not {s.peer_url, s.placeholder}.isdisjoint(voter.peer_urls)
            for s in running
        )

    return sum(map(has_task, voters)) <= len(voters) // 2


def _others_may_be_cluster(slots: Sequence[MemberSlot], alone: EtcdView) -> bool:
    """Return whether the other servers may still form a cluster without ``alone``.

    ``alone`` is the view of a server that knows of no other member. None of the others needs to be
    healthy: they may be electing a leader.
    """
    others = [s for s in _running(slots) if s.view is not alone]
    if any(s.view is None for s in others):
        return True
    return any(s.view is not None and s.view.members for s in others) and not _is_lost(others)


def _with_member(slot: MemberSlot, known: EtcdView) -> MemberSlot:
    """Return the slot with the member that its task is, and the member that is awaited there."""
    here = [m for m in known.members if slot.placeholder in m.peer_urls]
    awaited = next((m for m in here if not m.name), None)
    view = slot.view
    if slot.task is None:
        return replace(slot, awaited=awaited)
    if view is None:
        # The server does not answer, so nothing may be done to the member that it probably is.
        at_address = [m for m in known.members if slot.peer_url in m.peer_urls]
        likely = next(iter([*at_address, *(m for m in here if m.name)]), None)
        return replace(slot, member=likely, awaited=awaited)
    # A server that knows of no other member does not belong to a cluster that has others: it began
    # a cluster of its own under the same ids.
    same = view.cluster == known.cluster and (len(view.members) != 1 or len(known.members) == 1)
    member = next((m for m in known.members if m.id == view.member), None) if same else None
    return replace(slot, member=member, awaited=awaited if awaited != member else None)


def member_urls(membership: Membership, injected: Mapping[str, str | None]) -> str | None:
    """Return the client URLs that dependants should have, comma-separated; None if there are none.

    A complete cluster is used with all of its URLs. Until it is complete, dependants keep the list
    that they have (``injected``, by component) while two of its servers answer. With one left, a
    client that picks a server at random may lose the cluster (Dynamo 1.6.1 did in one of two runs),
    so they then get the URLs that answer. A list of one URL belongs to a single etcd, which is used
    until the cluster is complete.
    """
    if membership.is_complete:
        return ",".join(membership.servers)
    answering = frozenset(membership.servers)
    lists = sorted({text for text in injected.values() if text})
    best = max(lists, key=lambda text: len(answering & {*text.split(",")}), default=None)
    if best is None:
        return None
    if len(answering & {*best.split(",")}) >= membership.quorum:
        return best
    had_cluster = "," in best
    has_quorum = len(answering) >= membership.quorum
    return ",".join(membership.servers) if had_cluster and has_quorum else None
