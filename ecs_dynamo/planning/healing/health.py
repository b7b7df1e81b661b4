"""Rule: assess whether the replicas of a good revision still serve.

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

from collections.abc import Collection, Mapping
from dataclasses import replace

from ecs_dynamo.model.conditions import ConditionReason
from ecs_dynamo.model.dynamo.discovery import NoAnswer
from ecs_dynamo.model.dynamo.registration import discovery_components
from ecs_dynamo.model.graph import Graph, Role
from ecs_dynamo.model.memory.health import HealthMemory, HealthProblem, Suspect, Symptom
from ecs_dynamo.model.plan import Endpoints
from ecs_dynamo.model.service import good_arn
from ecs_dynamo.model.snapshot import Probe, Snapshot, Task, Unknown
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.context import PlanContext
from ecs_dynamo.planning.desired.declaration import same_besides_endpoints
from ecs_dynamo.planning.desired.plan_builder import Health, PlanBuilder
from ecs_dynamo.planning.observed.attribution import Claim
from ecs_dynamo.planning.observed.lookup import short_id

ANSWERS = "it answers, and Dynamo's discovery has no registration of it"
UNHEARD = "it runs, and Dynamo's discovery has no registration of it"
SHOWN = 2
"""Number of suspects that a message names."""
PASSES = 2
"""Number of consecutive passes that must observe a symptom before it is reported."""


def detection_seconds(lease: float) -> float:
    """Return how long a symptom must last before it is reported, in seconds.

    It is 1.5 discovery leases, within 5 to 15 s. A shorter time would report transient symptoms (a
    slow page, a lease that is renewed late). With a longer one, plus the pass that observes the
    symptom, a graph would not become Degraded within 30 s.
    """
    return min(max(1.5 * lease, 5.0), 15.0)


def quick_detection_seconds(lease: float) -> float:
    """Return the same for frontends, and for a graph that serves nobody: at most 8 s.

    The start of these symptoms is known from passes alone, and a pass in which whole hosts do not
    answer takes about 8 s itself.
    """
    return min(detection_seconds(lease), 8.0)


def is_confirmed(suspect: Suspect, monotonic: float, notice: float) -> bool:
    """Return whether the symptom has lasted for ``notice`` seconds and enough passes."""
    return suspect.passes >= PASSES and monotonic - suspect.since >= notice


def longest_detection_seconds(graph: Graph, state: ComponentState, arns: Collection[str]) -> float:
    """Return `detection_seconds` for the longest discovery lease among the tasks ``arns``.

    For a frontend, return `quick_detection_seconds`.
    """
    leases = [state.observed.lease_seconds(graph, t) for t in state.new_tasks if t.arn in arns]
    lease = max(leases, default=float(graph.runtime.lease_seconds))
    return detection_seconds(lease) if state.component.is_worker else quick_detection_seconds(lease)


def is_good(state: ComponentState, endpoints: Endpoints) -> bool:
    """Return whether the service runs the good revision, or one that differs in endpoints only."""
    service, current = state.service, state.current
    if service is None or current is None or state.last_good is None:
        return False
    if current.number == state.last_good:
        return True
    good = state.observed.snapshot.revisions.get(good_arn(service) or "")
    if good is None or not good.content or not current.content:
        return False
    return same_besides_endpoints(state.component, good.content, current.content, endpoints)


def is_settled(state: ComponentState, endpoints: Endpoints) -> bool:
    """Return whether a good revision is in place and no rollout replaces any of it.

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

    def __init__(self, context: PlanContext) -> None:
        self._context = context
        self._snapshot = context.snapshot
        self._before = context.memory.health
        self._now = context.now
        self._attribution = context.observed.attribution
        self._claims: dict[str, list[Claim]] = {}
        for claim in self._attribution.claims:
            for arn in claim.tasks:
                self._claims.setdefault(arn, []).append(claim)
        busy = self._snapshot.busy
        self._busy: Mapping[int, float] | None = None if isinstance(busy, Unknown) else busy
        self._silent_pages = {
            lease: page
            for page in self._snapshot.pages.values()
            if isinstance(page, NoAnswer) and page.last is not None
            for lease in page.last.lease_ids
        }

    def _is_established(self, state: ComponentState, task: Task) -> bool:
        """Return whether the task was ready once, or its progress deadline has passed."""
        allowed = state.component.rollout.progress_deadline_seconds
        age = self._now.wall - task.started_at if task.started_at is not None else 0.0
        return task.arn in self._before.proven or age > allowed

    def suspects(self, state: ComponentState) -> dict[str, Suspect]:
        """Return the component's suspects, by task ARN."""
        suspects = {}
        for task in state.new_tasks:
            if not task.is_running or not self._is_established(state, task):
                continue
            before = self._before.suspects.get(task.arn)
            if not self._is_observed(state, task):
                if before is not None:
                    suspects[task.arn] = replace(before, reached=False)
                continue
            if state.component.is_worker:
                suspect = self._assess_worker(state, task)
            else:
                probes = state.observed.snapshot.probes
                suspect = self._assess_frontend(probes[task.arn, Role.FRONTEND])
            if suspect is not None:
                suspects[task.arn] = suspect if before is None else _continued(before, suspect)
        return suspects

    def _is_observed(self, state: ComponentState, task: Task) -> bool:
        """Return whether this pass observed the replica itself."""
        if state.component.is_worker:
            is_known = not isinstance(self._snapshot.registrations, Unknown)
            return is_known and task.private_ip is not None
        return (task.arn, Role.FRONTEND) in state.observed.snapshot.probes

    def _assess_worker(self, state: ComponentState, task: Task) -> Suspect | None:
        attribution, now, arn = self._attribution, self._now.monotonic, task.arn
        claims = self._claims.get(arn, ())
        silent, own_page = attribution.silent.get(arn), attribution.pages.get(arn)
        if silent is None and own_page is None and len(claims) == 1:
            (claim,) = claims
            # The worker chose its own port: the page is its own if the registration is.
            if claim.tasks == (arn,):
                silent = self._silent_pages.get(claim.registration.lease_id)
        leases = {c.registration.lease_id for c in claims}
        for content in (silent.last if silent is not None else None, own_page):
            leases |= content.lease_ids if content is not None else frozenset()
        # Whether a worker has work is unknown if it neither registers nor was heard.
        is_known = self._busy is not None and leases
        work = sum((self._busy or {}).get(lease, 0.0) for lease in leases) if is_known else None
        unregistered_since = None if claims else now
        if silent is not None and not silent.spoke:
            return Suspect(
                symptom=Symptom.HANGS,
                since=now - silent.seconds,
                unregistered_since=unregistered_since,
                work=work,
                work_since=now,
                reached=silent.reached,
                detail=silent.reason,
            )
        is_ready = arn in state.observed.readiness.ready
        if is_ready or claims or self._may_be_unattributed(state):
            return None
        answers = silent is not None or own_page is not None
        return Suspect(
            symptom=Symptom.UNREGISTERED,
            since=now,
            unregistered_since=unregistered_since,
            work=work,
            work_since=now,
            reached=True,
            detail=ANSWERS if answers else UNHEARD,
        )

    def _may_be_unattributed(self, state: ComponentState) -> bool:
        """Return whether an unattributed registration may be the missing one."""
        names, namespaces = discovery_components(state.component), state.observed.namespaces
        return any(
            r.component in names and r.namespace in namespaces
            for r, _ in self._attribution.unattributed
        )

    def _assess_frontend(self, probe: Probe) -> Suspect | None:
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
        self, state: ComponentState, memory: HealthMemory
    ) -> tuple[HealthMemory, HealthProblem | None]:
        """Return the memory with the results for one component, and the problem to report."""
        name, now, ready = state.name, self._now.monotonic, state.observed.readiness.ready
        running = {t.arn for t in state.observed.tasks}
        others = {k: v for k, v in memory.suspects.items() if k not in running}
        settled = is_settled(state, self._context.endpoints)
        own = self.suspects(state) if settled else {}
        before = memory.ready_baseline.get(name, 0) if settled else 0
        baseline = min(state.desired, max(before, len(ready)))
        missing = max(0, baseline - sum(arn not in own for arn in ready))
        below = {k: v for k, v in memory.below_baseline_since.items() if k != name}
        if missing:
            below[name] = memory.below_baseline_since.get(name, now)
        memory = replace(
            memory,
            proven=memory.proven | ready,
            suspects={**others, **own},
            ready_baseline={**memory.ready_baseline, name: baseline},
            below_baseline_since=below,
        )
        return memory, self.problem(state, own, missing, below.get(name))

    def problem(
        self, state: ComponentState, own: Mapping[str, Suspect], missing: int, since: float | None
    ) -> HealthProblem | None:
        """Return the problem of a component with suspects, or with ``missing`` replicas.

        ``since``: since when replicas have been missing.
        """
        now = self._now.monotonic
        notice = longest_detection_seconds(self._context.graph, state, own)
        confirmed = {arn: s for arn, s in own.items() if is_confirmed(s, now, notice)}
        lost = max(missing, len(confirmed))
        if confirmed:
            ordered = sorted(confirmed.items(), key=lambda i: (i[1].symptom, i[1].since, i[0]))
            texts = [
                f"task {short_id(arn)} for {now - s.since:.0f} s ({s.detail})"
                for arn, s in ordered[:SHOWN]
            ]
            symptom = ordered[0][1].symptom
            hangs = "hangs" if len(confirmed) == 1 else "hang"
            what = hangs if symptom is Symptom.HANGS else "not registered"
            text = f"{len(confirmed)} of {state.desired} replicas {what}: {'; '.join(texts)}"
            return HealthProblem(ConditionReason(symptom.value), text, lost)
        if missing and since is not None and now - since >= notice:
            text = f"{missing} of {state.desired} replicas that were ready no longer are"
            return HealthProblem(ConditionReason.REPLICA_LOST, text, lost)
        return None


