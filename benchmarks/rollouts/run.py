"""One case: the steps under steady load, and what they cost."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.chaos.account import Outcome, StableSince
from benchmarks.chaos.daemon import unconverged_reason
from benchmarks.chaos.load import Load
from benchmarks.chaos.set_up import keep_logs
from benchmarks.chaos.stage import StageError, wait_until
from benchmarks.rollouts.case import Case, Moment
from benchmarks.rollouts.graph import FRONTENDS, LEASE_SECONDS, WORKERS, Revision
from benchmarks.rollouts.observer import Sample
from benchmarks.rollouts.stage import OnLocal, RolloutStage, describe, open_stage
from ecs_dynamo.local.state.entities import Task

CLIENTS, PERIOD_SECONDS = 4, 1.0
"""Clients with one request per period each; every second one streams."""
SET_UP_SECONDS = 120.0
HALFWAY_SECONDS = 90.0
STABLE_SECONDS = 2.0
"""How long the last revision alone must serve for the case to be over. If the declared revision was
withdrawn, it is one lease: the daemon must not try it again."""
WARM_SECONDS = 2.0
JOIN_SECONDS = 0.7
"""How far a request may be from the observed moment at which a generation became complete to have
been sent at that moment: the interval of observations, and their duration."""
JOIN_ERROR = "HTTP 503"
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CaseResult:
    """The costs of a case. Times are seconds since its first step.

    ``seconds`` is the time from the first declaration until the end. It is None if the case did not
    end; ``problem`` then says why. ``lowest`` is the lowest routed capacity by role. ``kept``
    counts the workers from before the first step that still run at the end. ``starts`` and
    ``drains`` are the durations (seconds) from the launch of each new worker until it was
    registered, and of each old one from ECS's decision to stop it until its end.
    """

    sent: int
    failed: int
    retried: int
    errors: tuple[tuple[str, int], ...]
    failures: tuple[tuple[float, bool, str], ...]
    """Each failed request: when it was sent, whether it streams, its error."""
    joining: int
    """Number of failed requests that were sent when a generation became complete."""
    lowest: Mapping[str, int]
    seconds: float | None
    problem: str | None
    kept: int
    starts: tuple[float, ...]
    drains: tuple[float, ...]
    events: tuple[tuple[float, str], ...]
    samples: tuple[tuple[float, Mapping[str, Mapping[str, int]]], ...]
    """Time, and the routed workers by revision and role; equal successive ones are left out."""
    revisions: tuple[str, ...]

    @property
    def waits(self) -> float | None:
        """Return the sum of the unavoidable waits of a rollout that replaces one worker at a time.

        Each replacement takes a drain, a start, and one discovery lease of probation.
        """
        if not self.starts or not self.drains:
            return None
        return len(self.drains) * (mean(self.drains) + mean(self.starts) + LEASE_SECONDS)

    def document(self) -> Json:
        """Return the result as JSON."""
        return {**asdict(self), "waits": self.waits}


async def run_case(
    case: Case,
    example: Path,
    logs: Path | None = None,
    on_local: OnLocal = lambda _local, _files: None,
    older_version: Path | None = None,
) -> CaseResult:
    """Run a case on a stage of its own.

    The logs are kept in a folder of ``logs`` that has the case's name, if ``logs`` is set.
    ``on_local`` is called with the local ECS before its first use. ``older_version`` is the folder
    with the sources of the version that a case begins with. Raises StageError if the first revision
    does not serve at all, or if the case needs an older version and there is none.
    """
    if case.begins_with_older_version and older_version is None:
        raise StageError("it needs the sources of a version without generations")
    with tempfile.TemporaryDirectory(prefix="rollouts-") as scratch:
        try:
            async with open_stage(case, example, Path(scratch), on_local, older_version) as stage:
                return await _measure(stage)
        finally:
            if logs is not None:
                target = logs / case.name.replace(" ", "-").replace(",", "")
                shutil.rmtree(target, ignore_errors=True)
                keep_logs(Path(scratch), target)


async def _measure(stage: RolloutStage) -> CaseResult:
    case, observer = stage.case, stage.observer

    async def rotation_reason() -> str | None:
        return None if len(observer.rotation()) == FRONTENDS else "not all frontends serve"

    async def first_reason() -> str | None:
        return await _unsettled_reason(stage, case.first)

    await wait_until("the graph serves", rotation_reason, SET_UP_SECONDS)
    load = Load(observer.rotation)
    async with load.running(CLIENTS, PERIOD_SECONDS):
        await wait_until("the first revision serves", first_reason, SET_UP_SECONDS)
        await asyncio.sleep(WARM_SECONDS)
        first_tasks = [task for _, task in observer.worker_tasks()]
        workers_before = frozenset(observer.workers)
        began = time.monotonic()
        problem: str | None = None
        ended: float | None = None
        try:
            async with asyncio.timeout(case.deadline):
                await _perform_steps(stage, workers_before)
                ended = await _wait_for_end(stage, frozenset(t.id for t in first_tasks))
        except StageError as error:
            problem = str(error)
        except TimeoutError:
            problem = await _unsettled_reason(stage, case.last)
        stage.note("the end" if problem is None else "the deadline")
        last_sent = time.monotonic()
    outcomes = [o for o in load.done if began - WARM_SECONDS <= o.sent <= last_sent]
    return _result(stage, outcomes, began, ended, problem, first_tasks)


async def _unsettled_reason(stage: RolloutStage, revision: Revision) -> str | None:
    """Return why ``revision`` does not serve alone, or why the daemon has not converged."""
    return stage.unsettled_reason(revision) or unconverged_reason(await stage.daemon.status())


async def _perform_steps(stage: RolloutStage, before: frozenset[int]) -> None:
    observer = stage.observer

    async def halfway_reason() -> str | None:
        new = sum(lease not in before for lease in observer.workers)
        half = stage.case.replicas * len(WORKERS) // 2
        return None if new >= half else f"{new} new workers have registered instead of {half}"

    for moment, step in stage.case.steps:
        if moment is Moment.HALFWAY:
            await wait_until("halfway", halfway_reason, HALFWAY_SECONDS)
            stage.note("half of the new workers are registered")
        await stage.perform(step)


async def _wait_for_end(stage: RolloutStage, first: frozenset[str]) -> float:
    """Wait until the last revision alone serves, and return since when it does.

    A case that ends with its first revision is not over before a worker of another one has been
    started. The daemon must have converged where the last revision is the declared one.
    """
    case = stage.case
    number = case.revisions.index(case.last)
    must_converge = case.declared[-1] == case.last
    stable = StableSince(STABLE_SECONDS if must_converge else case.lease_seconds)
    other_started = number != 0
    while True:
        other_started = other_started or any(
            task.id not in first and stage.observer.revision_of(task, role) != number
            for role, task in stage.observer.worker_tasks()
        )
        settled = other_started and stage.unsettled_reason(case.last) is None
        if settled and must_converge:
            settled = unconverged_reason(await stage.daemon.status()) is None
        moment = stable.update(time.monotonic(), holds=settled)
        if moment is not None:
            return moment
        await asyncio.sleep(0.1)


def _result(
    stage: RolloutStage,
    outcomes: Sequence[Outcome],
    began: float,
    ended: float | None,
    problem: str | None,
    first_tasks: Sequence[Task],
) -> CaseResult:
    failures = [o for o in outcomes if o.error is not None]
    until = ended if ended is not None else time.monotonic()
    during = [s for s in stage.observer.samples if began <= s.at <= until]
    first = {t.id for t in first_tasks}
    tasks = stage.local.state.tasks
    new = [w for w in stage.observer.workers.values() if w.task in tasks and w.task not in first]
    return CaseResult(
        sent=len(outcomes),
        failed=len(failures),
        retried=sum(o.attempts > 1 for o in outcomes),
        errors=tuple(Counter(o.error for o in failures if o.error).most_common()),
        failures=tuple((round(o.sent - began, 1), o.streamed, o.error or "") for o in failures),
        joining=_count_joining(stage, failures, began),
        lowest={role: min((s.lowest[role] for s in during), default=0) for role in WORKERS},
        seconds=None if ended is None else round(ended - stage.declared_at(began), 1),
        problem=problem,
        kept=sum(t.alive for t in first_tasks),
        starts=tuple(round(w.registered_at - tasks[w.task].created_at, 1) for w in new),
        drains=tuple(
            round(t.stopped_at - t.stopping_at, 1)
            for t in first_tasks
            if t.stopping_at is not None and t.stopped_at is not None
        ),
        events=tuple((round(at - began, 1), text) for at, text in stage.events if at >= began),
        samples=_changes(during, began),
        revisions=tuple(describe(r) for r in stage.case.revisions),
    )


def _count_joining(stage: RolloutStage, failures: Sequence[Outcome], began: float) -> int:
    """Return how many requests failed because a generation was becoming complete.

    Dynamo 1.6.1 routes requests to a namespace from the moment at which both roles are registered
    in it, about 20 ms before its prefill router is active. Until then it answers with 503 ("prefill
    routing ... is still activating" in the frontend's log; docs/dynamo-protocol.md).
    """
    first: dict[str, dict[str, float]] = {}
    for worker in stage.observer.workers.values():
        times = first.setdefault(worker.namespace, {})
        times[worker.role] = min(times.get(worker.role, worker.registered_at), worker.registered_at)
    offset = time.time() - time.monotonic()
    complete = [max(t.values()) - offset for t in first.values() if len(t) == len(WORKERS)]
    return sum(
        any(abs(o.sent - at) < JOIN_SECONDS for at in complete if at > began)
        for o in failures
        if (o.error or "").startswith(JOIN_ERROR)
    )


def _changes(
    samples: Sequence[Sample], began: float
) -> tuple[tuple[float, Mapping[str, Mapping[str, int]]], ...]:
    """Return the routed workers over time, without samples that equal the previous one."""
    changes: list[tuple[float, Mapping[str, Mapping[str, int]]]] = []
    for sample in samples:
        document: dict[str, dict[str, int]] = {}
        for (revision, role), number in sorted(sample.routed.items()):
            document.setdefault(str(revision), {})[role] = number
        if not changes or changes[-1][1] != document:
            changes.append((round(sample.at - began, 1), document))
    return tuple(changes)
