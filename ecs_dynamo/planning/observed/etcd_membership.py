"""Which task of an etcd cluster is which member, from what each server reports."""

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
    """A component that holds a member: its task, and who of the cluster that is.

    ``awaited`` was added for it and has not started yet.
    """

    component: Component
    observed: ComponentSnapshot
    task: Task | None = None
    view: EtcdView | None = None
    member: EtcdMember | None = None
    awaited: EtcdMember | None = None

    @property
    def revision(self) -> Revision | None:
        """The one that its service is set to."""
        service = known_service(self.observed)
        return self.observed.revisions.get(service.task_definition_arn) if service else None

    @property
    def current(self) -> bool:
        """Its task is of the revision that the service is set to."""
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
    """The cluster as a server with a quorum knows it; ``members`` is empty where none has one.

    ``gone`` are members whose task is. ``servers`` are client URLs of those that answer.
    """

    slots: tuple[MemberSlot, ...]
    members: tuple[EtcdMember, ...] = ()
    gone: tuple[EtcdMember, ...] = ()
    servers: tuple[str, ...] = ()
    lost: bool = False
    """No quorum can ever be again: the data ended with the tasks of too many voters."""

    def slot(self, name: str) -> MemberSlot:
        """The place of the component called ``name``."""
        return next(p for p in self.slots if p.component.name == name)

    @property
    def quorum(self) -> int:
        return len(self.slots) // 2 + 1

    @property
    def whole(self) -> bool:
        """Every place has its member, and nobody is added or to be removed."""
        return len(self.servers) == len(self.slots) == len(self.members) and not self.gone


def _present(task: Task) -> bool:
    return task.last_status == "RUNNING" and task.desired_status == "RUNNING"


def _place(snapshot: Snapshot, component: Component) -> MemberSlot:
    seen = snapshot.components[component.name]
    running = [t for t in known_tasks(seen) if _present(t)]
    task = max(running, key=lambda t: (t.started_at or 0.0, t.arn), default=None)
    view = snapshot.etcd_views.get(task.arn) if task is not None else None
    return MemberSlot(component, seen, task, view)


def _healthy(place: MemberSlot) -> bool:
    probe = place.observed.probes.get((place.task.arn, Role.ETCD)) if place.task else None
    return probe is not None and probe.healthy


def membership(graph: Graph, snapshot: Snapshot) -> Membership:
    """Who is who, from what each server says."""
    places = [_place(snapshot, c) for c in graph.etcd_members if c.name in snapshot.components]
    parts = [part for p in places for part in (p.observed.service, p.observed.tasks)]
    if len(places) < len(graph.etcd_members) or any(isinstance(p, Unknown) for p in parts):
        return Membership(tuple(places))
    views = [p.view for p in places if p.view is not None and p.view.members and _healthy(p)]
    known = max(views, key=lambda v: (len(v.members), v.member), default=None)
    if known is None:
        return Membership(tuple(places), lost=_lost(places))
    if len(known.members) == 1 and _doubted(places, known):
        return Membership(tuple(places))
    found = [_with_member(p, known) for p in places]
    kept = {m.id for p in found for m in (p.member, p.awaited) if m is not None}
    servers = (
        p.observed.probes[p.task.arn, Role.ETCD].url
        for p in found
        if p.task is not None and p.member is not None and _healthy(p)
    )
    return Membership(
        tuple(found),
        known.members,
        tuple(m for m in known.members if m.id not in kept),
        tuple(servers),
    )


def _lost(places: Sequence[MemberSlot]) -> bool:
    """Whether too few voters have a task. One that does not answer is believed to be there."""
    running = [p for p in places if p.task is not None and p.task.is_running]
    views = [p.view for p in running if p.view is not None and p.view.members]
    if not views:
        return len(running) <= len(places) // 2
    view = max(views, key=lambda v: (len(v.members), v.member))
    voters = [m for m in view.members if not m.learner]

    def there(voter: EtcdMember) -> bool:
        return any(
            p.view.member == voter.id
            if p.view is not None
            else not {p.peer_url, p.placeholder}.isdisjoint(voter.peer_urls)
            for p in running
        )

    return sum(map(there, voters)) <= len(voters) // 2


def _doubted(places: Sequence[MemberSlot], alone: EtcdView) -> bool:
    """Whether the others may be a cluster still, without the server that knows of nobody else.

    It needs nobody to be healthy, while they elect a leader.
    """
    running = [p for p in places if p.task is not None and p.task.is_running]
    others = [p for p in running if p.view is not alone]
    if any(p.view is None for p in others):
        return True
    return any(p.view is not None and p.view.members for p in others) and not _lost(others)


def _with_member(place: MemberSlot, known: EtcdView) -> MemberSlot:
    """Which member the place's task is, and which one is awaited there."""
    here = [m for m in known.members if place.placeholder in m.peer_urls]
    awaited = next((m for m in here if not m.name), None)
    view = place.view
    if place.task is None:
        return replace(place, awaited=awaited)
    if view is None:  # It does not answer: nothing is done to the one that it may be.
        at = [m for m in known.members if place.peer_url in m.peer_urls]
        likely = next(iter([*at, *(m for m in here if m.name)]), None)
        return replace(place, member=likely, awaited=awaited)
    same = view.cluster == known.cluster and (len(view.members) != 1 or len(known.members) == 1)
    member = next((m for m in known.members if m.id == view.member), None) if same else None
    return replace(place, member=member, awaited=awaited if awaited != member else None)


def member_urls(found: Membership, injected: Mapping[str, str | None]) -> str | None:
    """The client URLs that dependants should have, comma-separated; None while there are none.

    All of them once the cluster is whole. Meanwhile what dependants have is kept as long as two of
    it answer; with one left a client that picks at random may lose the cluster (Dynamo 1.6.1 did in
    one of two runs), so then those that answer do. One URL alone is that of a single etcd, which is
    kept until the cluster is whole.
    """
    if found.whole:
        return ",".join(found.servers)
    answering = frozenset(found.servers)
    lists = sorted({text for text in injected.values() if text})
    best = max(lists, key=lambda text: len(answering & {*text.split(",")}), default=None)
    if best is None:
        return None
    if len(answering & {*best.split(",")}) >= found.quorum:
        return best
    had_cluster = "," in best
    return ",".join(found.servers) if had_cluster and len(answering) >= found.quorum else None
