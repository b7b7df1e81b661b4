"""An etcd cluster on ECS: who is a member, who joins next, and which task definition that takes.

etcd wants to know a member's address before it starts, and Fargate tells it after. What makes it
work (measured on etcd 3.5.1):

- A server that joins compares the peer URLs of its ``ETCD_INITIAL_CLUSTER`` with those that the
  cluster lists, as text. Its own need not be reachable, as it dials the others. So a place is added
  at a placeholder, its task is started, and its real address is set last. The placeholder refuses
  at once: what times out is counted against the member when its real address is long set.
- It is added as a learner, which has no vote: a task that never comes up costs no quorum. It is
  promoted before its address is set, as setting the address of a learner makes etcd list it as a
  voter that its raft does not know of.
- A task that ECS starts again begins without data. Its placeholder is in no list any more, so etcd
  ends by itself. But the first of a cluster begins that anew, under the same ids: it is told by
  knowing of nobody else, and is never taken in.

Each member is a service of its own, since each has its own environment. That is frozen while the
member lives: what is in it counts at the first start alone.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from ecs_dynamo.model.graph import ETCD_PEER_PORT, Component, Graph, JsonObject, Role
from ecs_dynamo.model.plan import ChangeMembership, MembershipStep
from ecs_dynamo.model.snapshot import (
    ComponentSnapshot,
    EtcdMember,
    EtcdView,
    Revision,
    Snapshot,
    Task,
    Unknown,
)
from ecs_dynamo.planning.changes import Draft
from ecs_dynamo.planning.fingerprint import fingerprint
from ecs_dynamo.planning.seen import environment_value, known_service, known_tasks
from ecs_dynamo.planning.service_settings import network_differs
from ecs_dynamo.planning.wanted import Wanted

LISTEN = "ETCD_LISTEN_PEER_URLS"
"""The container that has it is the one that etcd runs in."""
CLUSTER = "ETCD_INITIAL_CLUSTER"
STATE = "ETCD_INITIAL_CLUSTER_STATE"
GENERATION = "ETCD_INITIAL_CLUSTER_TOKEN"
ADVERTISE = "ETCD_INITIAL_ADVERTISE_PEER_URLS"
FROZEN = (ADVERTISE, CLUSTER, STATE, GENERATION)
NEW, EXISTING = "new", "existing"


@dataclass(frozen=True, slots=True)
class Place:
    """A component that holds a member: its task, and who of the cluster that is.

    ``awaited`` was added for it and has not started yet.
    """

    component: Component
    seen: ComponentSnapshot
    task: Task | None = None
    view: EtcdView | None = None
    member: EtcdMember | None = None
    awaited: EtcdMember | None = None

    @property
    def revision(self) -> Revision | None:
        """The one that its service is set to."""
        service = known_service(self.seen)
        return self.seen.revisions.get(service.task_definition_arn) if service else None

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

    places: tuple[Place, ...]
    members: tuple[EtcdMember, ...] = ()
    gone: tuple[EtcdMember, ...] = ()
    servers: tuple[str, ...] = ()
    lost: bool = False
    """No quorum can ever be again: the data ended with the tasks of too many voters."""

    def place(self, name: str) -> Place:
        """The place of the component called ``name``."""
        return next(p for p in self.places if p.component.name == name)

    @property
    def quorum(self) -> int:
        return len(self.places) // 2 + 1

    @property
    def whole(self) -> bool:
        """Every place has its member, and nobody is added or to be removed."""
        return len(self.servers) == len(self.places) == len(self.members) and not self.gone


def _present(task: Task) -> bool:
    return task.last_status == "RUNNING" and task.desired_status == "RUNNING"


def _place(snapshot: Snapshot, component: Component) -> Place:
    seen = snapshot.components[component.name]
    running = [t for t in known_tasks(seen) if _present(t)]
    task = max(running, key=lambda t: (t.started_at or 0.0, t.arn), default=None)
    view = snapshot.etcd_views.get(task.arn) if task is not None else None
    return Place(component, seen, task, view)


def _healthy(place: Place) -> bool:
    probe = place.seen.probes.get((place.task.arn, Role.ETCD)) if place.task else None
    return probe is not None and probe.healthy


def membership(graph: Graph, snapshot: Snapshot) -> Membership:
    """Who is who, from what each server says."""
    places = [_place(snapshot, c) for c in graph.etcd_members if c.name in snapshot.components]
    parts = [part for p in places for part in (p.seen.service, p.seen.tasks)]
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
        p.seen.probes[p.task.arn, Role.ETCD].url
        for p in found
        if p.task is not None and p.member is not None and _healthy(p)
    )
    return Membership(
        tuple(found),
        known.members,
        tuple(m for m in known.members if m.id not in kept),
        tuple(servers),
    )


def _lost(places: Sequence[Place]) -> bool:
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


def _doubted(places: Sequence[Place], alone: EtcdView) -> bool:
    """Whether the others may be a cluster still, without the server that knows of nobody else.

    It needs nobody to be healthy, while they elect a leader.
    """
    running = [p for p in places if p.task is not None and p.task.is_running]
    others = [p for p in running if p.view is not alone]
    if any(p.view is None for p in others):
        return True
    return any(p.view is not None and p.view.members for p in others) and not _lost(others)


def _with_member(place: Place, known: EtcdView) -> Place:
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


def _generation(revision: Revision | None) -> int:
    token = environment_value(revision.content, GENERATION) if revision is not None else None
    number = (token or "").rpartition("-")[2]
    return int(number) if number.isdecimal() else 0


def _rendered(component: Component, values: Mapping[str, str]) -> JsonObject:
    content: dict[str, Any] = copy.deepcopy(dict(component.template))
    content["family"] = component.family
    for container in content.get("containerDefinitions", ()):
        entries = {e["name"]: e.get("value", "") for e in container.get("environment", ())}
        if LISTEN in entries:
            entries |= values
            container["environment"] = [
                {"name": name, "value": entries[name]} for name in sorted(entries)
            ]
    return content


def _frozen(place: Place) -> JsonObject | None:
    """What is declared, with the environment of the revision that is there."""
    revision = place.revision
    if revision is None:
        return None
    values = {name: environment_value(revision.content, name) for name in FROZEN}
    return _rendered(place.component, {k: v for k, v in values.items() if v is not None})


def _joining(graph: Graph, found: Membership, place: Place, awaited: EtcdMember) -> JsonObject:
    others = [m for m in found.members if m.id != awaited.id]
    listed = [f"{m.id:x}={url}" for m in others for url in m.peer_urls]
    latest = max(_generation(p.revision) for p in found.places)
    return _rendered(
        place.component,
        {
            CLUSTER: ",".join([*listed, f"{place.component.name}={place.placeholder}"]),
            STATE: EXISTING,
            GENERATION: f"{graph.name}-{latest}",
            ADVERTISE: place.placeholder,
        },
    )


def _beginning(graph: Graph, found: Membership, place: Place) -> JsonObject:
    """The first of a cluster. Another generation where what is there can not come back."""
    latest = max(_generation(p.revision) for p in found.places)
    revision = place.revision
    begun = (
        revision is not None
        and environment_value(revision.content, STATE) == NEW
        and _generation(revision) == latest
    )
    lost = place.current and place.view is not None and len(place.view.members) > 1
    return _rendered(
        place.component,
        {
            CLUSTER: f"{place.component.name}={place.placeholder}",
            STATE: NEW,
            GENERATION: f"{graph.name}-{latest if begun and not lost else latest + 1}",
            ADVERTISE: place.placeholder,
        },
    )


def is_due(place: Place) -> bool:
    """Its declaration changed: it is to be replaced by another member, when its turn comes.

    Another network counts: it moves the task, and a member's address is its identity.
    """
    frozen, revision, service = _frozen(place), place.revision, known_service(place.seen)
    return (
        frozen is not None
        and revision is not None
        and place.member is not None
        and place.current
        and service is not None
        and (
            fingerprint(frozen) != revision.fingerprint or network_differs(place.component, service)
        )
    )


def as_member(graph: Graph, found: Membership, one: Wanted) -> Wanted:
    """``one`` with the content that its place calls for; None before its turn to join."""
    place = found.place(one.component.name)
    content = _frozen(place)
    if place.awaited is not None:
        content = _joining(graph, found, place, place.awaited)
    elif found.lost and place == found.places[0]:
        content = _beginning(graph, found, place)
    elif content is not None and place.revision is not None:
        # A member is not replaced under its own name, and one that is lost has to be added first.
        held = place.revision
        return replace(one, content=held.content, fingerprint=held.fingerprint)
    print_ = fingerprint(content) if content is not None else None
    return replace(one, content=content, fingerprint=print_)


def next_step(found: Membership, *, followed: bool) -> ChangeMembership | None:
    """The one change of the membership that comes next; etcd takes them one at a time.

    ``followed``: dependants have the endpoints of now, all of them, and can spare one of them.
    """
    if not found.servers:
        return None

    def step(
        kind: MembershipStep, place: str, why: str, member: int = 0, url: str = ""
    ) -> ChangeMembership:
        return ChangeMembership(
            component=place,
            reason=why,
            step=kind,
            servers=found.servers,
            member=member,
            peer_url=url,
        )

    first = found.places[0].component.name
    awaited = [p for p in found.places if p.awaited is not None]
    for place in awaited:
        if place.awaited is not None and place.current and place.member and not is_due(place):
            why = "what is declared runs already"
            return step(MembershipStep.REMOVE, place.component.name, why, place.awaited.id)
    for one in found.gone:
        # A joining server's list must stay as it is written in its environment.
        if one.learner or not awaited:
            why = f"the task of {one.name or 'an added member'} is gone"
            return step(MembershipStep.REMOVE, first, why, one.id)
    for place in found.places:
        member, url, name = place.member, place.peer_url, place.component.name
        if member is None or place.view is None:
            continue
        if member.learner:
            return step(MembershipStep.PROMOTE, name, "it has joined", member.id)
        if url is not None and url not in member.peer_urls:
            return step(MembershipStep.UPDATE, name, "its address is known", member.id, url)
    if any(m.learner for m in found.members) or found.gone:
        return None
    for place in found.places:
        name = place.component.name
        if place.member is None:
            return step(MembershipStep.ADD, name, "it is to join", url=place.placeholder)
    for place in found.places:
        if found.whole and followed and is_due(place):
            why = "its task definition changed: another takes its place"
            return step(MembershipStep.ADD, place.component.name, why, url=place.placeholder)
    return None


def plan_members(draft: Draft, found: Membership, dependants: Sequence[Wanted]) -> None:
    """The next change of the membership, and what each place waits for."""
    followed = not any(w.rolls or w.rolling or w.old_tasks for w in dependants)
    change = next_step(found, followed=followed)
    if change is not None:
        draft.actions.append(change)
    for place in found.places:
        name = place.component.name
        begins = found.lost and place == found.places[0]
        if place.revision is None and place.awaited is None and not begins:
            draft.wait(name, "joins the etcd cluster when the members before it are in")
        elif found.members and place.member is None and place.awaited is None:
            draft.wait(name, "its task is not in the etcd cluster; another takes its place")
        elif is_due(place):
            draft.wait(name, "its task definition changed; members are replaced one at a time")


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
