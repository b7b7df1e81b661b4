"""Whether the replicas of a good revision still serve.

A hung worker (its process is stopped, or its event loop is stuck) still runs as far as ECS knows,
and keeps its registration for up to one discovery lease. It is therefore assessed by its own
metrics page, which a worker that is merely busy answers. A worker that has lost its registration
receives no requests. Frontends are assessed by their own answers.

Only replicas that were ready once, or whose progress deadline has passed, are assessed: the others
are still starting. Only the good revision is assessed (or one that differs from it in endpoints
alone), and only while its service is not being rolled out: everything else belongs to the
progress deadline.

The assessment of what could not be observed (`certainty`) is carried over from the last pass.
Times are seconds on the monotonic clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.dynamo.containers import dynamo_containers
from ecs_dynamo.model.dynamo.discovery import NoAnswer
from ecs_dynamo.model.dynamo.registration import discovery_components
from ecs_dynamo.model.graph import Component, Graph, Role
from ecs_dynamo.model.memory.health import (
    HealthMemory,
    HealthProblem,
    Suspect,
    Symptom,
)
from ecs_dynamo.model.plan import Endpoints, Memory
from ecs_dynamo.model.service import good_arn
from ecs_dynamo.model.snapshot import (
    Probe,
    Snapshot,
    Task,
    Unknown,
)
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.declaration import comparable
from ecs_dynamo.planning.observed.attribution import (
    Attribution,
    Claim,
    attribute,
)
from ecs_dynamo.planning.observed.lookup import (
    known_tasks,
    short_id,
)
from ecs_dynamo.planning.observed.readiness import (
    lease_seconds,
    ready_tasks,
)

REPLICA_LOST = "ReplicaLost"
"""Reason word of Degraded, besides those of `Symptom`: fewer replicas are ready than were."""
ANSWERS = "it answers, and Dynamo's discovery has no registration of it"
UNHEARD = "it runs, and Dynamo's discovery has no registration of it"
SHOWN = 2
"""How many suspects a message names."""
PASSES = 2
"""How many consecutive passes must observe a symptom before it is reported."""


def detection_seconds(lease: float) -> float:
    """How long a symptom must last before it is reported: 1.5 discovery leases, from 5 to 15 s.

    A shorter time would report transient symptoms (a slow page, a lease that is renewed late). With
    a longer one, plus the pass that observes the symptom, a graph would not become Degraded within
    30 s.
    """
    return min(max(1.5 * lease, 5.0), 15.0)


def quick_detection_seconds(lease: float) -> float:
    """The same for frontends, and for a graph that serves nobody: at most 8 s.

    The start of these symptoms is known from passes alone, and a pass in which whole hosts do not
    answer takes about 8 s itself.
    """
    return min(detection_seconds(lease), 8.0)


@dataclass(frozen=True, slots=True)
class Health:
    """The ``problems`` to report, by component, and the ``memory`` for the next pass.

    The suspects in ``memory`` are those of this pass.
    """

    problems: Mapping[str, HealthProblem] = field(default_factory=dict)
    memory: HealthMemory = field(default_factory=HealthMemory)

    def suspects(self, tasks: Iterable[Task]) -> Mapping[str, Suspect]:
        """The suspects among ``tasks``, by ARN."""
        known = self.memory.suspects
        return {t.arn: known[t.arn] for t in tasks if t.arn in known}


def is_confirmed(suspect: Suspect, now: float, notice: float) -> bool:
    """Whether the symptom has lasted for ``notice`` seconds and enough passes to be reported."""
    return suspect.passes >= PASSES and now - suspect.since >= notice


def longest_detection_seconds(graph: Graph, state: ComponentState, arns: Collection[str]) -> float:
    """`detection_seconds` for the longest discovery lease among the component's tasks ``arns``.

    For a frontend, `quick_detection_seconds`.
    """
    leases = [
        lease_seconds(graph, state.component, state.observed, t)
        for t in state.new_tasks
        if t.arn in arns
    ]
    lease = max(leases, default=float(graph.runtime.lease_seconds))
    return detection_seconds(lease) if state.component.is_worker else quick_detection_seconds(lease)


def is_good(state: ComponentState, endpoints: Endpoints) -> bool:
    """Whether the service runs the good revision, or one that differs in endpoints alone."""
    service, current = state.service, state.current
    if service is None or current is None or state.last_good is None:
        return False
    if current.number == state.last_good:
        return True
    good = state.observed.revisions.get(good_arn(service) or "")
    if good is None or not good.content or not current.content:
        return False
    names = dynamo_containers(state.component).names
    return comparable(good.content, endpoints, names) == comparable(
        current.content, endpoints, names
    )


def is_settled(state: ComponentState, endpoints: Endpoints) -> bool:
    """Whether a good revision is in place and no rollout is replacing any of it.

    A single deployment may be IN_PROGRESS merely because a task is missing.
    """
    service = state.service
    return (
        service is not None
        and len(service.deployments) <= 1
        and not state.needs_rollout
        and not state.old_tasks
        and is_good(state, endpoints)
    )


class _HealthAssessor:
    """Assesses the replicas observed in one pass."""

    def __init__(
        self, graph: Graph, snapshot: Snapshot, endpoints: Endpoints, memory: Memory, now: Now
    ) -> None:
        self._graph = graph
        self._snapshot = snapshot
        self._endpoints = endpoints
        self._before = memory.health
        self._now = now
        self._attribution: Attribution = attribute(graph, snapshot)
        self._claims: dict[str, list[Claim]] = {}
        for claim in self._attribution.claims:
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

    def _established(self, state: ComponentState, task: Task) -> bool:
        """Whether it was ready once, or its progress deadline has passed."""
        allowed = state.component.rollout.progress_deadline_seconds
        age = self._now.wall - task.started_at if task.started_at is not None else 0.0
        return task.arn in self._before.proven or age > allowed

    def suspects(self, state: ComponentState, ready: Collection[str]) -> dict[str, Suspect]:
        """The component's suspects, by task ARN."""
        found = {}
        for task in state.new_tasks:
            if not task.is_running or not self._established(state, task):
                continue
            before = self._before.suspects.get(task.arn)
            if not self._is_observed(state, task):
                if before is not None:
                    found[task.arn] = replace(before, reached=False)
                continue
            if state.component.is_worker:
                seen = self._worker(state.component, task, ready)
            else:
                seen = self._frontend(state.observed.probes[task.arn, Role.FRONTEND])
            if seen is not None:
                found[task.arn] = seen if before is None else self._after(before, seen)
        return found

    def _is_observed(self, state: ComponentState, task: Task) -> bool:
        """Whether this pass observed the replica itself."""
        if state.component.is_worker:
            known = not isinstance(self._snapshot.registrations, Unknown)
            return known and task.private_ip is not None
        return (task.arn, Role.FRONTEND) in state.observed.probes

    @staticmethod
    def _after(before: Suspect, seen: Suspect) -> Suspect:
        """``seen``, continuing ``before`` of the previous pass."""
        gone = seen.unregistered_since
        if gone is not None and before.unregistered_since is not None:
            gone = before.unregistered_since
        if before.symptom is Symptom.HANGS and seen.detail == UNHEARD:
            # It chose its own port, so its page cannot be found without its registration.
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
        attribution, now, arn = self._attribution, self._now.monotonic, task.arn
        claims = self._claims.get(arn, ())
        page = attribution.silent.get(arn)
        if page is None and arn not in attribution.said and len(claims) == 1:
            (claim,) = claims
            # It chose its own port: the page is its own if the registration is.
            page = self._mute.get(claim.registration.lease_id) if claim.tasks == (arn,) else None
        leases = {c.registration.lease_id for c in claims}
        for known in (page.last if page is not None else None, attribution.said.get(arn)):
            leases |= known.lease_ids if known is not None else frozenset()
        work = None if self._busy is None else sum(self._busy.get(lease, 0.0) for lease in leases)
        gone = None if claims else now
        if page is not None and not page.spoke:
            return Suspect(
                symptom=Symptom.HANGS,
                since=now - page.seconds,
                unregistered_since=gone,
                work=work,
                work_since=now,
                reached=page.reached,
                detail=page.reason,
            )
        if arn in ready or claims or self._in_doubt(component):
            return None
        heard = page is not None or arn in attribution.said
        return Suspect(
            symptom=Symptom.UNREGISTERED,
            since=now,
            unregistered_since=gone,
            work=work,
            work_since=now,
            reached=True,
            detail=ANSWERS if heard else UNHEARD,
        )

    def _in_doubt(self, component: Component) -> bool:
        """Whether an unattributed registration may be the missing one."""
        names = discovery_components(component)
        return any(r.component in names for r, _ in self._attribution.unattributed)

    def _frontend(self, probe: Probe) -> Suspect | None:
        now = self._now.monotonic
        if probe.healthy or not (probe.silent or probe.unreachable):
            return None
        return Suspect(
            symptom=Symptom.HANGS,
            since=now,
            work_since=now,
            reached=not probe.unreachable,
            detail=probe.detail,
        )

    def assess(
        self, state: ComponentState, memory: HealthMemory, ready: Collection[str]
    ) -> tuple[HealthMemory, HealthProblem | None]:
        """The memory with what this pass learned of a component, and the problem to report."""
        name, now = state.component.name, self._now.monotonic
        running = {t.arn for t in known_tasks(state.observed)}
        others = {k: v for k, v in memory.suspects.items() if k not in running}
        settled = is_settled(state, self._endpoints)
        own = self.suspects(state, ready) if settled else {}
        before = memory.ready_baseline.get(name, 0) if settled else 0
        baseline = min(state.desired, max(before, len(ready)))
        missing = max(0, baseline - sum(arn not in own for arn in ready))
        short = {k: v for k, v in memory.below_baseline_since.items() if k != name}
        if missing:
            short[name] = memory.below_baseline_since.get(name, now)
        memory = replace(
            memory,
            proven=memory.proven | frozenset(ready),
            suspects={**others, **own},
            ready_baseline={**memory.ready_baseline, name: baseline},
            below_baseline_since=short,
        )
        return memory, self.problem(state, own, missing, short.get(name))

    def problem(
        self, state: ComponentState, own: Mapping[str, Suspect], missing: int, since: float | None
    ) -> HealthProblem | None:
        """The problem of a component with suspects, or with replicas ``missing`` ``since`` then."""
        now, notice = self._now.monotonic, longest_detection_seconds(self._graph, state, own)
        confirmed = {arn: s for arn, s in own.items() if is_confirmed(s, now, notice)}
        lost = max(missing, len(confirmed))
        if confirmed:
            ordered = sorted(confirmed.items(), key=lambda i: (i[1].symptom, i[1].since, i[0]))
            texts = [
                f"task {short_id(arn)} for {now - s.since:.0f} s ({s.detail})"
                for arn, s in ordered[:SHOWN]
            ]
            word = ordered[0][1].symptom
            one = len(confirmed) == 1
            what = ("hangs" if one else "hang") if word is Symptom.HANGS else "not registered"
            text = f"{len(confirmed)} of {state.desired} replicas {what}: {'; '.join(texts)}"
            return HealthProblem(word.value, text, lost)
        if missing and since is not None and now - since >= notice:
            text = f"{missing} of {state.desired} replicas that were ready no longer are"
            return HealthProblem(REPLICA_LOST, text, lost)
        return None


