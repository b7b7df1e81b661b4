"""Conditions: typed statements about the graph and each component, with the time of change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ecs_dynamo.model.capacity import Shortage
from ecs_dynamo.model.conditions import (
    Condition,
    ConditionType,
)
from ecs_dynamo.model.graph import Component
from ecs_dynamo.model.memory.health import (
    SERVES_NOBODY,
    HealthProblem,
)
from ecs_dynamo.model.plan import (
    Decision,
    Endpoints,
    ReplicaCounts,
    Wait,
)
from ecs_dynamo.model.snapshot import Signal, Snapshot
from ecs_dynamo.model.spec.scaling import StaticScaling
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.observed.certainty import NOT_OBSERVED
from ecs_dynamo.planning.observed.failure_reasons import placement_failure
from ecs_dynamo.planning.observed.reachability import infrastructure_probes, unreachable
from ecs_dynamo.planning.observed.routing import Routing
from ecs_dynamo.planning.rollout.hold import Failures


class ConditionBook:
    """Collects conditions; keeps ``since`` of one whose status did not change."""

    def __init__(self, before: Iterable[Condition], now: float) -> None:
        self._before = {(c.type, c.component): c for c in before}
        self._now = now
        self._found: dict[tuple[ConditionType, str | None], Condition] = {}

    def set(
        self,
        kind: ConditionType,
        status: bool,
        reason: str,
        message: str,
        component: str | None = None,
    ) -> None:
        """State that ``kind`` holds or not for ``component`` (None: the graph)."""
        old = self._before.get((kind, component))
        since = old.since if old is not None and old.status == status else self._now
        self._found[kind, component] = Condition(kind, status, reason, message, since, component)

    def keep(
        self, kind: ConditionType, reason: str, message: str, component: str | None = None
    ) -> None:
        """State that whether ``kind`` holds is not known: it is shown as it was last."""
        old = self._before.get((kind, component))
        self.set(kind, old is not None and old.status, reason, message, component)

    def all(self) -> tuple[Condition, ...]:
        """What was stated, in a stable order: the graph first, then by component and type."""
        return tuple(sorted(self._found.values(), key=lambda c: (c.component or "", c.type.value)))


def placement_shortage(state: ComponentState) -> str | None:
    """ECS's own words where it could not place a task, while replicas are missing."""
    service = state.service
    if service is None or service.running >= service.desired:
        return None
    return placement_failure(service)


def _state_capacity(book: ConditionBook, state: ComponentState, shortage: Shortage | None) -> None:
    """CapacityShort: ``NoPlace`` where ECS said so, else ``DoesNotFit`` or ``Raising``."""
    said = placement_shortage(state)
    if shortage is None:
        reason, text = ("NoPlace", said) if said else ("Placed", "")
    elif said is not None:
        reason, text = "NoPlace", f"{shortage.message}. ECS: {said}"
    else:
        reason, text = "Raising" if shortage.raising else "DoesNotFit", shortage.message
    book.set(
        ConditionType.CAPACITY_SHORT,
        said is not None or shortage is not None,
        reason,
        text,
        component=state.component.name,
    )


def state_conditions(
    book: ConditionBook,
    wanted: Iterable[ComponentState],
    replicas: Mapping[str, ReplicaCounts],
    obstacles: Mapping[str, tuple[str, str]],
    failures: Failures,
    waits: Iterable[Wait],
    busy: bool,
    shortages: Mapping[str, Shortage],
    rejected: Mapping[str, str],
    unknown: Mapping[str, str],
    lost: Mapping[str, HealthProblem],
) -> None:
    """Ready, Progressing, Degraded and CapacityShort for each component and the graph.

    Of components that are ``unknown`` Ready stays as it was, with the reason NotObserved. ``lost``:
    problems with replicas of a good revision; a failed rollout takes precedence over them.
    """
    waiting = {w.component: w.reason for w in reversed(tuple(waits))}
    all_ready = not waiting and not busy and not obstacles and not failures.told
    for one in wanted:
        name = one.component.name
        counts = replicas[name]
        ready = counts.ready >= one.desired and name not in obstacles
        text = f"{counts.ready} of {one.desired} ready"
        if name in unknown:
            book.keep(ConditionType.READY, NOT_OBSERVED, unknown[name], component=name)
        else:
            word = "AllReady" if ready else "NotReady"
            book.set(ConditionType.READY, ready, word, text, component=name)
        book.set(
            ConditionType.PROGRESSING,
            name in waiting,
            "Waiting" if name in waiting else "Settled",
            waiting.get(name, ""),
            component=name,
        )
        if name in obstacles:
            reason, message = obstacles[name]
            book.set(ConditionType.DEGRADED, True, reason, message, component=name)
        elif name in failures.told:
            word, message = failures.reasons[name], failures.told[name]
            book.set(ConditionType.DEGRADED, True, word, message, component=name)
        elif name in rejected:
            book.set(ConditionType.DEGRADED, True, "Rejected", rejected[name], component=name)
        elif one.rollout_failure is not None:
            word, message = one.rollout_failure.reason, one.rollout_failure.message
            book.set(ConditionType.DEGRADED, True, word, message, component=name)
        elif name in lost:
            word, message = lost[name].reason, lost[name].message
            book.set(ConditionType.DEGRADED, True, word, message, component=name)
        else:
            book.set(ConditionType.DEGRADED, False, "Fine", "", component=name)
        _state_capacity(book, one, shortages.get(name))
    book.set(
        ConditionType.READY,
        all_ready,
        "Converged" if all_ready else "NotConverged",
        "the graph is as declared"
        if all_ready
        else "; ".join(f"{k or 'graph'}: {v}" for k, v in waiting.items())
        or "actions were taken, their effect is looked at next",
    )


