"""Whether the replicas of a good revision still serve.

A worker that hangs (its process is stopped, its event loop is stuck) runs for ECS, and keeps its
registration for up to one discovery lease; so it is judged by its own page, at which a worker that
merely works answers. One that has lost its registration is routed to by nobody. Frontends are
judged by their own answers. Only what was ready once, or has had its progress deadline for
it, is judged: others start. Only a good revision is (or one that differs from it in endpoints
alone), in a service that is not rolled: all else is for `judge`.

What is not known (`certainty`) is judged as it was last. Times here are seconds, monotonic.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.graph import Component, Graph, Role
from ecs_dynamo.model.health import HealthMemory, Suspect, Symptom
from ecs_dynamo.model.plan import Endpoints, Memory
from ecs_dynamo.model.snapshot import NoAnswer, Probe, Snapshot, Task, Unknown
from ecs_dynamo.planning.attribution import (
    Attribution,
    Claim,
    attribute,
    discovery_components,
)
from ecs_dynamo.planning.containers import dynamo_containers
from ecs_dynamo.planning.held import comparable
from ecs_dynamo.planning.readiness import lease_seconds, ready_tasks
from ecs_dynamo.planning.seen import known_tasks
from ecs_dynamo.planning.wanted import Wanted, good_arn

REPLICA_LOST = "ReplicaLost"
"""Reason word of Degraded, beside those of `Symptom`: fewer are ready, for whatever reason."""
ANSWERS = "it answers, and Dynamo's discovery has no registration of it"
UNHEARD = "it runs, and Dynamo's discovery has no registration of it"
SHOWN = 2
PASSES = 2
"""A symptom is told that was seen in as many passes in a row."""


def notice_seconds(lease: float) -> float:
    """After how long something wrong is told: one and a half discovery leases, from 5 to 15 s.

    Shorter, and a replica that is stopped in passing (a page that is slow, a lease that is renewed
    late) would be told of; longer, and the 30 s in which a graph is to become Degraded would not be
    kept with the pass that sees it.
    """
    return min(max(1.5 * lease, 5.0), 15.0)


def quick_notice_seconds(lease: float) -> float:
    """The same for frontends, and for a graph that serves nobody: 8 s at most.

    Since when is known of these by passes alone, and one in which whole hosts do not answer takes
    some 8 s itself.
    """
    return min(notice_seconds(lease), 8.0)


@dataclass(frozen=True, slots=True)
class Told:
    """What is wrong with a component: a reason word, a sentence, and how many replicas are lost."""

    reason: str
    message: str
    lost: int


@dataclass(frozen=True, slots=True)
class Health:
    """``told``: by component. ``memory`` is what the next pass needs; its suspects are those of
    this pass."""

    told: Mapping[str, Told] = field(default_factory=dict)
    memory: HealthMemory = field(default_factory=HealthMemory)

    def suspects(self, tasks: Iterable[Task]) -> Mapping[str, Suspect]:
        """Those of ``tasks`` with something wrong, by ARN."""
        known = self.memory.suspects
        return {t.arn: known[t.arn] for t in tasks if t.arn in known}


def short_id(arn: str) -> str:
    """The part of a task's ARN that people are shown."""
    return arn.rsplit("/", 1)[-1][:8]


def is_told(suspect: Suspect, now: float, notice: float) -> bool:
    """Whether it has lasted for long enough to be more than a moment's weakness."""
    return suspect.passes >= PASSES and now - suspect.since >= notice


def longest_notice(graph: Graph, wanted: Wanted, arns: Collection[str]) -> float:
    """`notice_seconds` by the longest discovery lease of the component's tasks ``arns``.

    Of a frontend `quick_notice_seconds`.
    """
    leases = [
        lease_seconds(graph, wanted.component, wanted.seen, t)
        for t in wanted.new_tasks
        if t.arn in arns
    ]
    lease = max(leases, default=float(graph.runtime.lease_seconds))
    return notice_seconds(lease) if wanted.component.is_worker else quick_notice_seconds(lease)


def is_good(wanted: Wanted, endpoints: Endpoints) -> bool:
    """The revision that the service is set to is the good one, but for its endpoints."""
    service, current = wanted.service, wanted.current
    if service is None or current is None or wanted.good is None:
        return False
    if current.number == wanted.good:
        return True
    good = wanted.seen.revisions.get(good_arn(service) or "")
    if good is None or not good.content or not current.content:
        return False
    names = dynamo_containers(wanted.component).names
    return comparable(good.content, endpoints, names) == comparable(
        current.content, endpoints, names
    )