def assess_health(
    graph: Graph,
    wanted: Iterable[ComponentState],
    snapshot: Snapshot,
    endpoints: Endpoints,
    memory: Memory,
    now: Now,
    unsure: Collection[str],
) -> Health:
    """Assess the replicas of ``state``; ``unsure`` components keep their last assessment."""
    assessor = _HealthAssessor(graph, snapshot, endpoints, memory, now)
    before = kept = memory.health
    problems: dict[str, HealthProblem] = {}
    for one in wanted:
        name = one.component.name
        if name in unsure:
            known = Health(memory=before).suspects(one.new_tasks)
            since = before.below_baseline_since.get(name)
            problem = assessor.problem(one, known, int(since is not None), since)
        else:
            ready = {t.arn for t in ready_tasks(graph, one.component, snapshot)}
            kept, problem = assessor.assess(one, kept, ready)
        if problem is not None:
            problems[name] = problem
    return Health(problems, _without_gone(kept, snapshot))


def _without_gone(memory: HealthMemory, snapshot: Snapshot) -> HealthMemory:
    """``memory`` without ended tasks; unchanged where some tasks could not be observed."""
    parts = [seen.tasks for seen in snapshot.components.values()]
    if any(isinstance(tasks, Unknown) for tasks in parts):
        return memory
    there = {t.arn for tasks in parts if not isinstance(tasks, Unknown) for t in tasks}
    return replace(
        memory,
        proven=memory.proven & there,
        suspects={k: v for k, v in memory.suspects.items() if k in there},
    )
