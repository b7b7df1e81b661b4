"""What must hold whatever goes wrong, judged by what can be seen from outside the daemon."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ServiceSeen:
    """A service that is not deleted."""

    name: str
    cluster: str
    desired: int


@dataclass(frozen=True, slots=True)
class TaskSeen:
    """A task of the graph. ``ready``: by its own answer, when last asked. ``wanted``: ECS has not
    begun to stop it; ``stop_code`` is why it has."""

    id: str
    service: str
    wanted: bool
    ready: bool
    stop_code: str | None = None
    revision_active: bool = True


@dataclass(frozen=True, slots=True)
class Write:
    """A call of the daemon's that changes something, and the names of what it changes: services
    and families."""

    operation: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class View:
    """What there is at one moment. ``revisions``: how many each family has had."""

    services: tuple[ServiceSeen, ...] = ()
    tasks: tuple[TaskSeen, ...] = ()
    revisions: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rules:
    """What to hold a fault against, by service name.

    ``floors``: so many ready replicas are kept by whoever stops one. ``counts``: the least and
    largest desired count. ``victims``: tasks that the campaign itself ends. ``revisions``: how many
    new ones a family may get.
    """

    floors: Mapping[str, int]
    counts: Mapping[str, tuple[int, int]]
    victims: Collection[str] = ()
    revisions: int = 2


BY_CHOICE = frozenset({"ServiceSchedulerInitiated", "UserInitiated"})
"""Stop codes of what ECS does at somebody's wish (Task.stopCode in ECS's service model)."""


def judge(before: View, now: View, rules: Rules) -> Iterator[str]:
    """What ``now`` violates, one moment after ``before``."""
    yield from _one_of_a_name(now)
    yield from _counts(now, rules)
    yield from _serving_stays(before, now, rules)
    for task in now.tasks:
        if task.wanted and not task.revision_active:
            yield f"a revision that {task.service} runs was deregistered"


def _one_of_a_name(now: View) -> Iterator[str]:
    """A component is one service, whatever the daemon did not hear of."""
    for name, number in Counter(s.name for s in now.services).items():
        if number > 1:
            yield f"{number} services are called {name}"


def _counts(now: View, rules: Rules) -> Iterator[str]:
    for service in now.services:
        least, most = rules.counts.get(service.name, (service.desired, service.desired))
        if not least <= service.desired <= most:
            yield f"{service.name} was set to {service.desired}, outside {least} to {most}"


def _serving_stays(before: View, now: View, rules: Rules) -> Iterator[str]:
    """A ready replica is stopped only where enough ready ones remain: its successor came first."""
    were = {t.id: t for t in before.tasks}
    for name, floor in rules.floors.items():
        own = [t for t in now.tasks if t.service == name]
        ready = {t.id for t in before.tasks if t.service == name and t.wanted and t.ready}
        lost = {t.id for t in own if not t.wanted and t.stop_code not in BY_CHOICE}
        lost |= ready & set(rules.victims)
        # What went by itself in that moment could not be reckoned with.
        ready -= lost
        left = sum(t.wanted and t.id in ready for t in own)
        stopped = [
            t
            for t in own
            if not t.wanted and t.id in ready and were[t.id].wanted and t.stop_code in BY_CHOICE
        ]
        if stopped and left < min(floor, len(ready)):
            yield f"{name}: {len(stopped)} ready stopped with {left} others ready, not {floor}"


def judge_revisions(before: View, now: View, rules: Rules) -> Iterator[str]:
    """A change is one revision, however often it was tried."""
    for family, number in now.revisions.items():
        if (new := number - before.revisions.get(family, 0)) > rules.revisions:
            yield f"{family} has had {new} new revisions, not at most {rules.revisions}"


def judge_write(write: Write, ours: Collection[str]) -> Iterator[str]:
    """Nothing is changed but what the graph owns."""
    for target in write.targets:
        if target not in ours:
            yield f"{write.operation} on {target}, which is not the graph's"