def is_settled(wanted: Wanted, endpoints: Endpoints) -> bool:
    """A good revision is in place, and nothing of it is being replaced by a rollout.

    A single deployment may be IN_PROGRESS for no other reason than that a task is missing.
    """
    service = wanted.service
    return (
        service is not None
        and len(service.deployments) <= 1
        and not wanted.rolls
        and not wanted.old_tasks
        and is_good(wanted, endpoints)
    )


class _Judge:
    """Judges the replicas of one pass."""

    def __init__(
        self, graph: Graph, snapshot: Snapshot, endpoints: Endpoints, memory: Memory, now: Now
    ) -> None:
        self._graph = graph
        self._snapshot = snapshot
        self._endpoints = endpoints
        self._before = memory.health
        self._now = now
        self._made: Attribution = attribute(graph, snapshot)
        self._claims: dict[str, list[Claim]] = {}
        for claim in self._made.claims:
            for arn in claim.tasks:
                self._claims.setdefault(arn, []).append(claim)
        busy = snapshot.busy
        self._busy: Mapping[int, float] | None = None if isinstance(busy, Unknown) else busy
        self._mute = {
            lease: page
            for page in snapshot.pages.values()
            if isinstance(page, NoAnswer) and page.last is not None
            for lease in page.last.lease_ids
        }

    def _established(self, wanted: Wanted, task: Task) -> bool:
        """It was ready once, or has had the time to become so."""
        allowed = wanted.component.rollout.progress_deadline_seconds
        age = self._now.wall - task.started_at if task.started_at is not None else 0.0
        return task.arn in self._before.proven or age > allowed

    def suspects(self, wanted: Wanted, ready: Collection[str]) -> dict[str, Suspect]:
        """The component's replicas with something wrong, by ARN."""
        found = {}
        for task in wanted.new_tasks:
            if not task.is_running or not self._established(wanted, task):
                continue
            before = self._before.suspects.get(task.arn)
            if not self._is_observed(wanted, task):
                if before is not None:
                    found[task.arn] = replace(before, reached=False)
                continue
            if wanted.component.is_worker:
                seen = self._worker(wanted.component, task, ready)
            else:
                seen = self._frontend(wanted.seen.probes[task.arn, Role.FRONTEND])
            if seen is not None:
                found[task.arn] = seen if before is None else self._after(before, seen)
        return found

    def _is_observed(self, wanted: Wanted, task: Task) -> bool:
        """Whether this pass tells anything of the replica."""
        if wanted.component.is_worker:
            known = not isinstance(self._snapshot.registrations, Unknown)
            return known and task.private_ip is not None
        return (task.arn, Role.FRONTEND) in wanted.seen.probes

    @staticmethod
    def _after(before: Suspect, seen: Suspect) -> Suspect:
        """``seen`` as it goes on from the pass before."""
        gone = seen.unregistered_since
        if gone is not None and before.unregistered_since is not None:
            gone = before.unregistered_since
        if before.symptom is Symptom.HANGS and seen.detail == UNHEARD:
            # It chose its port, and with its registration the way to its page is lost.
            seen = replace(seen, symptom=Symptom.HANGS, detail=before.detail)
        same = before.work is not None and before.work == seen.work
        return replace(
            seen,
            since=min(before.since, seen.since),
            passes=before.passes + 1,
            unregistered_since=gone,
            work_since=before.work_since if same else seen.work_since,
        )

    def _worker(self, component: Component, task: Task, ready: Collection[str]) -> Suspect | None:
        made, now, arn = self._made, self._now.monotonic, task.arn
        claims = self._claims.get(arn, ())
        page = made.silent.get(arn)
        if page is None and arn not in made.said and len(claims) == 1:
            (claim,) = claims
            # A worker that chose its port: the page is its own where nobody else may be meant.
            page = self._mute.get(claim.registration.lease_id) if claim.tasks == (arn,) else None
        leases = {c.registration.lease_id for c in claims}
        for known in (page.last if page is not None else None, made.said.get(arn)):
            leases |= known.lease_ids if known is not None else frozenset()
        work = None if self._busy is None else sum(self._busy.get(lease, 0.0) for lease in leases)
        gone = None if claims else now
        if page is not None and not page.spoke:
            return Suspect(
                *(Symptom.HANGS, now - page.seconds, 1, gone, work, now, page.reached),
                detail=page.reason,
            )
        if arn in ready or claims or self._in_doubt(component):
            return None
        heard = page is not None or arn in made.said
        return Suspect(
            *(Symptom.UNREGISTERED, now, 1, gone, work, now, True),
            detail=ANSWERS if heard else UNHEARD,
        )

    def _in_doubt(self, component: Component) -> bool:
        """A registration that is known to be nobody's may be the one that is missed."""
        names = discovery_components(component)
        return any(r.component in names for r, _ in self._made.unattributed)

    def _frontend(self, probe: Probe) -> Suspect | None:
        now = self._now.monotonic
        if probe.healthy or not (probe.silent or probe.unreachable):
            return None
        return Suspect(
            *(Symptom.HANGS, now, 1, None, None, now, not probe.unreachable), detail=probe.detail
        )

    def component(
        self, wanted: Wanted, memory: HealthMemory, ready: Collection[str]
    ) -> tuple[HealthMemory, Told | None]:
        """What is to be remembered of a component, and what is to be told of it."""
        name, now = wanted.component.name, self._now.monotonic
        running = {t.arn for t in known_tasks(wanted.seen)}
        others = {k: v for k, v in memory.suspects.items() if k not in running}
        settled = is_settled(wanted, self._endpoints)
        own = self.suspects(wanted, ready) if settled else {}
        before = memory.staff.get(name, 0) if settled else 0
        staff = min(wanted.desired, max(before, len(ready)))
        missing = max(0, staff - sum(arn not in own for arn in ready))
        short = {k: v for k, v in memory.short_since.items() if k != name}
        if missing:
            short[name] = memory.short_since.get(name, now)
        memory = replace(
            memory,
            proven=memory.proven | frozenset(ready),
            suspects={**others, **own},
            staff={**memory.staff, name: staff},
            short_since=short,
        )
        return memory, self.tell(wanted, own, missing, short.get(name))

    def tell(
        self, wanted: Wanted, own: Mapping[str, Suspect], missing: int, since: float | None
    ) -> Told | None:
        """What is to be told of a component with suspects, or ``missing`` replicas ``since``."""
        now, notice = self._now.monotonic, longest_notice(self._graph, wanted, own)
        told = {arn: s for arn, s in own.items() if is_told(s, now, notice)}
        lost = max(missing, len(told))
        if told:
            ordered = sorted(told.items(), key=lambda i: (i[1].symptom, i[1].since, i[0]))
            texts = [
                f"task {short_id(arn)} for {now - s.since:.0f} s ({s.detail})"
                for arn, s in ordered[:SHOWN]
            ]
            word = ordered[0][1].symptom
            one = len(told) == 1
            what = ("hangs" if one else "hang") if word is Symptom.HANGS else "not registered"
            text = f"{len(told)} of {wanted.desired} replicas {what}: {'; '.join(texts)}"
            return Told(word.value, text, lost)
        if missing and since is not None and now - since >= notice:
            text = f"{missing} of {wanted.desired} replicas that were ready are so no more"
            return Told(REPLICA_LOST, text, lost)
        return None