def _continued(before: Suspect, suspect: Suspect) -> Suspect:
    """Return ``suspect`` as the continuation of ``before``, of the previous pass."""
    unregistered_since = suspect.unregistered_since
    if unregistered_since is not None and before.unregistered_since is not None:
        unregistered_since = before.unregistered_since
    if before.symptom is Symptom.HANGS and suspect.detail == UNHEARD:
        # It chose its own port, so its page cannot be found without its registration.
        suspect = replace(suspect, symptom=Symptom.HANGS, detail=before.detail)
    same = before.work is not None and before.work == suspect.work
    return replace(
        suspect,
        since=min(before.since, suspect.since),
        passes=before.passes + 1,
        unregistered_since=unregistered_since,
        work_since=before.work_since if same else suspect.work_since,
    )


def assess_replica_health(context: PlanContext, builder: PlanBuilder) -> PlanBuilder:
    """Assess the replicas of all components; those in doubt keep their last assessment."""
    assessor = _HealthAssessor(context)
    before = memory = context.memory.health
    problems: dict[str, HealthProblem] = {}
    for state in context.actionable:
        name = state.name
        if name in context.doubts.all:
            known = Health(memory=before).suspects(state.new_tasks)
            since = before.below_baseline_since.get(name)
            problem = assessor.problem(state, known, int(since is not None), since)
        else:
            memory, problem = assessor.assess(state, memory)
        if problem is not None:
            problems[name] = problem
    return replace(builder, health=Health(problems, _without_ended_tasks(memory, context.snapshot)))


def _without_ended_tasks(memory: HealthMemory, snapshot: Snapshot) -> HealthMemory:
    """Return ``memory`` without ended tasks; unchanged if some tasks could not be observed."""
    parts = [observed.tasks for observed in snapshot.components.values()]
    if any(isinstance(tasks, Unknown) for tasks in parts):
        return memory
    existing = {t.arn for tasks in parts if not isinstance(tasks, Unknown) for t in tasks}
    return replace(
        memory,
        proven=memory.proven & existing,
        suspects={k: v for k, v in memory.suspects.items() if k in existing},
    )