def state_endpoints(book: ConditionBook, moved: Iterable[str], endpoints: Endpoints) -> None:
    """EndpointsStale for the graph."""
    names = ", ".join(moved)
    book.set(
        ConditionType.ENDPOINTS_STALE,
        bool(names),
        "Moved" if names else "Current",
        f"{names} still use other endpoints than {endpoints.etcd} {endpoints.nats or ''}".strip()
        if names
        else "",
    )


def state_signals(
    book: ConditionBook,
    components: Iterable[Component],
    decisions: Iterable[Decision],
    signals: Iterable[Signal],
    now: float,
) -> None:
    """SignalStale for each component that scales: a source of its own tells nothing fresh.

    With another source fresh the component still scales up; with none it is held.
    """
    scaled = {c.name: c.scaling for c in components if c.scaling is not None}
    fresh: dict[str, set[str]] = {name: set() for name in scaled}
    newest: dict[str, float] = {}
    partial: dict[str, set[str]] = {name: set() for name in scaled}
    for signal in signals:
        age = signal.age(now)
        newest[signal.component] = min(age, newest.get(signal.component, age))
        scaling = scaled.get(signal.component)
        if scaling and age <= max(scaling.max_signal_age_seconds, signal.max_age):
            (partial if signal.partial else fresh)[signal.component].add(signal.source)
    for decision in decisions:
        name = decision.component
        scaling = scaled.get(name)
        declared = () if scaling is None else dict.fromkeys(s.source for s in scaling.signals)
        silent = [source for source in declared if source not in fresh[name]]
        if isinstance(scaling, StaticScaling):
            silent = []  # It measures nothing.
        stale = decision.stale or bool(silent)
        age = newest.get(name, float("inf"))
        told = f"newest signal is {age:.1f} s old" if age != float("inf") else "no signal"
        if in_part := [source for source in silent if source in partial[name]]:
            told += f"; {', '.join(in_part)} told only in part"
        book.set(
            ConditionType.SIGNAL_STALE,
            stale,
            "Stale" if stale else "Fresh",
            f"nothing fresh from {', '.join(silent)}; {told}" if stale and silent else told,
            component=name,
        )


def state_routing(book: ConditionBook, routes: Mapping[str, Routing | None]) -> None:
    """Unrouted for each worker component that discovery could be read for."""
    for name, found in routes.items():
        if found is None:
            continue
        reason = "CardDiffers" if found.problem else "Routed"
        book.set(
            ConditionType.UNROUTED, bool(found.problem), reason, found.problem or "", component=name
        )


def state_access(book: ConditionBook, snapshot: Snapshot, nobody: str | None) -> None:
    """Degraded for the graph.

    ``Unreachable``: no task can be reached over the network. ``AccessRefused``: etcd or NATS does
    not let the daemon in. ``ServesNobody``: for the reason ``nobody``.
    """
    cut_off = unreachable(snapshot)
    if cut_off is not None:
        book.set(ConditionType.DEGRADED, True, "Unreachable", cut_off)
        return
    told = sorted({p.detail for p in infrastructure_probes(snapshot) if p.refused})
    if told:
        text = f"{'; '.join(told)}; see infrastructure.security"
        book.set(ConditionType.DEGRADED, True, "AccessRefused", text)
    elif nobody is not None:
        book.set(ConditionType.DEGRADED, True, SERVES_NOBODY, f"no request is served: {nobody}")
    else:
        book.set(ConditionType.DEGRADED, False, "Fine", "")