def look_after(
    graph: Graph,
    wanted: Iterable[Wanted],
    snapshot: Snapshot,
    endpoints: Endpoints,
    memory: Memory,
    now: Now,
    unsure: Collection[str],
) -> Health:
    """Judge the replicas of ``wanted``. Those of ``unsure`` components are as they were last."""
    judge = _Judge(graph, snapshot, endpoints, memory, now)
    before = kept = memory.health
    told: dict[str, Told] = {}
    for one in wanted:
        name = one.component.name
        if name in unsure:
            known = Health(memory=before).suspects(one.new_tasks)
            since = before.short_since.get(name)
            found = judge.tell(one, known, int(since is not None), since)
        else:
            ready = {t.arn for t in ready_tasks(graph, one.component, snapshot)}
            kept, found = judge.component(one, kept, ready)
        if found is not None:
            told[name] = found
    return Health(told, _without_gone(kept, snapshot))


def _without_gone(memory: HealthMemory, snapshot: Snapshot) -> HealthMemory:
    """``memory`` without tasks that are no more; with all, where some could not be observed."""
    parts = [seen.tasks for seen in snapshot.components.values()]
    if any(isinstance(tasks, Unknown) for tasks in parts):
        return memory
    there = {t.arn for tasks in parts if not isinstance(tasks, Unknown) for t in tasks}
    return replace(
        memory,
        proven=memory.proven & there,
        suspects={k: v for k, v in memory.suspects.items() if k in there},
    )
